"""The pruner against its formulas written out, and the rules every choice of tokens must keep."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stc_ros.pruning.base import budget, gaussians, make_pruner
from stc_ros.pruning.delta import QUIET, REPEATED, RESTLESS, discount_repeated
from stc_ros.settings import PRUNERS, Settings
from stc_ros.vision.encode import FrameFeatures


class Shown(FrameFeatures):
    """A sight whose tokens are given, the projector's last layer the identity."""

    def __init__(self, tokens, changed=None):
        self.tokens = self.hidden = tokens
        self.changed = torch.ones(len(tokens)) if changed is None else changed
        self.keys, self.saliency = tokens[:, :8], tokens[:, 0]
        self.quiet = None
        self.token_grid = (len(tokens), 1) if len(tokens) != 49 else (7, 7)

    def mix(self, share):
        return share @ self.tokens


def prune(pruner, tokens, settings):
    selection = pruner.select(Shown(tokens), settings)
    assert torch.equal(selection.tokens, tokens[selection.index])
    return selection.index


def frames(count=5, tokens=49, width=24, seed=0):
    torch.manual_seed(seed)
    background = torch.randn(tokens, width)
    out = []
    for t in range(count):
        frame = background.clone() + 0.01 * torch.randn(tokens, width)
        frame[(7 * t) % tokens] = 3 * torch.randn(width)
        out.append(frame)
    return out


@pytest.mark.parametrize('name', PRUNERS)
def test_ratio_zero_keeps_everything_in_order(name):
    pruner = make_pruner(name)
    for x in frames():
        assert torch.equal(prune(pruner, x, Settings({'pruner.method': name, 'prune_ratio': 0.0})), torch.arange(49))


@hypothesis_settings(deadline=None, max_examples=40)
@given(
    ratio=st.floats(0, 0.95),
    tokens=st.integers(1, 60),
    name=st.sampled_from(['stc', 'released']),
    constant=st.booleans(),
)
def test_every_choice_is_exact_unique_sorted_and_in_range(ratio, tokens, name, constant):
    pruner, again, chosen = (
        make_pruner(name),
        make_pruner(name),
        Settings({'pruner.method': name, 'prune_ratio': ratio}),
    )
    for x in frames(3, tokens, 8):
        x = torch.ones_like(x) if constant else x
        kept = prune(pruner, x, chosen).tolist()
        assert len(kept) == budget(tokens, ratio) and kept == sorted(set(kept))
        assert kept[0] >= 0 and kept[-1] < tokens
        assert prune(again, x, chosen).tolist() == kept


def test_the_papers_novelty():
    """alpha (1 - cos(z, mean of past means)) + (1 - alpha) (1 - cos(z, frame mean)); the present is not in the past."""
    state, past = make_pruner('stc'), []
    chosen = Settings(
        {'pruner.method': 'stc', 'prune_ratio': 0.7, 'pruner.stc.temporal_weight': 0.3, 'pruner.stc.history_frames': 3}
    )
    for x in frames(7):
        space = [1 - float(F.cosine_similarity(z, x.mean(0), dim=0)) for z in x]
        scores = space
        if past:
            anchor = sum(past[-3:]) / len(past[-3:])
            scores = [0.3 * (1 - float(F.cosine_similarity(z, anchor, dim=0))) + 0.7 * s for z, s in zip(x, space)]
        expected = sorted(sorted(range(len(x)), key=lambda i: -scores[i])[: budget(len(x), 0.7)])
        assert prune(state, x, chosen).tolist() == expected
        past.append(x.mean(0))


def test_what_appeared_is_kept():
    state, chosen = make_pruner('stc'), Settings({'pruner.method': 'stc', 'prune_ratio': 0.9})
    for t, x in enumerate(frames(6)):
        wall = 2 * torch.ones(24)  # what all tokens have in common; the newcomer lacks it
        x = torch.where((torch.arange(49) == 7 * t)[:, None], x, x + wall)
        assert 7 * t in prune(state, x, chosen).tolist()


def test_the_released_score():
    """Half the channels, least variance first, Gaussian similarities to a history with no end; fewest points win."""
    state, chosen, history = make_pruner('released'), Settings({'pruner.method': 'released', 'prune_ratio': 0.6}), []
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
        assert prune(state, x, chosen).tolist() == expected


def test_gaussians_lie_in_their_range():
    y = torch.randn(100, 6)
    assert torch.all(gaussians(y, y[0]) > 0) and gaussians(y, y[0])[0] == pytest.approx(5)


def test_the_past_is_bounded():
    state, chosen = make_pruner('stc'), Settings({'pruner.method': 'stc', 'pruner.stc.history_frames': 4})
    for x in frames(40):
        prune(state, x, chosen)
    assert len(state.means) == 4
    state, chosen = make_pruner('released'), Settings({'pruner.method': 'released'})
    for x in frames(40):
        prune(state, x, chosen)
    assert state.total.shape == (12,) and state.count == 40


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


def test_every_thing_is_told_before_one_is_told_twice():
    """Four things of four tokens each, one more striking than the other: the `stc` pruner has room for four tokens."""
    torch.manual_seed(0)
    things, empty = torch.eye(4, 32), torch.ones(48, 32)
    full = empty.clone()
    for thing, strength in enumerate((11.0, 9.0, 7.0, 5.0)):
        full[8 * thing : 8 * thing + 4] += strength * things[thing] + 0.05 * torch.randn(4, 32)
    state, chosen = make_pruner('delta'), Settings({'pruner.method': 'delta', 'prune_ratio': 1 - 4 / RESTLESS / 48})
    prune(state, empty, chosen)
    assert sorted(i // 8 for i in prune(state, full, chosen).tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize('restless, share', [(False, QUIET), (True, RESTLESS)])
def test_how_many_are_told_follows_the_change(restless, share):
    """A quiet stream: one token of a hundred changes from frame to frame."""
    torch.manual_seed(0)
    state, chosen = make_pruner('delta'), Settings({'pruner.method': 'delta', 'prune_ratio': 0.7})
    x, counts = torch.randn(100, 24), []
    for t in range(60):
        fresh = torch.randn(100, 24)
        x = fresh if restless else torch.where(torch.arange(100)[:, None] == t, fresh, x)
        counts.append(len(prune(state, x, chosen)))
    assert sum(counts[1:]) / 59 == pytest.approx(30 * share, abs=1)


def test_a_standstill_is_told_for_a_while_and_then_not_any_more():
    """Also where something that is new never stands out enough to be told: it does not keep the others coming."""
    torch.manual_seed(0)
    state, chosen, x = (
        make_pruner('delta'),
        Settings({'pruner.method': 'delta', 'prune_ratio': 0.7}),
        torch.randn(100, 24),
    )
    prune(state, x, chosen)
    x[50:] = x[50:].mean(0) + 0.01 * torch.randn(50, 24)  # as dull as can be, and new
    counts = [len(prune(state, x, chosen)) for _ in range(80)]
    assert counts[0] and not any(counts[60:])
    x[7] = torch.randn(24)
    assert 7 in prune(state, x, chosen).tolist()
