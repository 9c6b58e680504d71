"""The loop over the language model's layers: positions of several axes, hooks between layers, order by sequence."""

import pytest
import torch
from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLTextConfig
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLRotaryEmbedding

from stc_ros.memory.query_context import QueryContext
from stc_ros.models.attention import Piece
from stc_ros.models.decoder import rotate
from stc_ros.models.random import random_model
from stc_ros.stream import open_stream

SECTIONS = [3, 2, 1]  # of the toy model's six frequencies
TOKENS = 7


@pytest.fixture
def decoder():
    decoder = random_model(seed=3).decoder
    assert len(decoder.frequencies) == sum(SECTIONS)
    return decoder


def with_axes(decoder):
    decoder.axis_of = torch.arange(3).repeat_interleave(torch.tensor(SECTIONS))
    return decoder


def test_positions_of_three_axes_are_those_of_transformers(decoder):
    positions = torch.randint(0, 300, (3, TOKENS), generator=torch.Generator().manual_seed(0))
    rope = {'rope_type': 'default', 'rope_theta': 10_000.0, 'mrope_section': SECTIONS}
    heads = decoder.heads
    theirs = Qwen2VLRotaryEmbedding(
        Qwen2VLTextConfig(hidden_size=heads * decoder.head_size, num_attention_heads=heads, rope_parameters=rope)
    )
    if not hasattr(theirs, 'recomposition_frequencies'):
        pytest.skip('this transformers puts the axes together elsewhere')
    theirs.inv_freq = decoder.frequencies.float()
    expected = theirs(torch.zeros(1), positions[:, None])  # [1, t, head] each
    for ours, their in zip(with_axes(decoder).rotation(positions), expected):
        torch.testing.assert_close(ours, their[0], atol=1e-5, rtol=1e-5)


def test_the_same_position_on_every_axis_is_one_position(decoder):
    positions = torch.arange(5, 5 + TOKENS)
    one = decoder.rotation(positions)
    three = with_axes(decoder).rotation(positions.expand(3, -1))
    assert all(torch.equal(a, b) for a, b in zip(one, three))
    moved = decoder.rotation(torch.stack((positions, positions + 1, positions)))
    assert not torch.equal(moved[0], one[0])


@torch.inference_mode()
def test_hooks_see_what_every_layer_gives_and_change_nothing(decoder):
    x = torch.randn(1, TOKENS, decoder.embed_weight.embedding_dim)
    positions = torch.arange(TOKENS)
    causal = decoder.mask(torch.ones(TOKENS, TOKENS, dtype=torch.bool).tril(), x.dtype)

    def write(layer, keys, values):
        return [Piece(rotate(keys, *decoder.rotation(positions)), values, causal)]

    seen = []
    plain = decoder.run(x, positions, write)
    hooked = decoder.run(x, positions, write, hooks=[lambda number, h: seen.append((number, h))])
    assert torch.equal(plain, hooked) and [number for number, _ in seen] == list(range(decoder.layers))
    last = torch.nn.functional.rms_norm(seen[-1][1], x.shape[-1:], decoder.norm.weight, decoder.norm.variance_epsilon)
    assert torch.equal(last, hooked) and not torch.equal(seen[0][1], seen[1][1])


@torch.inference_mode()
def test_what_is_causal_goes_by_the_order_of_tokens_not_by_their_positions(monkeypatch):
    """On several axes a later token may have a smaller position: it still sees those before it, they do not see it."""
    model = random_model(seed=3)
    x = torch.randn(1, 3, model.decoder.embed_weight.embedding_dim)
    backwards = torch.tensor([9, 5, 1])

    def run(x):
        context = QueryContext(open_stream(model, {'memory.max_tokens': 90}).memory)
        monkeypatch.setattr(torch, 'arange', lambda *_, **__: backwards[: x.shape[1]])
        try:
            return context.run(x)
        finally:
            monkeypatch.undo()

    whole = run(x)
    torch.testing.assert_close(run(x[:, :1])[:, 0], whole[:, 0])  # the first token sees nothing of the others
    other = x.clone()
    other[:, 0] += 1
    assert (run(other)[:, 2] - whole[:, 2]).abs().max() > 1e-3  # the last one sees the first
