"""What a frame may recompute at most: bursts of change are spread over the next frames, and questions do not wait."""

import dataclasses

import numpy as np
import pytest
import torch
from toy_tower import COMPACT, attentive_model, embed, pictures, plain, run
from worlds import moving_square

from stc_ros.compression.compact import allowance, catch_up, choose_changed, encode_compact, pooled_with, similarity
from stc_ros.settings import Settings
from stc_ros.stream import Stream

BURSTS = dataclasses.replace(COMPACT, recompute_burst=0.25)


@pytest.fixture(scope='module')
def model():
    return attentive_model()


@pytest.mark.parametrize('limit', [0.25, 0.5, 0.7, 0.9])
def test_under_a_limit_no_frame_costs_more_and_nothing_waits_for_ever(model, limit):
    """Every patch changes in every frame: the limit holds, and none gets older than the refresh period."""
    rng = np.random.default_rng(0)
    images = pictures(model, [rng.integers(0, 256, (24, 24, 3), np.uint8) for _ in range(40)])
    settings = dataclasses.replace(COMPACT, recompute_limit=limit)
    most = int(limit * 36) // 8 * 8                                 # whole buckets of 8
    last = torch.zeros(36, dtype=torch.long)
    for t, (_, recomputed) in enumerate(run(model, images, settings)):
        assert recomputed.sum() == (most if t else 36)
        last[recomputed] = t
        assert t - last.min() <= settings.refresh_period


def test_under_a_limit_what_changed_most_comes_first(model):
    """All patches change, five of them much: those are recomputed at once, however long the others have waited."""
    image = torch.zeros(1, 3, 24, 24, dtype=torch.uint8)
    state, _ = encode_compact(model.tower, None, image, lambda: torch.randn(1, 36, 32), COMPACT)
    much = torch.tensor([3, 11, 20, 28, 35])
    levels = torch.full((36,), 20, dtype=torch.uint8)
    levels[much] = 120
    now = levels.view(6, 6).repeat_interleave(4, 0).repeat_interleave(4, 1).expand(1, 3, -1, -1)
    state.age[:] = 7
    state.age[much] = 0
    rows, _, _ = choose_changed(state, now, model.tower, dataclasses.replace(COMPACT, recompute_limit=0.25))
    assert len(rows) == 8 and set(much.tolist()) < set(rows.tolist())       # the three others are the stalest


def test_a_limit_that_is_not_reached_changes_nothing(model):
    images = pictures(model, moving_square(8))
    free, limited = (run(model, images, dataclasses.replace(COMPACT, recompute_limit=r)) for r in (1.0, 0.7))
    for (y, recomputed), (z, again) in zip(free, limited):
        assert torch.equal(recomputed, again) and torch.equal(y, z)


def test_what_waited_is_caught_up_when_the_picture_rests(model):
    """After a jump that fills the picture, a still picture becomes exact as its patches take turns."""
    first, second = pictures(model, moving_square(1) + moving_square(1, seed=9))
    settings = dataclasses.replace(COMPACT, recompute_limit=0.3, cache_similarity=1.0, heartbeat=1)
    out = run(model, [first] + [second] * 40, settings)
    alike = [float((y - plain(model, second)).abs().max()) for y, _ in out]
    assert alike[-1] < alike[1] / 100


def flickering(counts, seed=5):
    """Frames that differ from the one before in so many of their 9 cells of 2 x 2 patches."""
    draw = np.random.default_rng(seed)
    frame, frames = draw.integers(0, 256, (3, 8, 3, 8, 3), np.uint8), []
    for count in counts:
        rows, cols = np.divmod(draw.permutation(9)[:count], 3)
        frame[rows, :, cols] += np.uint8(100)
        frames.append(frame.reshape(24, 24, 3).copy())
    return frames


def restless(count):
    """Frames of which 16 of 36 patches change from one to the next."""
    return flickering([4] * count, seed=4)


