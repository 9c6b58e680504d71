"""What a model takes is reckoned from its configuration, and is what the real parts then take."""

import json

import pytest

from stc_ros.models import EMBEDDED, load_model
from stc_ros.models.memory_needed import MIB, SINKS, llava_onevision_sizes, reckon, what_would_fit
from stc_ros.models.random import SIZES, random_model, random_weights
from stc_ros.settings import Settings
from stc_ros.stream import open_memory, open_stream
from stc_ros.vision.cachers.base import most_bytes


def sizes_of(weights):
    return llava_onevision_sizes(json.loads(weights.config.to_json_string(use_diff=False)))


@pytest.fixture(scope='module')
def model():
    return random_model('toy')


@pytest.mark.parametrize('size', ['toy', '0.5b', '7b'])
def test_the_weights_are_counted(size):
    weights = random_weights(size, device='meta')
    assert sizes_of(weights).weights == sum(p.numel() for p in weights.parameters())


def test_the_weights_of_the_embedded_model_are_counted():
    config = json.loads((EMBEDDED / 'config.json').read_text())
    held = load_model().weights.parameters()  # its head is its embeddings
    assert llava_onevision_sizes(config).weights == sum({p.data_ptr(): p.numel() for p in held}.values())


def test_a_config_that_leaves_out_what_is_usual_is_read_as_transformers_does():
    from transformers import LlavaOnevisionConfig

    short = {
        'text_config': {'model_type': 'qwen2', 'hidden_size': 896, 'num_attention_heads': 14},
        'vision_config': {'model_type': 'siglip_vision_model', 'image_size': 384},
    }
    whole = json.loads(LlavaOnevisionConfig.from_dict(short).to_json_string(use_diff=False))
    whole['vision_feature_layer'] = -1
    assert llava_onevision_sizes(short) == llava_onevision_sizes({**whole, 'tie_word_embeddings': False})


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
    needed = reckon(sizes_of(model.weights), settings, 'float32')
    memory = open_memory(model, settings)
    token = memory.token_bytes
    held = memory.keys.nbytes + memory.values.nbytes
    assert held <= needed.memory <= held + 3 * SINKS * token
    assert needed.vision == most_bytes(model.tower, 24 * 24, 4)
    answer = token * (memory.sinks + memory.capacity + memory.reserve)
    assert answer <= needed.answer <= answer + 3 * SINKS * token


def test_two_cameras_take_two_memories_and_half_precision_half_the_weights():
    sizes = sizes_of(random_weights('toy'))
    one, two = (reckon(sizes, Settings(), 'float32', cameras=n) for n in (1, 2))
    assert two.memory == 2 * one.memory and two.vision == 2 * one.vision and two.weights == one.weights
    assert reckon(sizes, Settings(), 'bfloat16').weights * 2 == one.weights


def config_of(size):
    vision, text = SIZES[size]
    return {'text_config': {'vocab_size': 152000, **text}, 'vision_config': vision, 'tie_word_embeddings': False}


def test_what_would_fit_fits_and_is_the_least_change():
    sizes, settings = llava_onevision_sizes(config_of('0.5b')), Settings()
    whole = reckon(sizes, settings, 'float32').total
    assert what_would_fit(sizes, settings, 'float32', 'cpu', whole) == ''  # as it is
    less = what_would_fit(sizes, settings, 'float32', 'cpu', whole - 50 * MIB)
    assert less.startswith('memory.max_tokens:=')
    tokens = int(less.split(':=')[1])
    assert reckon(sizes, settings | {'memory.max_tokens': tokens}, 'float32').total <= whole - 50 * MIB
    half = what_would_fit(sizes, settings, 'float32', 'cpu', 3000 * MIB)
    assert half == 'model.dtype:=bfloat16'
    assert what_would_fit(sizes, settings, 'float32', 'cpu', 900 * MIB) is None


def test_no_sizes_are_made_up():
    with pytest.raises(ValueError, match='config.json does not tell'):
        llava_onevision_sizes({'text_config': {}})
    with pytest.raises(ValueError, match='config.json does not tell'):
        llava_onevision_sizes({'text_config': {'hidden_size': 'wide'}, 'vision_config': {}})


def test_a_stream_keeps_no_more_than_was_reckoned(model):
    settings = Settings({'memory.max_tokens': 90})
    stream, needed = open_stream(model, settings), reckon(sizes_of(model.weights), settings, 'float32')
    stream.warm_up()
    assert stream.memory.bytes + stream.cacher.bytes <= needed.memory + needed.vision
