"""Cachers that choose in every layer against the plain tower, and against formulas written out token by token."""

import pytest
import torch
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel
from worlds import moving_square

from stc_ros.models.random import random_model
from stc_ros.models.tower import build_tower
from stc_ros.vision.cachers.layerwise import LayerwiseState, compute, run_layers
from stc_ros.vision.cachers.none import NoCacher
from stc_ros.vision.cachers.stc import STCCacher
from stc_ros.vision.cachers.threshold import ThresholdCacher

STC = STCCacher(update_ratio=0.25, cache_interval=4), 0.0  # with a `cache_similarity`, which it does not read
THRESHOLD = ThresholdCacher(cache_interval=4), 0.9


@pytest.fixture(scope='module')
def model():
    model = random_model()
    for block in model.tower.blocks:  # default initialisation is so small that layers would hardly matter
        for linear in (block.q, block.k, block.v, block.out):
            nn.init.normal_(linear.weight, std=0.3)
    return model


@pytest.fixture(scope='module')
def patches(model):
    """Eight embedded frames, [1, T, d] each."""
    with torch.inference_mode():
        return [
            model.tower.embed(model.pixels.normalise(model.pixels.resize(f), 'cpu', torch.float32))
            for f in moving_square(8)
        ]


def plain(tower, x):
    for block in tower.blocks:
        x, _ = compute(block, x)
    return x


@torch.inference_mode()
def run(tower, frames, method, state=None, refresh=False):
    """[(last block's output [F, T, d], share recomputed [F, T])] of calls with embedded tokens [F, T, d] each.

    method: a cacher, of which only its parameters count, and `cache_similarity`.
    """
    (cacher, cache_similarity), state = method, LayerwiseState() if state is None else state

    def choose(key, reference):
        return cacher.choose(key, reference, cache_similarity, tower.class_tokens)

    return [run_layers(tower, state, x, choose, cacher.cache_interval, refresh) for x in frames]


@pytest.mark.parametrize(
    'method',
    [
        (STCCacher(update_ratio=1.0), 0.0),
        (STCCacher(cache_interval=1), 0.0),
        (ThresholdCacher(), 1.0),
        (ThresholdCacher(cache_interval=1), 0.9),
    ],
    ids=['r=1', 'N=1', 'tau=1', 'tau N=1'],
)
def test_recomputing_everything_is_the_plain_tower(model, patches, method):
    for x, (y, recomputed) in zip(patches, run(model.tower, patches, method)):
        torch.testing.assert_close(y, plain(model.tower, x), atol=1e-5, rtol=1e-5)
        assert recomputed.min() == 1


@torch.inference_mode()
def test_no_cacher_is_the_plain_tower(model, patches):
    cacher, image = NoCacher(), torch.zeros(1, 3, 24, 24, dtype=torch.uint8)
    for x in patches:
        encoded = cacher.encode(model.tower, image, lambda x=x: x, 0.0)
        torch.testing.assert_close(encoded.features, plain(model.tower, x), atol=1e-5, rtol=1e-5)
        assert encoded.recomputed.min() == 1


@pytest.mark.parametrize('ratio', [0.0, 0.03, 0.25, 0.5, 0.9])
def test_an_identical_frame_is_exact_for_every_ratio(model, patches, ratio):
    x = patches[0]
    (_, _), (y, recomputed) = run(model.tower, [x, x.clone()], (STCCacher(update_ratio=ratio), 0.0))
    torch.testing.assert_close(y, plain(model.tower, x), atol=1e-5, rtol=1e-5)
    assert float(recomputed.sum()) == pytest.approx(max(1, int(ratio * x.shape[1])), rel=1e-4)


def test_a_token_reused_in_every_layer_is_the_old_output_plus_the_change_of_its_embedding(model, patches):
    (y_ref, _), (y, recomputed) = run(model.tower, patches[:2], STC)
    static = recomputed[0] == 0
    assert 0 < static.sum() < static.numel()
    expected = y_ref + patches[1] - patches[0]
    torch.testing.assert_close(y[0, static], expected[0, static], atol=1e-5, rtol=1e-5)


def test_the_selective_layer_is_the_published_formula(model, patches):
    """stc.md 1.4 written out with loops, one layer after the other."""
    tower, ratio = model.tower, 0.25
    x_ref, x = patches[0][0], patches[3][0]
    for block in tower.blocks:
        h_ref, h = block.norm1(x_ref), block.norm1(x)
        key_ref, value_ref, key = block.k(h_ref), block.v(h_ref), block.k(h)
        attention_ref = block.attend(block.q(h_ref)[None], key_ref[None], value_ref[None])[0]
        mlp_ref = block.mlp(block.norm2(x_ref + attention_ref))
        similarity = [float(torch.dot(a, b) / (a.norm() * b.norm())) for a, b in zip(key, key_ref)]
        chosen = sorted(range(len(x)), key=lambda i: similarity[i])[: int(ratio * len(x))]
        value, attention, mlp = value_ref.clone(), attention_ref.clone(), mlp_ref.clone()
        for i in chosen:
            value[i] = block.v(h[i])
        size = x.shape[1] // block.heads
        for i in chosen:
            q, heads = block.q(h[i]), []
            for head in range(block.heads):
                cut = slice(head * size, (head + 1) * size)
                heads.append(torch.softmax(key[:, cut] @ q[cut] / size**0.5, 0) @ value[:, cut])
            attention[i] = block.out(torch.cat(heads))
        u = x + attention
        for i in chosen:
            mlp[i] = block.mlp(block.norm2(u[i]))
        x, x_ref = u + mlp, x_ref + attention_ref + mlp_ref
    (_, _), (y, _) = run(tower, [patches[0], patches[3]], (STCCacher(update_ratio=ratio), 0.0))
    torch.testing.assert_close(y[0], x, atol=1e-4, rtol=1e-4)


