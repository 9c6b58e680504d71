"""Weights in 8 and 4 bits: what is computed, what is left alone, and what is said where it cannot be."""

import shutil

import pytest
import random_families
import torch
from checkpoints import edit, load
from memories import kept
from torch import nn
from worlds import moving_square

from stc_ros.models import load_model, quantise
from stc_ros.models.base import ModelError
from stc_ros.models.families.llava_onevision import sizes_of
from stc_ros.models.memory_needed import reckon, what_would_fit
from stc_ros.models.packed import PackedLinear, can_pack, left_alone, pack
from stc_ros.models.random import random_model, random_weights
from stc_ros.self_test import own_logits, reference_logits, self_test
from stc_ros.settings import Settings
from stc_ros.stream import open_stream

HOW = ['int8', 'int4']


@pytest.fixture(autouse=True)
def torchao():
    pytest.importorskip('torchao', reason='torchao is not installed: requirements/quantised.txt')


def off(ours, expected):
    return ((ours - expected).square().mean(-1).sqrt() / expected.std(-1)).max().item()


@pytest.mark.parametrize('family', random_families.MAKE)
def test_the_quantised_model_is_transformers_quantised_model(family, tmp_path):
    random_families.save(family, tmp_path)
    plain, model = load(tmp_path), load(tmp_path, **{'model.quantise': 'int8'})
    assert model.quantised == 'int8' and not any(isinstance(m, PackedLinear) for m in model.weights.modules())
    ours = own_logits(model)
    bound = 0.05 if family.startswith('qwen') else 1e-4  # else quantised in place: also what transformers runs
    assert off(ours, reference_logits(model)) < bound
    assert 1e-3 < off(ours, own_logits(plain)) < 0.5  # the control: it is not the plain one
    self_test(model)


@pytest.mark.parametrize('how', HOW)
def test_the_embedded_model_still_passes_its_self_test_and_says_what_it_said(how):
    plain, model = (load_model({'model.quantise': each, 'model.device': 'cpu'}) for each in ('none', how))
    self_test(model)
    assert type(model.decoder.blocks[0].q.weight.data) is not torch.Tensor
    assert (type(model.tower.blocks[0].q.weight.data) is torch.Tensor) == (how == 'int4')
    said = []
    for one in (plain, model):
        stream = open_stream(one, {'cacher': 'none', 'pruner': 'none'})
        for i, frame in enumerate(moving_square(3)):
            stream.see(frame, i)
        said.append(torch.cat([each.flatten() for each in kept(stream)]))
    assert 1e-4 < (said[0] - said[1]).norm() / said[0].norm() < {'int8': 0.05, 'int4': 0.4}[how]
    for block in model.decoder.blocks:  # the control: a broken one is refused
        block.down.bias = nn.Parameter(torch.full((block.down.out_features,), 3.0))
    with pytest.raises(ModelError, match='failed its self-test'):
        self_test(model)


def test_rows_do_not_depend_on_each_other():
    """So that a cacher may leave rows out."""
    model = random_model(seed=3)
    quantise.quantise(model, 'int8')
    x = torch.randn(40, model.tower.width)
    some = torch.tensor([3, 17, 18])
    with torch.inference_mode():
        torch.testing.assert_close(model.tower.blocks[0].mlp(x)[some], model.tower.blocks[0].mlp(x[some]))


def test_what_has_no_whole_groups_stays_plain_and_is_named():
    model = random_model(seed=3)  # widths that 32 does not divide
    quantise.quantise(model, 'int4')
    layer = model.decoder.blocks[0]
    assert type(layer.q.weight.data) is torch.Tensor or layer.q.in_features % 32 == 0
    assert 'weights could not be quantised to int4, and stay as they were' in model.notes


