"""What is not computed follows the drift of samples: all of it where it is common, none where each has its own."""

import math

import pytest
import torch
from toy_tower import attentive_model, embed, pictures, plain
from worlds import moving_square

from stc_ros.vision.cachers.drift import CHANCE, FEWEST, follow, weigh
from stc_ros.vision.cachers.incremental import IncrementalState, take_samples
from stc_ros.vision.cachers.patches import spread_order
from stc_ros.vision.cachers.rows import compute_all, compute_rows

SURE = 1 / (1 + CHANCE**2)  # of a drift is followed where samples foretell each other without fail
GRID, FIRST, WIDTH = (14, 14), 1, 48
PATCHES = GRID[0] * GRID[1]
GRIDS = [(14, 14), (27, 27), (9, 13), (7, 7)]


def drawn(seed=0, samples=16):
    """Features [T, d], what is held [T, c], which rows are computed, and where among those the samples are."""
    rng = torch.Generator().manual_seed(seed)
    patches = torch.randperm(PATCHES, generator=rng)[: samples + 9].sort().values
    rows = torch.cat((torch.arange(FIRST), patches + FIRST))
    at = torch.randperm(len(patches), generator=rng)[:samples].sort().values + FIRST
    features, held = (torch.randn(PATCHES + FIRST, WIDTH, generator=rng) for _ in range(2))
    return rng, features, held, rows, weigh(features, GRID, FIRST, rows, at)


def idle(rows):
    """bool [T]: not computed, and no class token."""
    return torch.ones(PATCHES + FIRST).index_fill(0, rows, 0).bool()


def test_each_that_is_not_computed_has_shares_of_the_samples_drift_that_sum_to_one():
    _, _, _, rows, samples = drawn()
    sums = samples.weights.sum(1)
    torch.testing.assert_close(sums, idle(rows).float())
    torch.testing.assert_close(samples.others.sum(1), torch.ones(16))
    assert (samples.others.diagonal() == 0).all() and (samples.weights >= 0).all()


def test_what_is_near_and_alike_tells_more():
    """Of two samples as near, the one whose features are alike; of two as alike, the nearer."""
    features = torch.randn(PATCHES + FIRST, WIDTH, generator=torch.Generator().manual_seed(1))
    mine, left, right = (FIRST + 7 * GRID[1] + col for col in (7, 4, 10))
    features[left] = features[mine]
    rows = torch.cat((torch.arange(FIRST), torch.tensor([left, right])))
    shares = weigh(features, GRID, FIRST, rows, torch.tensor([1, 2])).weights[mine]
    assert shares[0] > 0.9
    features[right], features[left] = features[mine], features[mine]
    near = weigh(features, GRID, FIRST, rows, torch.tensor([1, 2])).weights[mine + 2]
    assert near[1] > near[0]


