"""The rules that every pruner keeps, and the methods of others against their formulas written out."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from test_pruner import Shown, frames
from worlds import moving_square

from stc_ros.models.random import random_model
from stc_ros.pruning.base import budget, gaussians, make_pruner
from stc_ros.pruning.delta import RESTLESS
from stc_ros.settings import PRUNERS, Settings
from stc_ros.vision.encode import VisionState, look

VARIABLE = ('none', 'delta', 'vidcom2', 'pool')  # their docstrings say how many they keep
MERGING = ('pool', 'tome', 'visionzip')  # these change values
FIRST_WHOLE = ('delta', 'dtd')
FRAME_ALONE = ('uniform', 'pool', 'tome', 'visionzip', 'divprune', 'fastervlm')


def settings(name, ratio=0.67, **more):
    return Settings({'pruner.method': name, 'prune_ratio': ratio, **more})


def run(name, stream, ratio=0.67):
    pruner = make_pruner(name)
    return [pruner.select(Shown(x), settings(name, ratio)) for x in stream]


def same(a, b):
    return torch.equal(a.index, b.index) and torch.equal(a.tokens, b.tokens)


def expected_counts(name, tokens, ratio, number):
    """The least and the most that a frame may keep."""
    exact = budget(tokens, ratio)
    if name == 'none' or (number == 0 and name in FIRST_WHOLE):
        return tokens, tokens
    if name == 'delta':
        return 1, min(tokens, int(RESTLESS * exact * number))
    if name == 'vidcom2':
        return max(1, int(tokens * (1 - ratio) * 0.5) - 1), min(tokens, int(2 * tokens * (1 - ratio)) + 1)
    if name == 'pool':
        side = max(1, round(7 * (1 - ratio) ** 0.5))
        return (side * side,) * 2 if tokens == 49 else (max(1, round(tokens * (1 - ratio) ** 0.5)),) * 2
    return exact, exact


@pytest.mark.parametrize('name', PRUNERS)
@hypothesis_settings(deadline=None, max_examples=25)
@given(ratio=st.floats(0, 0.95), tokens=st.sampled_from([1, 2, 3, 16, 49]), constant=st.booleans())
def test_indices_are_unique_sorted_in_range_and_as_many_as_said(name, ratio, tokens, constant):
    stream = [torch.ones_like(x) if constant else x for x in frames(3, tokens, 8)]
    once, again = run(name, stream, ratio), run(name, stream, ratio)
    for number, (x, one, two) in enumerate(zip(stream, once, again)):
        kept = one.index.tolist()
        assert kept == sorted(set(kept)) and kept[0] >= 0 and kept[-1] < tokens
        least, most = expected_counts(name, tokens, ratio, number)
        assert least <= len(kept) <= most or (ratio == 0 and len(kept) == tokens)
        assert one.tokens.shape == (len(kept), 8) and torch.isfinite(one.tokens).all()
        assert same(one, two)  # ties included
        if constant or name not in MERGING:
            torch.testing.assert_close(one.tokens, x[one.index])


@pytest.mark.parametrize('name', PRUNERS)
def test_ratio_zero_is_the_identity(name):
    for x, chosen in zip(frames(), run(name, frames(), 0.0)):
        assert torch.equal(chosen.index, torch.arange(49))
        torch.testing.assert_close(chosen.tokens, x)


@pytest.mark.parametrize('name', PRUNERS)
def test_a_frame_is_chosen_without_knowing_those_to_come(name):
    one = frames(6)
    other = [*one[:3], *frames(3, seed=8)]
    for a, b in list(zip(run(name, one), run(name, other)))[:3]:
        assert same(a, b)


@pytest.mark.parametrize('name', PRUNERS)
def test_two_streams_in_turn_do_not_know_of_each_other(name):
    streams = frames(5), frames(5, seed=4)
    pruners = make_pruner(name), make_pruner(name)
    together = [[p.select(Shown(x), settings(name)) for p, x in zip(pruners, pair)] for pair in zip(*streams)]
    for side in (0, 1):
        for mixed, alone in zip(together, run(name, streams[side])):
            assert same(mixed[side], alone)


@pytest.mark.parametrize('name', FRAME_ALONE)
def test_methods_of_a_frame_alone_do_not_care_what_came_before(name):
    forth, back = run(name, frames()), run(name, frames()[::-1])
    for a, b in zip(forth, back[::-1]):
        assert same(a, b)


@pytest.mark.parametrize('name', PRUNERS)
def test_the_present_frame_is_not_changed_nor_kept_by_reference(name):
    """A cacher may write the next frame's features into the same memory."""
    buffer, pruner, clean = torch.empty(49, 24), make_pruner(name), run(name, frames())
    for x, expected in zip(frames(), clean):
        buffer.copy_(x)
        got = pruner.select(Shown(buffer), settings(name))
        assert torch.equal(buffer, x) and torch.equal(got.index, expected.index)


