"""A model that computes something else than it should is refused before it answers; one that does passes quickly."""

import shutil
from dataclasses import replace

import pytest
import torch
from checkpoints import load, put
from safetensors.torch import load_file, save_file

from stc_ros.models import EMBEDDED, embedded, load_model
from stc_ros.models.base import ModelError
from stc_ros.models.families import llava_onevision
from stc_ros.models.random import random_model
from stc_ros.ros.real_parts import load as load_for_a_node
from stc_ros.self_test import BOUND, own_logits, reference_logits, self_test
from stc_ros.settings import Settings
from stc_ros.stream import open_stream
from training.tiny.export import record

CPU = {'model.device': 'cpu'}


@pytest.mark.parametrize('dtype', [str(each).removeprefix('torch.') for each in BOUND])
def test_the_embedded_model_passes_in_every_dtype(dtype):
    assert self_test(load_model(Settings(CPU | {'model.dtype': dtype}))) < 5  # 0.2 s, were the machine idle


@pytest.mark.parametrize('dtype', list(BOUND))
@pytest.mark.parametrize('packed', [False, True])
def test_a_family_passes_and_is_far_from_its_bound(dtype, packed):
    model = random_model('toy', dtype=dtype, packed=packed)
    self_test(model)
    own, expected = own_logits(model), reference_logits(model)
    off = (own - expected).square().mean(-1).sqrt() / expected.std(-1)
    assert off.max() < BOUND[dtype] / 5


def test_what_is_recorded_of_the_embedded_model_is_what_transformers_computes(tmp_path):
    shutil.copytree(EMBEDDED, tmp_path / 'model', ignore=shutil.ignore_patterns('*.py', '__pycache__', 'self_test*'))
    record(tmp_path / 'model')
    again, shipped = (load_file(f / embedded.RECORDED)['logits'] for f in (tmp_path / 'model', EMBEDDED))
    torch.testing.assert_close(again, shipped, atol=1e-3, rtol=1e-3)


def test_the_test_leaves_nothing_behind():
    """A stream opened afterwards answers as if there had been no test."""
    tested, fresh = load_model(Settings(CPU)), load_model(Settings(CPU))
    self_test(tested)
    frames = torch.randint(0, 255, (3, 60, 80, 3), dtype=torch.uint8, generator=torch.manual_seed(1)).numpy()
    said = []
    for model in (tested, fresh):
        stream = open_stream(model, Settings(CPU))
        for stamp, frame in enumerate(frames):
            stream.see(frame, stamp)
        said.append(''.join(stream.ask('what is moving ?')))
    assert said[0] == said[1]


def shifted(model):
    run = model.decoder.run
    model.decoder.run = lambda x, positions, *rest, **more: run(x, positions * 2, *rest, **more)


def unnormalised(model):
    model.decoder.norm = torch.nn.Identity()
    model.decoder.norm.weight, model.decoder.norm.variance_epsilon = torch.full_like(model.newline[0], 3.0), 1e-6


def project(model, change):
    inner = model.project
    model.project = lambda x: change(inner, x)


def unprojected(model):
    project(model, lambda inner, x: inner(x).roll(1, -1))


def blind(model):
    project(model, lambda inner, x: inner(torch.zeros_like(x)))


def unpooled(model):
    project(model, lambda inner, x: inner(x).flip(1))


def nan(model):
    project(model, lambda inner, x: inner(x) * float('nan'))


def deaf(model):
    model.decoder.embed = lambda ids: model.decoder.embed_weight(torch.zeros(1, len(ids), dtype=torch.long))


def raising(model):
    def attend(*_):
        raise RuntimeError('no kernel image is available')

    model.decoder.attend = attend


SABOTAGE = {
    shifted: "differ from transformers'",
    unnormalised: "differ from transformers'",
    unprojected: "differ from transformers'",
    blind: "differ from transformers'",
    unpooled: "differ from transformers'",
    deaf: "differ from transformers'",
    nan: 'NaN',
    raising: 'raises RuntimeError: no kernel image',
}


