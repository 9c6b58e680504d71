"""The methods of others against their formulas written out, and what the tower's last layer says to them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from given_frames import frames, select_all
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from worlds import moving_square

from stc_ros.models.random import random_model
from stc_ros.parameters import cachers, pruners
from stc_ros.pruning.base import budget, gaussians
from stc_ros.pruning.delta import RESTLESS
from stc_ros.vision.encode import encode_frame

VARIABLE = ('none', 'delta', 'dtd', 'vidcom2', 'pool')  # their docstrings say how many they keep


def expected_counts(name, tokens, ratio, number):
    """The least and the most that a frame may keep."""
    exact = budget(tokens, ratio)
    if name == 'none' or (number == 0 and name in ('delta', 'dtd')):
        return tokens, tokens
    if name == 'delta':
        return 1, min(tokens, int(RESTLESS * exact * number))
    if name == 'vidcom2':
        return max(1, int(tokens * (1 - ratio) * 0.5) - 1), min(tokens, int(2 * tokens * (1 - ratio)) + 1)
    if name == 'pool':
        side = max(1, round(7 * (1 - ratio) ** 0.5))
        return (side * side,) * 2 if tokens == 49 else (max(1, round(tokens * (1 - ratio) ** 0.5)),) * 2
    return exact, exact


@pytest.mark.parametrize('name', VARIABLE)
@hypothesis_settings(deadline=None, max_examples=25)
@given(ratio=st.floats(0, 0.95), tokens=st.sampled_from([1, 2, 3, 16, 49]), constant=st.booleans())
def test_methods_that_are_not_exact_keep_as_many_as_they_say(name, ratio, tokens, constant):
    assert not pruners[name].cls.exact
    stream = [torch.ones_like(x) if constant else x for x in frames(3, tokens, 8)]
    for number, selection in enumerate(select_all(name, stream, ratio)):
        kept, (least, most) = len(selection.index), expected_counts(name, tokens, ratio, number)
        assert least <= kept <= most or (ratio == 0 and kept == tokens)


# -- each method against its formula -----------------------------------------------------------------------------------


def test_uniform_takes_the_middles_of_equal_stretches():
    assert select_all('uniform', [torch.randn(12, 8)], 0.75)[0].index.tolist() == [2, 6, 10]


def test_random_draws_other_lots_for_other_frames():
    a, b = select_all('random', frames(2))
    assert not torch.equal(a.index, b.index)


def test_pool_averages_cells():
    x = torch.arange(49 * 8, dtype=torch.float32).view(49, 8)
    (chosen,) = select_all('pool', [x], 1 - 9 / 49)
    assert len(chosen.index) == 9 and chosen.index[4] == 24
    grid = x.view(7, 7, 8)
    torch.testing.assert_close(chosen.tokens[0], grid[:3, :3].mean((0, 1)))
    torch.testing.assert_close(chosen.tokens[4], grid[2:5, 2:5].mean((0, 1)))


def test_tome_merges_what_is_alike_first_and_weighs_by_size():
    x = torch.eye(8)[[0, 0, 1, 1, 1, 2, 3, 4]]  # 2 + 3 alike, the rest alone
    x = x + torch.arange(8)[:, None] * torch.tensor([0, 0, 0, 0, 0, 0, 0, 1e-3])
    (chosen,) = select_all('tome', [x], 3 / 8)
    assert chosen.index.tolist() == [1, 3, 5, 6, 7]
    torch.testing.assert_close(chosen.tokens[0], x[:2].mean(0))
    torch.testing.assert_close(chosen.tokens[1], x[2:5].mean(0))


def test_tome_goes_on_in_rounds_until_few_are_left():
    torch.manual_seed(0)
    x = torch.randn(49, 8)
    (chosen,) = select_all('tome', [x], 0.95)
    assert len(chosen.index) == 2
    assert torch.isfinite(chosen.tokens).all() and chosen.tokens.norm(dim=1).max() < x.norm(dim=1).max()


def test_visionzip_keeps_dominant_tokens_and_means_of_the_others():
    x = frames(1)[0]
    (chosen,) = select_all('visionzip', [x], 1 - 16 / 49)
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
    (chosen,) = select_all('fastervlm', [x], 0.8)
    assert chosen.index.tolist() == sorted(sorted(range(49), key=lambda i: -float(x[i, 0]))[:10])


def test_divprune_takes_always_the_one_farthest_from_those_taken():
    x = frames(1, 20, 6)[0]
    d = 1 - F.normalize(x, dim=1) @ F.normalize(x, dim=1).T
    taken = [max(range(20), key=lambda i: min(float(d[i, j]) for j in range(20) if j != i))]
    while len(taken) < 6:
        taken.append(max((i for i in range(20) if i not in taken), key=lambda i: min(float(d[i, j]) for j in taken)))
    assert select_all('divprune', [x], 0.7)[0].index.tolist() == sorted(taken)


def test_vidcom2_gives_unusual_frames_more_and_keeps_the_unusual_tokens():
    stream = [x + 2 for x in frames(5)]
    stream[3] = stream[3] * torch.randn(24)  # this one is unlike the others
    pruner, counts, means, worth = pruners.create('vidcom2'), [], [], []
    for x in stream:
        (chosen,) = select_all(pruner, [x])
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
    for before, now, chosen in zip(stream, stream[1:], select_all('dtd', stream)[1:]):
        alike = F.cosine_similarity(before, now, dim=1).tolist()
        assert chosen.index.tolist() == sorted(sorted(range(49), key=lambda i: alike[i])[:16])


# -- what the tower's last layer says ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('cacher', 'values'),
    [
        ('none', {}),
        ('stc', {'cacher.stc.cache_interval': 1}),
        ('threshold', {'cacher.threshold.cache_interval': 1}),
        ('incremental', {'cacher.incremental.static_frame_stride': 1}),
    ],
)
@torch.inference_mode()
def test_saliency_is_the_attention_received_in_the_last_layer(cacher, values):
    model, encoder = random_model(), cachers.create(cacher, values)
    for picture in moving_square(3):
        image = model.pixels.resize(picture)
        frame = encode_frame(model, encoder, image, cache_similarity=1.0)
    x = model.tower.embed(model.pixels.normalise(image, 'cpu', torch.float32))
    for block in model.tower.blocks[:-1]:
        x = x + block.attend(*(f(block.norm1(x)) for f in (block.q, block.k, block.v)))
        x = x + block.mlp(block.norm2(x))
    block = model.tower.blocks[-1]
    q, k = (f(block.norm1(x))[0].view(36, 2, 16) for f in (block.q, block.k))
    received = torch.stack([torch.softmax(q[:, h] @ k[:, h].T / 4, 1).mean(0) for h in (0, 1)]).mean(0)
    torch.testing.assert_close(frame.saliency, model.pool(received.view(1, 36, 1))[0, :, 0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(frame.keys, model.pool(k.mean(1)[None])[0], atol=1e-5, rtol=1e-4)