@torch.inference_mode()
def test_catching_up_recomputes_what_the_limit_left_and_no_more(model):
    images = pictures(model, restless(8))
    settings, state, errors = dataclasses.replace(COMPACT, recompute_limit=0.3), None, []
    for image in images:
        state, recomputed = encode_compact(model.tower, state, image, lambda image=image: embed(model, image), settings)
        left = similarity(image, state.image, model.tower.grid) < settings.cache_similarity
        before = float((state.features - plain(model, image)).norm())
        late = catch_up(model.tower, state, image, lambda image=image: embed(model, image), settings)
        assert torch.equal(late, pooled_with(left, model.tower)) and not (left & recomputed).any()
        assert (state.age[late] == 0).all()
        assert (similarity(image, state.image, model.tower.grid) >= settings.cache_similarity).all()
        if late.any():
            errors.append(float((state.features - plain(model, image)).norm()) / before)
    assert len(errors) > 3 and max(errors) < 0.9
    assert not catch_up(model.tower, state, images[-1], None, settings).any()    # nothing to embed any more
    other = model.pixels.resize(restless(1)[0] // 2)
    late = catch_up(model.tower, state, other, lambda: embed(model, other), settings)
    assert late.all()                                                               # nearly all: the plain tower
    torch.testing.assert_close(state.features, plain(model, other), atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_a_question_is_answered_from_the_newest_frame_as_it_is_now(model):
    """What a limit left for later is caught up for the question, and only once; without a limit there is nothing."""
    settings = dataclasses.replace(COMPACT, pruner='stc', prune_ratio=0.5, scene_change=1.0)
    streams = [Stream(model, dataclasses.replace(settings, **change))
               for change in ({'cacher': 'off'}, {}, {'recompute_limit': 0.3})]
    for t, frame in enumerate(restless(6)):
        for stream in streams:
            stream.see(frame, t)
    memory = streams[2].memory.keys.clone()
    work = [[s.stats().tokens_recomputed] for s in streams]
    right, free, limited = ([s._sight.tokens.clone(), s.newest_tokens(9)[0]] for s in streams)
    for stream, done in zip(streams, work):
        done += [stream.stats().tokens_recomputed, list(stream.ask('?', 1)), stream.stats().tokens_recomputed]
        assert done[1] == done[3]                           # once
    assert work[0][0] == work[0][1] and work[1][0] == work[1][1] and work[2][0] < work[2][1]
    assert torch.equal(free[0], free[1])
    assert (limited[1] - right[0]).norm() < (limited[0] - right[0]).norm()
    assert torch.equal(memory, streams[2].memory.keys)


@pytest.mark.parametrize('error', [MemoryError, RuntimeError])
def test_a_question_that_fails_while_it_catches_up_leaves_no_half_written_cache(model, monkeypatch, error):
    settings = dataclasses.replace(COMPACT, pruner='stc', prune_ratio=0.5, recompute_limit=0.3, scene_change=1.0)
    stream, frames = Stream(model, settings), restless(4)
    for t, frame in enumerate(frames[:3]):
        stream.see(frame, t)

    def fail(*_):
        raise error('in the middle')

    with monkeypatch.context() as patch:
        patch.setattr('stc_ros.compression.compact.compute_rows', fail)
        with pytest.raises(error):
            stream.ask('?', 1)
    assert stream.see(frames[3], 3).tokens_recomputed == 36         # anew
    list(stream.ask('?', 1))                                        # nothing is raised


def late(model, images, settings):
    """How many patches are still to be recomputed after each picture."""
    state, left = None, []
    for image in images:
        state, _ = encode_compact(model.tower, state, image, lambda image=image: embed(model, image), settings)
        left.append(int((similarity(image, state.image, model.tower.grid) < settings.cache_similarity).sum()))
    return left


@torch.inference_mode()
def test_a_burst_is_spread_over_the_frames_behind_it(model):
    counts = [1] * 12 + [8] + [1] * 12
    images = pictures(model, flickering(counts))
    work = [int(recomputed.sum()) for _, recomputed in run(model, images, BURSTS)]
    assert work[1:12] == [8] * 11 and max(work[1:]) == 16           # 2.5 * 8, in whole buckets of 8
    left = late(model, images, BURSTS)
    assert left[11] == 0 and left[12] > 15 and left[-1] < left[12] / 2
    free = [int(recomputed.sum()) for _, recomputed in run(model, images, COMPACT)]
    assert free[12] > 30


@torch.inference_mode()
def test_change_that_is_usual_is_no_burst(model):
    """16 of 36 patches change in every frame: soon none of them waits."""
    images = pictures(model, flickering([4] * 12))
    assert late(model, images, BURSTS)[3:] == [0] * 9
    hard = dataclasses.replace(BURSTS, recompute_limit=0.25)
    assert min(late(model, images, hard)[1:]) > 0                   # never more than that


@torch.inference_mode()
def test_a_new_scene_has_its_own_usual_amount_of_change(model):
    state = None
    for image in pictures(model, flickering([4] * 8)):
        state, _ = encode_compact(model.tower, state, image, lambda image=image: embed(model, image), BURSTS)
    assert len(state.wanted) == 7
    catch_up(model.tower, state, 255 - image, lambda: embed(model, 255 - image), BURSTS)
    assert len(state.wanted) == 7                                   # a question changes nothing of it
    state, _ = encode_compact(model.tower, state, image, lambda: embed(model, image), BURSTS, refresh=True)
    assert not state.wanted


@pytest.mark.parametrize(('wanted', 'patches', 'change', 'granted'), [
    ([], 729, {}, 64),                                              # 0.13 * 729 = 94, in buckets of 32
    ([32] * 64, 729, {}, 64),
    ([32] * 7 + [700] * 57, 729, {}, 64),                           # bursts, if many
    ([32] * 6 + [64] * 58, 729, {}, 160),                           # nine in ten want 64
    ([128] * 64, 729, {'recompute_limit': 0.2}, 128),
    ([300] * 64, 729, {}, 729),
    ([64] * 64, 729, {'recompute_burst': 1.0}, 729),
])
def test_what_is_granted(wanted, patches, change, granted):
    assert allowance(wanted, patches, dataclasses.replace(Settings(), **change)) == granted