@pytest.mark.parametrize('parts', [1, 2])
def test_drift_that_is_common_reaches_everything(parts):
    rng, _, held, rows, samples = drawn()
    common = torch.randn(WIDTH, generator=rng)
    before, fresh = held.clone(), held[rows] + common
    foretold = follow(held, fresh, samples, parts)
    moved = common * SURE
    torch.testing.assert_close(held[idle(rows)], before[idle(rows)] + moved, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(foretold, fresh[samples.at] - common + moved, atol=1e-5, rtol=1e-5)
    assert torch.equal(held[rows], before[rows])  # whoever computed them writes those


def test_drift_that_changes_smoothly_across_the_picture_is_followed_most_of_the_way():
    rng, _, held, rows, samples = drawn(samples=24)
    across = torch.linspace(0, 2, GRID[1]).repeat(GRID[0])
    drift = torch.cat((torch.zeros(FIRST, 1), across[:, None])) * torch.randn(WIDTH, generator=rng)
    before = held.clone()
    follow(held, held[rows] + drift[rows], samples)
    left = (before + drift - held)[idle(rows)]
    assert left.norm() < 0.5 * drift[idle(rows)].norm()


def test_where_each_drifts_for_itself_nothing_is_spread():
    moved = []
    for seed in range(8):
        rng, _, held, rows, samples = drawn(seed)
        before, noise = held.clone(), torch.randn(len(rows), WIDTH, generator=rng)
        follow(held, held[rows] + noise, samples)
        moved.append(float((held - before)[idle(rows)].norm() / idle(rows).sum() ** 0.5 / WIDTH**0.5))
    assert sum(moved) / len(moved) < 0.02 and max(moved) < 0.05  # of noise whose size is 1


def test_each_part_of_what_is_held_has_a_gain_of_its_own():
    """Keys drift together, values each for itself: as many channels of both."""
    rng, _, held, rows, samples = drawn()
    half, before = WIDTH // 2, held.clone()
    common = torch.randn(half, generator=rng)
    drift = torch.cat((common.expand(len(rows), half), torch.randn(len(rows), half, generator=rng)), 1)
    follow(held, held[rows] + drift, samples, parts=2)
    moved = (held - before)[idle(rows)]
    torch.testing.assert_close(moved[:, :half], (common * SURE).expand_as(moved[:, :half]), atol=1e-5, rtol=1e-5)
    assert moved[:, half:].norm() / moved[:, half:].numel() ** 0.5 < 0.15


def test_what_is_foretold_of_a_sample_does_not_come_from_itself():
    """Its own fresh value has a say in the gain, which all share, and nowhere else."""
    rng, _, held, rows, samples = drawn()
    smooth = torch.randn(WIDTH, generator=rng) + 0.5 * torch.randn(len(rows), WIDTH, generator=rng)
    fresh, was = held[rows] + smooth, held[samples.rows]
    said = follow(held.clone(), fresh, samples) - was
    other = fresh.clone()
    other[samples.at[3]] += 5 * torch.randn(WIDTH, generator=rng)
    again = follow(held.clone(), other, samples) - was
    ratio = again[3] / said[3]
    torch.testing.assert_close(ratio, ratio.mean().expand(WIDTH), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(again[4] / said[4], ratio.mean().expand(WIDTH), atol=1e-2)  # of which it is one


# -- in the tower ------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def test_too_few_samples_tell_nothing_and_move_nothing():
    model = attentive_model()
    first, second = pictures(model, moving_square(2))
    for count in (FEWEST - 1, FEWEST):
        state = compute_all(model.tower, embed(model, first))
        before, patches = state.features.clone(), torch.arange(0, 2 * count, 2)
        found = compute_rows(model.tower, state, embed(model, second), patches, torch.ones(count, dtype=torch.bool))
        moved = (state.features != before).any(-1)[0]
        if count < FEWEST:
            assert found is None and not moved[1 : 2 * count : 2].any()
        else:
            were, foretold, are = found
            assert moved.sum() > count and torch.equal(were, before[0, patches])
            assert torch.equal(are, state.features[0, patches]) and foretold.shape == are.shape


@torch.inference_mode()
def test_following_brings_what_is_not_computed_nearer_to_what_it_would_be():
    """The light of the whole picture changes: twelve of 36 patches are samples for all."""
    model = attentive_model()
    first = pictures(model, moving_square(1))[0]
    second = (first.float() * 0.8 + 20).to(torch.uint8)
    true, errors = plain(model, second), []
    patches = spread_order((6, 6), 'cpu')[:12].sort().values
    for sampled in (None, torch.ones(12, dtype=torch.bool)):
        state = compute_all(model.tower, embed(model, first))
        compute_rows(model.tower, state, embed(model, second), patches, sampled)
        errors.append(float((state.features - true).norm()))
    assert errors[1] < 0.75 * errors[0]


# -- which are samples -------------------------------------------------------------------------------------------------


def emptiest(stretch, grid):
    """The largest distance from any patch to the nearest of the stretch."""
    places = torch.cartesian_prod(*(torch.arange(n, dtype=torch.float32) for n in grid))
    return float(torch.cdist(places, places[stretch]).min(1).values.max())


@pytest.mark.parametrize('grid', GRIDS)
def test_any_stretch_of_the_order_of_samples_is_spread_over_the_picture(grid):
    order, patches = spread_order(grid, 'cpu'), grid[0] * grid[1]
    assert order.sort().values.equal(torch.arange(patches))
    rng = torch.Generator().manual_seed(0)
    for count in (patches // 16, patches // 8, patches // 4):
        starts = torch.randperm(patches, generator=rng)[:40].tolist()
        mine = torch.tensor([emptiest(order.roll(-start)[:count], grid) for start in starts])
        chance = torch.tensor([emptiest(torch.randperm(patches, generator=rng)[:count], grid) for _ in starts])
        assert mine.max() <= 2 * (patches / count) ** 0.5 and mine.mean() < chance.mean()


def bare_state(grid):
    none = torch.empty(0)
    return IncrementalState(none, none, none, none, spread_order(grid, 'cpu'))


@pytest.mark.parametrize('count', [1, 5, 8, 60])
def test_every_patch_takes_its_turn_as_a_sample(count):
    state, waited = bare_state(GRID), torch.zeros(PATCHES, dtype=torch.long)
    for _ in range(3 * math.ceil(PATCHES / count)):
        taken = take_samples(state, torch.zeros(PATCHES, dtype=torch.bool), count)
        assert taken.sum() == count
        waited = (waited + 1).masked_fill(taken, 0)
        assert waited.max() < math.ceil(PATCHES / count) + 1


def test_what_has_changed_is_no_sample_and_costs_the_others_no_turn():
    """Whatever changes, each patch is a sample or changes within a round."""
    rng, state, waited = torch.Generator().manual_seed(0), bare_state(GRID), torch.zeros(PATCHES, dtype=torch.long)
    for _ in range(200):
        changed = torch.rand(PATCHES, generator=rng) < 0.3
        taken = take_samples(state, changed, 12)
        assert taken.sum() == 12 and not (taken & changed).any()
        waited = (waited + 1).masked_fill(taken | changed, 0)
        assert waited.max() < math.ceil(PATCHES / 12) + 1


def test_no_more_are_taken_than_there_are_and_none_when_none_is_asked_for():
    state, changed = bare_state(GRID), torch.ones(PATCHES, dtype=torch.bool)
    changed[[3, 90]] = False
    assert take_samples(state, changed, 2).nonzero()[:, 0].tolist() == [3, 90]
    at = state.next_sample
    assert not take_samples(state, changed, 0).any() and state.next_sample == at
