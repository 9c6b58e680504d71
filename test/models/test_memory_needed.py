"""What a model takes is reckoned from its configuration, and is what the real parts then take."""

import pytest

from stc_ros.models import EMBEDDED, load_model
from stc_ros.models.embedded import read_config
from stc_ros.models.families.llava_onevision import sizes_of
from stc_ros.models.memory_needed import MIB, SINKS, reckon, what_would_fit
from stc_ros.models.random import random_model, random_weights
from stc_ros.settings import Settings
from stc_ros.stream import open_memory, open_stream
from stc_ros.vision.cachers.base import most_bytes


@pytest.fixture(scope='module')
def model():
    return random_model('toy')


@pytest.mark.parametrize('size', ['toy', '0.5b', '7b'])
def test_the_weights_are_counted(size):
    weights = random_weights(size, device='meta')
    assert sizes_of(weights.config).weights == pytest.approx(sum(p.numel() for p in weights.parameters()), rel=0.01)


def test_the_weights_of_the_embedded_model_are_counted():
    held = load_model().weights.parameters()  # its head is its embeddings
    count = sum({p.data_ptr(): p.numel() for p in held}.values())
    assert sizes_of(read_config(EMBEDDED / 'config.json')).weights == pytest.approx(count, rel=0.01)


@pytest.mark.parametrize(
    'changes',
    [
        {},
        {'memory.max_tokens': 90},
        {'memory.max_tokens': 90, 'expert.prefill_batch': 0},
        {'memory.max_mib': 2},
        {'memory.max_mib': 2, 'expert.prefill_batch': 40},
    ],
    ids=str,
)
def test_memory_and_vision_take_what_was_reckoned(model, changes):
    settings = Settings(changes)
    needed = reckon(sizes_of(model.weights.config), settings, 'float32')
    memory = open_memory(model, settings)
    token = memory.token_bytes
    held = memory.keys.nbytes + memory.values.nbytes
    assert held <= needed.memory <= held + 3 * SINKS * token
    assert needed.vision == most_bytes(model.tower, 24 * 24, 4)
    answer = token * (memory.sinks + memory.capacity + memory.reserve)
    assert answer <= needed.answer <= answer + 3 * SINKS * token


def test_two_cameras_take_two_memories_and_half_precision_half_the_weights():
    sizes = sizes_of(random_weights('toy', device='meta').config)
    one, two = (reckon(sizes, Settings(), 'float32', cameras=n) for n in (1, 2))
    assert two.memory == 2 * one.memory and two.vision == 2 * one.vision and two.weights == one.weights
    assert reckon(sizes, Settings(), 'bfloat16').weights * 2 == one.weights


def test_what_would_fit_fits_and_is_the_least_change():
    sizes, settings = sizes_of(random_weights('0.5b', device='meta').config), Settings()
    whole = reckon(sizes, settings, 'float32').total
    assert what_would_fit(sizes, settings, 'float32', 'cpu', whole) == ''  # as it is
    less = what_would_fit(sizes, settings, 'float32', 'cpu', whole - 50 * MIB)
    assert less.startswith('memory.max_tokens:=')
    tokens = int(less.split(':=')[1])
    assert reckon(sizes, settings | {'memory.max_tokens': tokens}, 'float32').total <= whole - 50 * MIB
    half = what_would_fit(sizes, settings, 'float32', 'cpu', 3000 * MIB)
    assert half == 'model.dtype:=bfloat16'
    assert what_would_fit(sizes, settings, 'float32', 'cpu', 900 * MIB) is None


def test_a_stream_keeps_no_more_than_was_reckoned(model):
    settings = Settings({'memory.max_tokens': 90})
    stream, needed = open_stream(model, settings), reckon(sizes_of(model.weights.config), settings, 'float32')
    stream.warm_up()
    assert stream.memory.bytes + stream.cacher.bytes <= needed.memory + needed.vision
