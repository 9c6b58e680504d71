"""Packed weights compute what plain ones do."""

import numpy as np
import pytest
import torch
from memories import kept
from torch import nn
from worlds import moving_square

from stc_ros.models.packed import PackedLinear, can_pack, pack
from stc_ros.models.random import random_model
from stc_ros.settings import Settings
from stc_ros.stream import open_stream

needs_packing = pytest.mark.skipif(not can_pack(torch.ones(1, 1)), reason='this build of PyTorch has no oneDNN')


@needs_packing
@pytest.mark.parametrize('rows', [1, 3, 64, 200])
@pytest.mark.parametrize('bias', [True, False])
@torch.inference_mode()
def test_a_packed_layer_computes_what_the_plain_one_does(rows, bias):
    linear = nn.Linear(40, 72, bias=bias)
    x = torch.randn(2, rows, 40)
    torch.testing.assert_close(PackedLinear(linear)(x), linear(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(PackedLinear(linear)(x[0, 0]), linear(x[0, 0]), atol=1e-5, rtol=1e-5)


@needs_packing
@pytest.mark.parametrize('gelu', ['tanh', 'none'])
@torch.inference_mode()
def test_the_activation_joins_the_layer(gelu):
    linear, x = nn.Linear(40, 72), torch.randn(9, 40)
    expected = torch.nn.functional.gelu(linear(x), approximate=gelu)
    torch.testing.assert_close(PackedLinear(linear, gelu)(x), expected, atol=1e-5, rtol=1e-5)


@needs_packing
@torch.inference_mode()
def test_bfloat16_is_as_exact_as_before():
    linear = nn.Linear(40, 72)
    x = torch.randn(30, 40)
    if not can_pack(linear.weight.bfloat16()):
        pytest.skip('this processor has no bfloat16')
    exact = linear(x)
    plain = linear.bfloat16()
    error = (plain(x.bfloat16()).float() - exact).abs().max()
    assert (PackedLinear(plain)(x.bfloat16()).float() - exact).abs().max() <= 1.5 * error


def test_other_dtypes_and_subclasses_are_left_alone():
    class Special(nn.Linear):
        pass

    body = nn.Sequential(nn.Linear(4, 4).half(), Special(4, 4), nn.LayerNorm(4))
    pack(body, smallest=0)
    assert not any(isinstance(part, PackedLinear) for part in body)


def test_small_layers_are_left_alone():
    body = nn.Sequential(nn.Linear(700, 748), nn.Linear(700, 750))
    pack(body)
    assert type(body[0]) is nn.Linear and isinstance(body[1], PackedLinear) == can_pack(torch.ones(1, 1))


@needs_packing
@pytest.mark.parametrize(
    'settings',
    [
        Settings({'cacher.method': 'none', 'pruner.method': 'none'}),
        Settings({'cacher.method': 'incremental', 'pruner.method': 'delta'}),
    ],
    ids=['plain', 'incremental'],
)
def test_a_stream_with_packed_weights_says_and_keeps_the_same(settings):
    streams = [open_stream(random_model(seed=3, packed=packed), settings) for packed in (False, True)]
    mlp = streams[1].model.tower.blocks[0].mlp
    assert isinstance(mlp.fc1, PackedLinear) and isinstance(mlp.activation_fn, nn.Identity)
    for i, frame in enumerate(moving_square(6)):
        plain, packed = (stream.see(frame, i) for stream in streams)
        assert np.array_equal(plain.kept, packed.kept)
    torch.testing.assert_close(kept(streams[0]), kept(streams[1]), atol=1e-4, rtol=1e-4)
    assert ''.join(streams[0].ask('what is moving ?', 8)) == ''.join(streams[1].ask('what is moving ?', 8))


def test_a_layer_whose_packed_product_is_wrong_stays_plain(monkeypatch):
    body, forward = nn.Sequential(nn.Linear(64, 96), nn.Linear(96, 48)), PackedLinear.forward
    pack(body, smallest=0)
    assert all(type(layer) is PackedLinear for layer in body)
    monkeypatch.setattr(PackedLinear, 'forward', lambda self, x: forward(self, x) * (1.1 if x.shape[-1] == 96 else 1))
    body = nn.Sequential(nn.Linear(64, 96), nn.Linear(96, 48))
    pack(body, smallest=0)
    assert [type(layer) for layer in body] == [PackedLinear, nn.Linear]