@pytest.mark.parametrize('sabotage', SABOTAGE, ids=lambda s: s.__name__)
def test_a_family_whose_forward_is_sabotaged_is_refused(sabotage):
    model = llava_onevision.load(str(EMBEDDED), torch.device('cpu'), torch.float32)  # trained, so that all of it counts
    self_test(model)
    sabotage(model)
    with pytest.raises(ModelError, match=SABOTAGE[sabotage]) as refusal:
        self_test(model)
    assert 'embedded failed its self-test in float32 on cpu' in str(refusal.value)
    assert 'model.dtype' in str(refusal.value) and 'model.self_test:=false' in str(refusal.value)


@pytest.mark.parametrize('dtype', list(BOUND))
@pytest.mark.parametrize('error', ['scale', 'rows', 'zero', 'nan'])
def test_a_broken_kernel_is_found_though_the_reference_runs_on_it_too(monkeypatch, dtype, error):
    """Of wide products only, as kernels are chosen by size. torch's own functions call it, transformers' do, too."""
    model, product = random_model('toy', dtype=dtype), torch.nn.functional.linear

    def broken(x, weight, bias=None):
        y = product(x, weight, bias)
        if weight.shape[1] < 96:
            return y
        return {'scale': y * 1.1, 'rows': y.roll(1, -2), 'zero': y * 0, 'nan': y / 0}[error]

    monkeypatch.setattr(torch.nn.functional, 'linear', broken)
    with pytest.raises(ModelError, match='a product in the language model is wrong'):
        self_test(model)


def damaged(folder, change):
    shutil.copytree(EMBEDDED, folder, ignore=shutil.ignore_patterns('*.py', '__pycache__'))
    held = load_file(folder / 'model.safetensors')
    change(held)
    save_file(held, folder / 'model.safetensors', metadata={'format': 'pt'})
    return embedded.load(folder, torch.device('cpu'), torch.float32)


def swap(held):
    names = [n for n in held if n.endswith('layers.3.mlp.gate_proj.weight')]
    held[names[0]] = held[names[0].replace('3', '4')].clone()


def flip_bits(held):
    name = next(n for n in held if n.endswith('layers.2.self_attn.v_proj.weight'))
    bits = held[name].view(torch.int16).clone()
    bits[:, ::7] ^= 1 << 13  # of the exponent
    held[name] = bits.view(torch.bfloat16)


@pytest.mark.parametrize('change', [swap, flip_bits])
def test_damaged_weights_of_the_embedded_model_are_found(tmp_path, change):
    self_test(damaged(tmp_path / 'whole', lambda held: None))
    with pytest.raises(ModelError, match='failed its self-test'):
        self_test(damaged(tmp_path / 'damaged', change))


def test_a_node_refuses_unless_the_test_is_switched_off(toy, tmp_path, monkeypatch):
    from stc_ros.models.decoder import Decoder

    folder = shutil.copytree(toy, tmp_path / 'model')
    settings = Settings(CPU | {'model.name': str(folder)})
    load_for_a_node(settings)
    monkeypatch.setattr(Decoder, 'attend', lambda self, query, pieces: query.transpose(1, 2).flatten(2))
    with pytest.raises(ModelError, match='self-test'):
        load_for_a_node(settings)
    load_for_a_node(settings | {'model.self_test': False})


def test_overflow_of_float16_is_found(toy, tmp_path):
    """Weights that fit float16, whose products do not."""
    folder = shutil.copytree(toy, tmp_path / 'model')
    put(
        'multi_modal_projector.linear_1.bias', lambda w: torch.full_like(w['multi_modal_projector.linear_1.bias'], 6e4)
    )(folder)
    put('multi_modal_projector.linear_2.weight', lambda w: 10 + 0 * w['multi_modal_projector.linear_2.weight'])(folder)
    self_test(load(folder))
    with pytest.raises(ModelError, match='NaN or inf'):
        self_test(load(folder, **{'model.dtype': 'float16'}))


def test_a_model_without_a_reference_is_still_tested_for_numbers():
    model = replace(random_model('toy'), reference=None)
    self_test(model)
    nan(model)
    with pytest.raises(ModelError, match='NaN'):
        self_test(model)
