"""STC-Pruner as published and as released, and the delta pruner, against their formulas written out."""

import pytest
import torch
import torch.nn.functional as F
from given_frames import frames, select
from released import ReleasedPruner

from stc_ros.pruning.base import budget, gaussians
from stc_ros.pruning.delta import QUIET, REPEATED, RESTLESS, DeltaPruner, discount_repeated
from stc_ros.pruning.stc import STCPruner


def test_the_published_novelty():
    """alpha (1 - cos(z, mean of past means)) + (1 - alpha) (1 - cos(z, frame mean)); the present is not in the past."""
    pruner, past = STCPruner(temporal_weight=0.3, history_frames=3), []
    for x in frames(7):
        space = [1 - float(F.cosine_similarity(z, x.mean(0), dim=0)) for z in x]
        scores = space
        if past:
            anchor = sum(past[-3:]) / len(past[-3:])
            scores = [0.3 * (1 - float(F.cosine_similarity(z, anchor, dim=0))) + 0.7 * s for z, s in zip(x, space)]
        expected = sorted(sorted(range(len(x)), key=lambda i: -scores[i])[: budget(len(x), 0.7)])
        assert select(pruner, x, 0.7).tolist() == expected
        past.append(x.mean(0))


def test_what_appeared_is_kept():
    pruner = STCPruner()
    for t, x in enumerate(frames(6)):
        wall = 2 * torch.ones(24)  # what all tokens have in common; the newcomer lacks it
        x = torch.where((torch.arange(49) == 7 * t)[:, None], x, x + wall)
        assert 7 * t in select(pruner, x, 0.9).tolist()


def test_the_released_score():
    """Half the channels, least variance first, Gaussian similarities to a history with no end; fewest points win."""
    pruner, history = ReleasedPruner(), []
    for x in frames(4):
        order = sorted(range(24), key=lambda c: float(((x[:, c] - x[:, c].mean()) ** 2).mean()))[:12]
        y = x[:, order]
        history.append(y.mean(0))
        memory = F.normalize(torch.stack(history).mean(0), dim=0)
        unit = F.normalize(y, dim=1)
        score = [
            sum(
                float(torch.exp(-(z - c).square().sum() / (2 * 2.0**p)))
                for c in (memory, unit.mean(0))
                for p in (-3, -2, -1, 0, 1)
            )
            for z in unit
        ]
        expected = sorted(sorted(range(49), key=lambda i: score[i])[: budget(49, 0.6)])
        assert select(pruner, x, 0.6).tolist() == expected


def test_gaussians_lie_in_their_range():
    y = torch.randn(100, 6)
    assert torch.all(gaussians(y, y[0]) > 0) and gaussians(y, y[0])[0] == pytest.approx(5)


def test_the_past_is_bounded():
    published, released = STCPruner(history_frames=4), ReleasedPruner()
    for x in frames(40):
        select(published, x, 0.67), select(released, x, 0.67)
    assert len(published.means) == 4
    assert released.total.shape == (12,) and released.count == 40


def test_worth_of_what_a_worthier_token_says_already():
    torch.manual_seed(0)
    worth, apart = torch.rand(20), torch.randn(20, 3)
    worth[5] = worth[6]  # of two equals neither is the worthier one
    apart[6] = apart[5]
    expected = []
    for i in range(20):
        alike = [float(F.cosine_similarity(apart[i], apart[j], dim=0)) for j in range(20) if worth[j] > worth[i]]
        expected.append(float(worth[i]) * (1 - REPEATED * max([0.0, *alike])))
    torch.testing.assert_close(discount_repeated(worth, apart), torch.tensor(expected))


def test_every_thing_is_sent_before_one_is_sent_twice():
    """Four things of four tokens each, one more striking than the other: there is room for four tokens."""
    torch.manual_seed(0)
    things, empty = torch.eye(4, 32), torch.ones(48, 32)
    full = empty.clone()
    for thing, strength in enumerate((11.0, 9.0, 7.0, 5.0)):
        full[8 * thing : 8 * thing + 4] += strength * things[thing] + 0.05 * torch.randn(4, 32)
    pruner, ratio = DeltaPruner(), 1 - 4 / RESTLESS / 48
    select(pruner, empty, ratio)
    assert sorted(i // 8 for i in select(pruner, full, ratio).tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize('restless, share', [(False, QUIET), (True, RESTLESS)])
def test_how_many_are_sent_follows_the_change(restless, share):
    """A quiet stream: one token of a hundred changes from frame to frame."""
    torch.manual_seed(0)
    pruner, x, counts = DeltaPruner(), torch.randn(100, 24), []
    for t in range(60):
        fresh = torch.randn(100, 24)
        x = fresh if restless else torch.where(torch.arange(100)[:, None] == t, fresh, x)
        counts.append(len(select(pruner, x, 0.7)))
    assert sum(counts[1:]) / 59 == pytest.approx(30 * share, abs=1)


def test_a_static_stream_is_sent_for_a_while_and_then_not_any_more():
    """Also where something that is new never stands out enough to be sent: it does not keep the others coming."""
    torch.manual_seed(0)
    pruner, x = DeltaPruner(), torch.randn(100, 24)
    select(pruner, x, 0.7)
    x[50:] = x[50:].mean(0) + 0.01 * torch.randn(50, 24)  # as dull as can be, and new
    counts = [len(select(pruner, x, 0.7)) for _ in range(80)]
    assert counts[0] and not any(counts[60:])
    x[7] = torch.randn(24)
    assert 7 in select(pruner, x, 0.7).tolist()