# -- each method against its formula -----------------------------------------------------------------------------------


def test_uniform_takes_the_middles_of_equal_stretches():
    assert run('uniform', [torch.randn(12, 8)], 0.75)[0].index.tolist() == [2, 6, 10]


def test_random_draws_other_lots_for_other_frames():
    a, b = run('random', frames(2))
    assert not torch.equal(a.index, b.index)


def test_pool_averages_cells():
    x = torch.arange(49 * 8, dtype=torch.float32).view(49, 8)
    (chosen,) = run('pool', [x], 1 - 9 / 49)
    assert len(chosen.index) == 9 and chosen.index[4] == 24
    grid = x.view(7, 7, 8)
    torch.testing.assert_close(chosen.tokens[0], grid[:3, :3].mean((0, 1)))
    torch.testing.assert_close(chosen.tokens[4], grid[2:5, 2:5].mean((0, 1)))


def test_tome_merges_what_is_alike_first_and_weighs_by_size():
    x = torch.eye(8)[[0, 0, 1, 1, 1, 2, 3, 4]]  # 2 + 3 alike, the rest alone
    x = x + torch.arange(8)[:, None] * torch.tensor([0, 0, 0, 0, 0, 0, 0, 1e-3])
    (chosen,) = run('tome', [x], 3 / 8)
    assert chosen.index.tolist() == [1, 3, 5, 6, 7]
    torch.testing.assert_close(chosen.tokens[0], x[:2].mean(0))
    torch.testing.assert_close(chosen.tokens[1], x[2:5].mean(0))


def test_tome_goes_on_in_rounds_until_few_are_left():
    torch.manual_seed(0)
    x = torch.randn(49, 8)
    (chosen,) = run('tome', [x], 0.95)
    assert len(chosen.index) == 2
    assert torch.isfinite(chosen.tokens).all() and chosen.tokens.norm(dim=1).max() < x.norm(dim=1).max()


def test_visionzip_keeps_dominant_tokens_and_means_of_the_others():
    x = frames(1)[0]
    (chosen,) = run('visionzip', [x], 1 - 16 / 49)
    order = sorted(range(49), key=lambda i: (-float(x[i, 0]), i))
    dominant, others = order[:14], sorted(order[14:])  # 10 / 64 of 16 are 2
    targets = [others[0], others[17]]
    unit = F.normalize(x[:, :8], dim=1)
    groups = {t: [t] for t in targets}
    for i in set(others) - set(targets):
        groups[max(targets, key=lambda t: float(unit[i] @ unit[t]))].append(i)
    assert chosen.index.tolist() == sorted(dominant + targets)
    for i, token in zip(chosen.index.tolist(), chosen.tokens):
        torch.testing.assert_close(token, x[groups.get(i, [i])].mean(0), atol=1e-5, rtol=1e-5)


def test_fastervlm_keeps_the_most_salient():
    x = frames(1)[0]
    (chosen,) = run('fastervlm', [x], 0.8)
    assert chosen.index.tolist() == sorted(sorted(range(49), key=lambda i: -float(x[i, 0]))[:10])


def test_divprune_takes_always_the_one_farthest_from_those_taken():
    x = frames(1, 20, 6)[0]
    d = 1 - F.normalize(x, dim=1) @ F.normalize(x, dim=1).T
    taken = [max(range(20), key=lambda i: min(float(d[i, j]) for j in range(20) if j != i))]
    while len(taken) < 6:
        taken.append(max((i for i in range(20) if i not in taken), key=lambda i: min(float(d[i, j]) for j in taken)))
    assert run('divprune', [x], 0.7)[0].index.tolist() == sorted(taken)


