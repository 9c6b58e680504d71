"""The incremental cacher in a stream: what of reused frames is sent to the memory, and what the reports say."""

import math

import pytest
import torch
from memories import kept
from toy_tower import INCREMENTAL, attentive_model
from worlds import moving_square

from stc_ros.settings import Settings
from stc_ros.stream import open_stream

EXACT = INCREMENTAL | {'cache_similarity': 1.0, 'cacher.incremental.static_frame_stride': 1}


@pytest.fixture(scope='module')
def model():
    return attentive_model()


def test_a_stream_that_may_reuse_nothing_equals_the_plain_stream(model):
    plain, same = (
        open_stream(model, Settings({'cacher.method': 'none', 'pruner.method': 'none'})),
        open_stream(model, EXACT),
    )
    for i, frame in enumerate(moving_square(6)):
        for stream in (plain, same):
            stream.see(frame, i)
    torch.testing.assert_close(kept(same), kept(plain), atol=1e-4, rtol=1e-4)


def test_a_skipped_frame_adds_no_tokens_but_its_time(model):
    stream = open_stream(model, INCREMENTAL)
    frame = moving_square(1)[0]
    reports = [stream.see(frame, 10 + i) for i in range(8)]
    assert [r.visual_tokens_kept for r in reports] == [9] * 3 + [0] * 5 and reports[-1].patches_recomputed == 0
    answer = stream.ask('what is moving ?', 4)
    assert answer.report.last_stamp == 17 and answer.report.first_stamp == 10
    assert stream.memory.end == stream.memory.sinks + 3 * 9 + 4 * 9  # static frames count as four at most
    assert len(stream.memory.frames) == 4


def test_a_static_stream_does_not_evict_what_was_seen(model):
    stream = open_stream(model, INCREMENTAL)
    stream.cacher.static_frame_stride = 1024
    frame = moving_square(1)[0]
    for i in range(500):
        stream.see(frame, i)
    assert stream.memory.tokens == 3 * 9 and stream.memory.frames[0].stamp == 0


def test_projecting_only_what_is_kept_equals_projecting_all(model):
    """Pooling before the projector's last layer is exact."""
    settings = INCREMENTAL | {'pruner.method': 'delta', 'prune_ratio': 0.5}
    stream = open_stream(model, settings)
    with torch.inference_mode():
        for i, frame in enumerate(moving_square(6)):
            added = []
            stream.memory.add = lambda tokens, index, *_, added=added: added.append((tokens, index))
            stream.see(frame, i)
            features = model.tower.finish(stream.cacher.state.features)
            whole = model.project(features)[0]
            torch.testing.assert_close(added[0][0][0], whole[added[0][1]], atol=1e-5, rtol=1e-5)


def test_a_stream_tells_how_similar_to_what_it_would_be_what_it_reused_is(model):
    frames = moving_square(20, step=2)
    assert all(
        math.isnan(open_stream(model, Settings({'cacher.method': c})).see(frames[0], 0).similarity)
        for c in ('none', 'stc')
    )
    stream = open_stream(model, INCREMENTAL)
    stated = [stream.see(frame, t).similarity for t, frame in enumerate(frames + [frames[-1]] * 8)]
    assert stated[0] == 1 and 0.5 < min(stated) < 1 and max(stated) == 1
    assert stated[-1] == stated[-2] == stream.cacher.state.similarity  # skipped: as far off as before
