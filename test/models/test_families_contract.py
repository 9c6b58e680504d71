"""What every registered model family gives to the stream."""

import inspect
import json

import pytest
import random_families
import torch

from stc_ros.memory.base import Limits
from stc_ros.models import load_model, model_families
from stc_ros.models.base import ModelError
from stc_ros.models.narration_style import NarrationStyle
from stc_ros.parameters import memories
from stc_ros.self_test import BOUND, self_test
from stc_ros.stream import open_stream

NAMES = model_families.names()


@pytest.fixture(scope='module', params=NAMES)
def folder(request, tmp_path_factory):
    assert request.param in random_families.MAKE, f'give {request.param} a small checkpoint in random_families.py'
    folder = tmp_path_factory.mktemp('families', numbered=True) / request.param
    random_families.save(request.param, folder)
    return folder


@pytest.fixture(scope='module')
def model(folder):
    return model_families.create(folder.name).load(str(folder), folder, torch.device('cpu'), torch.float32)


@pytest.mark.parametrize('name', NAMES)
def test_it_says_what_it_is(name):
    part = model_families[name]
    assert part.source and part.scope and part.text.endswith('.')
    assert list(inspect.signature(part.cls.load).parameters) == ['self', 'source', 'folder', 'device', 'dtype']


@torch.inference_mode()
def test_a_frame_becomes_as_many_tokens_as_it_says(model):
    pixels = torch.rand(1, 3, model.pixels.height, model.pixels.width)
    x = model.tower.embed(pixels)
    assert x.shape[:2] == (1, model.tower.tokens)
    taken = [torch.rand_like(x) for _ in model.tower.taps]
    features = model.tower.finish(model.tower.read(taken, torch.rand_like(x)))
    late = model.project_out(model.project_in(features))  # the pruners project only what is kept
    tokens = model.project(features) if model.project else late
    assert tokens.shape == (1, model.visual_tokens, model.newline.shape[-1])
    torch.testing.assert_close(tokens, late, atol=1e-4, rtol=1e-4)


def test_what_it_needs_is_reckoned_and_its_faults_are_found_before_weights_are_read(folder, model):
    family = model_families.create(folder.name)
    sizes, tower, decoder = family.examine(str(folder), folder), model.tower, model.decoder
    assert sizes.weights == pytest.approx(sum(p.numel() for p in model.weights.parameters()), rel=0.03)
    assert (sizes.visual_tokens, sizes.max_positions) == (model.visual_tokens, decoder.max_positions)
    assert (sizes.vision_layers, sizes.vision_tokens) == (len(tower.blocks), tower.tokens)
    assert (sizes.layers, sizes.key_heads, sizes.head_size) == (decoder.layers, decoder.key_heads, decoder.head_size)
    whole = (folder / 'config.json').read_text()
    (folder / 'config.json').write_text(json.dumps({'model_type': folder.name}))
    with pytest.raises(ModelError):
        family.examine(str(folder), folder)
    (folder / 'config.json').write_text(whole)


@pytest.mark.parametrize('name', random_families.MAKE)
def test_it_passes_its_self_test_and_does_not_when_sabotaged(name, tmp_path):
    random_families.save(name, tmp_path)
    for dtype in BOUND:
        model = load_model({'model.name': str(tmp_path), 'model.device': 'cpu', 'model.dtype': str(dtype)[6:]})
        assert model.reference is not None, 'its self-test needs somebody else to compute the same'
        self_test(model)
    inner, model.project = model.project_in, None
    model.project_in = lambda x: inner(x).roll(1, -1)
    with pytest.raises(ModelError, match="differ from transformers'"):
        self_test(model)


def test_it_is_a_value_that_text_can_be_asked_of(model):
    assert model.chat.prefix() and model.chat.suffix('what is there ?') and model.chat.stops
    assert isinstance(model.narration, NarrationStyle) and model.decoder.max_positions > 2 * model.visual_tokens
    memory = memories.create('window').create(
        model.decoder, model.chat.prefix(), Limits(model.visual_tokens * 4, 1 << 30, model.dtype)
    )
    assert memory.capacity >= model.visual_tokens


@pytest.mark.parametrize('settings', [{}, {'cacher': 'none', 'pruner': 'none'}, {'cacher': 'stc', 'pruner': 'stc'}])
def test_two_streams_of_one_model_do_not_meet(model, settings):
    frames = torch.randint(0, 255, (2, 40, 40, 3), dtype=torch.uint8).numpy()
    alone, one, other = (open_stream(model, {'memory.max_tokens': 90} | settings) for _ in range(3))
    alone.see(frames[0], 1)
    one.see(frames[0], 1)
    other.see(frames[1], 1)
    assert list(one.ask('what is there ?', 5)) == list(alone.ask('what is there ?', 5))