def test_the_threshold_recomputes_what_falls_below_and_nothing_else(model, patches):
    block = model.tower.blocks[0]
    key, reference = (block.k(block.norm1(x)) for x in (patches[2], patches[0]))
    cacher, cache_similarity = THRESHOLD
    chosen = cacher.choose(key, reference[0], cache_similarity)
    cosine = torch.nn.functional.cosine_similarity(key, reference, dim=-1)
    assert torch.equal(chosen, cosine < cache_similarity)
    assert 0 < chosen.sum() < chosen.numel()


def test_higher_similarity_recomputes_more_and_errs_less(model, patches):
    shares, errors = [], []
    for tau in (0.0, 0.5, 0.8, 0.95, 1.0):
        out = run(model.tower, patches[:4], (ThresholdCacher(), tau))
        shares.append(sum(float(r.mean()) for _, r in out[1:]))
        errors.append(sum(float((y - plain(model.tower, x)).norm()) for x, (y, _) in zip(patches, out)))
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 3
    assert errors[-1] < 1e-3 < errors[1] and errors == sorted(errors, reverse=True)


def test_refresh_every_n_frames_and_on_demand(model, patches):
    tower, state = model.tower, LayerwiseState()
    dense = [float(r.mean()) == 1 for _, r in run(tower, patches, STC, state)]
    assert dense == [True, False, False, False, True, False, False, False]
    ((_, recomputed),) = run(tower, patches[1:2], STC, state, refresh=True)
    assert recomputed.min() == 1


def test_two_interleaved_streams_equal_each_alone(model, patches):
    other = [x + 0.1 for x in reversed(patches)]
    alone = run(model.tower, patches, STC), run(model.tower, other, STC)
    one, two = LayerwiseState(), LayerwiseState()
    for i, (x, z) in enumerate(zip(patches, other)):
        assert torch.equal(run(model.tower, [x], STC, one)[0][0], alone[0][i][0])
        assert torch.equal(run(model.tower, [z], STC, two)[0][0], alone[1][i][0])


@pytest.mark.parametrize('method', [STC, THRESHOLD], ids=['stc', 'threshold'])
def test_frames_in_one_call_share_a_reference_and_choose_for_themselves(model, patches, method):
    """A call with three frames is three calls against the same reference."""
    tower = model.tower
    state = LayerwiseState()
    run(tower, patches[:1], method, state)
    ((together, chosen),) = run(tower, [torch.cat(patches[1:4])], method, state)
    for i, x in enumerate(patches[1:4]):
        (_, _), (alone, r) = run(tower, [patches[0], x], method)
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-5)
        assert torch.equal(chosen[i : i + 1], r)


def test_a_refresh_with_several_frames_keeps_the_last_and_not_the_memory_of_all(model, patches):
    state = LayerwiseState()
    run(model.tower, [torch.cat(patches[:3])], STC, state)
    single = LayerwiseState()
    run(model.tower, [patches[2]], STC, single)
    for ours, alone in zip(state.references, single.references):
        torch.testing.assert_close(ours.key, alone.key, atol=1e-5, rtol=1e-5)
        assert ours.mlp.untyped_storage().nbytes() == alone.mlp.numel() * 4


@pytest.mark.parametrize('change', [lambda x: x[:, :30], lambda x: x.double()], ids=['tokens', 'dtype'])
def test_another_shape_or_dtype_refreshes_by_itself(model, patches, change):
    tower = random_model().tower
    if change(patches[0]).dtype == torch.float64:
        for block in tower.blocks:
            for part in (block.norm1, block.q, block.k, block.v, block.out, block.norm2, block.mlp):
                part.double()
        state = LayerwiseState()
        run(random_model().tower, patches[:1], STC, state)
    else:
        state = LayerwiseState()
        run(tower, patches[:1], STC, state)
    ((y, recomputed),) = run(tower, [change(patches[1])], STC, state)
    assert recomputed.min() == 1
    torch.testing.assert_close(y, plain(tower, change(patches[1])), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('method', [STC, (ThresholdCacher(), 0.0)], ids=['stc', 'threshold'])
def test_a_class_token_is_always_recomputed(method):
    torch.manual_seed(0)
    clip = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=2,
            image_size=24,
            patch_size=4,
        )
    ).eval()
    tower = build_tower(clip, -2, 'default')
    assert tower.class_tokens == 1 and len(tower.blocks) == 2
    with torch.inference_mode():
        x = tower.embed(torch.randn(1, 3, 24, 24))
        later = x.clone()
        later[:, 5:] += 0.5  # the class token itself does not change at all
    (_, _), (y, recomputed) = run(tower, [x, later], method)
    assert recomputed[0, 0] == 1 and recomputed.mean() < 1
    assert tower.finish(y).shape == (1, 36, 32)