def test_vidcom2_gives_unusual_frames_more_and_keeps_the_unusual_tokens():
    stream = [x + 2 for x in frames(5)]
    stream[3] = stream[3] * torch.randn(24)  # this one is unlike the others
    pruner, counts, means, worth = make_pruner('vidcom2'), [], [], []
    for x in stream:
        chosen = pruner.select(Shown(x), settings('vidcom2'))
        quiet = sorted(range(24), key=lambda c: float(x[:, c].var(unbiased=False)))[:12]
        means.append(x.mean(0))
        y = F.normalize(x[:, quiet], dim=1)
        video = gaussians(y, F.normalize(sum(means)[quiet] / len(means), dim=0))
        worth.append(-float(video.mean()))
        w = np.exp((np.array(worth) - max(worth)) / 0.01)
        count = int(49 * 0.33 * (1 + w[-1] / w.sum() - 1 / len(w)))
        score = (video + gaussians(y, y.mean(0))).tolist()
        assert chosen.index.tolist() == sorted(sorted(range(49), key=lambda i: score[i])[:count])
        counts.append(count)
    assert counts[3] > max(counts[1:3]) and len(pruner.past) <= 17


def test_dtd_keeps_what_differs_from_the_frame_before():
    stream = frames(4)
    for before, now, chosen in zip(stream, stream[1:], run('dtd', stream)[1:]):
        alike = F.cosine_similarity(before, now, dim=1).tolist()
        assert chosen.index.tolist() == sorted(sorted(range(49), key=lambda i: alike[i])[:16])


# -- what the tower's last layer says ----------------------------------------------------------------------------------


@pytest.mark.parametrize('cacher', ['none', 'stc', 'similarity', 'incremental'])
@torch.inference_mode()
def test_saliency_is_the_attention_received_in_the_last_layer(cacher):
    model, state = random_model(), VisionState()
    chosen = Settings(
        {
            'cacher.method': cacher,
            'cacher.stc.cache_interval': 1,
            'cache_similarity': 1.0,
            'cacher.incremental.static_frame_stride': 1,
        }
    )
    for frame in moving_square(3):
        image = model.pixels.resize(frame)
        sight = look(model, state, image, chosen, refresh=False)
    x = model.tower.embed(model.pixels.normalise(image, 'cpu', torch.float32))
    for block in model.tower.blocks[:-1]:
        x = x + block.attend(*(f(block.norm1(x)) for f in (block.q, block.k, block.v)))
        x = x + block.mlp(block.norm2(x))
    block = model.tower.blocks[-1]
    q, k = (f(block.norm1(x))[0].view(36, 2, 16) for f in (block.q, block.k))
    received = torch.stack([torch.softmax(q[:, h] @ k[:, h].T / 4, 1).mean(0) for h in (0, 1)]).mean(0)
    torch.testing.assert_close(sight.saliency, model.pool(received.view(1, 36, 1))[0, :, 0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(sight.keys, model.pool(k.mean(1)[None])[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('name', PRUNERS)
@pytest.mark.parametrize('cacher', ['none', 'incremental'])
@torch.inference_mode()
def test_every_pruner_works_on_what_a_tower_saw(name, cacher):
    """Tokens equal the whole projection's, and a merge before the projector's last layer equals one behind it."""
    model, state, pruner = random_model(), VisionState(), make_pruner(name)
    chosen = settings(name, 0.5) | {'cacher.method': cacher, 'cacher.incremental.static_frame_stride': 1}
    for frame in moving_square(4):
        sight = look(model, state, model.pixels.resize(frame), chosen, refresh=False)
        got = pruner.select(sight, chosen)
        whole = model.pool(model.project_out(model.project_in(sight.features)))[0]
        if name in MERGING:
            assert got.tokens.shape == (len(got.index), 48) and torch.isfinite(got.tokens).all()
            share = torch.eye(9)[::2] * 0.5 + 0.5 / 9
            torch.testing.assert_close(sight.mix(share), share @ whole, atol=1e-5, rtol=1e-5)
        else:
            torch.testing.assert_close(got.tokens, whole[got.index], atol=1e-5, rtol=1e-5)