def test_pack_stays_away_from_what_is_quantised_or_will_be():
    body = nn.Sequential(nn.Linear(64, 96), nn.Linear(96, 64)).requires_grad_(False)
    quantise._quantise_in_place(body[0], 'int8')
    assert type(body[0]) is nn.Linear and not can_pack(body[0].weight)
    with left_alone():
        pack(body, smallest=0)
    assert all(type(each) is nn.Linear for each in body)
    pack(body, smallest=0)
    assert type(body[0]) is nn.Linear and isinstance(body[1], PackedLinear) == can_pack(torch.ones(1, 1))


def test_a_wrong_product_is_refused(monkeypatch):
    def spoil(linear, how):
        linear.weight = nn.Parameter(linear.weight.flip(0), requires_grad=False)

    monkeypatch.setattr(quantise, '_quantise_in_place', spoil)
    with pytest.raises(ModelError, match='cannot be run in int8: a product .* Set model.quantise to another, or none'):
        quantise.quantise(random_model(seed=3), 'int8')


def test_what_is_missing_is_named_before_anything_is_loaded(monkeypatch):
    with pytest.raises(ModelError, match='nf4 needs an NVIDIA GPU: take int8 or int4'):
        load_model({'model.quantise': 'nf4', 'model.device': 'cpu'})
    with pytest.raises(ModelError, match='int4 runs on a GPU in bfloat16 only'):
        quantise.check('int4', torch.device('cuda'), torch.float16)
    monkeypatch.setattr(quantise.importlib.util, 'find_spec', lambda name: None if name == 'torchao' else True)
    with pytest.raises(ModelError, match='needs torchao, which is not installed: pip install'):
        load_model({'model.quantise': 'int8', 'model.device': 'cpu'})


def test_nf4_takes_the_places_of_what_it_replaces():
    pytest.importorskip('bitsandbytes', reason='bitsandbytes is not installed: requirements/quantised.txt')
    model = random_model(seed=3)
    plain = own_logits(model)
    quantise.quantise(model, 'nf4')  # it computes on a CPU, too, but slowly
    assert type(model.decoder.blocks[0].q).__name__ == 'Linear4bit'
    ours = own_logits(model)
    assert off(ours, reference_logits(model)) < 1e-4 and 1e-3 < off(ours, plain) < 0.5


def test_a_checkpoint_that_was_saved_quantised_names_the_remedy(toy, tmp_path):
    folder = shutil.copytree(toy, tmp_path / 'model')
    edit(folder, quantization_config={'quant_method': 'torchao'})
    with pytest.raises(ModelError, match=r'saved quantised \(torchao\).*model.quantise'):
        load(folder)


@pytest.mark.parametrize(('how', 'least', 'most'), [('int8', 0.25, 0.6), ('int4', 0.25, 0.6), ('nf4', 0.25, 0.6)])
def test_memory_is_reckoned_with_it_and_with_the_plain_weights_while_loading(how, least, most):
    sizes, settings = sizes_of(random_weights('7b', device='meta').config), Settings()
    plain, ours = reckon(sizes, settings, 'bfloat16'), reckon(sizes, settings | {'model.quantise': how}, 'bfloat16')
    assert least < ours.weights / plain.weights < most
    assert ours.loading == plain.weights and ours.total == ours.loading + ours.runtime < plain.total
    room = ours.total
    assert what_would_fit(sizes, settings, 'bfloat16', 'cpu', room) == 'model.quantise:=int8'


def test_the_bytes_reckoned_are_those_taken():
    model = random_model(seed=3)
    sizes = sizes_of(model.weights.config)
    linears = [each for b in (*model.decoder.blocks, *model.tower.blocks) for each in quantise._linears(b)]
    before = sum(each.weight.nbytes for each in linears)
    assert sizes.layer_weights + sizes.vision_weights == sum(each.weight.numel() for each in linears)
    quantise.quantise(model, 'int8')
    taken = sum(each.weight.qdata.nbytes for each in linears)
    assert sizes.weight_bytes('none', 4) - sizes.weight_bytes('int8', 4) == before - taken
