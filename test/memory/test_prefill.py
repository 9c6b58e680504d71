"""Prefill that waits: it changes nothing of what a stream says and keeps, and stays within its bounds."""

import random

import pytest
import torch
from memories import kept
from worlds import moving_square

from stc_ros.memory.query_context import QueryContext
from stc_ros.models.random import random_model
from stc_ros.parameters import pruners
from stc_ros.settings import Settings
from stc_ros.stream import open_stream

STC = Settings({'cacher.method': 'stc', 'pruner.method': 'stc', 'prune_ratio': 0.5})


@pytest.fixture(scope='module')
def model():
    return random_model(seed=5)


@pytest.mark.parametrize('cacher', ['none', 'incremental'])
@pytest.mark.parametrize('pruner', pruners.names())
def test_frames_that_wait_for_each_other_say_and_keep_what_frame_by_frame_does(model, pruner, cacher):
    """Frames that move and rest, a window that evicts, questions, a scene cut, a reset; batches of any size."""
    draw = random.Random(f'{pruner}/{cacher}')
    settings = Settings(
        {
            'cacher.method': cacher,
            'pruner.method': pruner,
            'prune_ratio': 0.5,
            'memory.max_tokens': draw.choice((30, 64)),
            'cacher.incremental.static_frame_stride': 4,
        }
    )
    one, many = (
        open_stream(model, (settings | {'expert.prefill_batch': batch})) for batch in (0, draw.choice((10, 30)))
    )
    frames = moving_square(8) + [moving_square(8)[-1]] * 5 + moving_square(6, seed=4)
    waited, said = 0, set()
    for i, frame in enumerate(frames):
        reports = [stream.see(frame, i) for stream in (one, many)]
        assert reports[0].kept.tolist() == reports[1].kept.tolist()
        assert reports[0].memory_tokens == reports[1].memory_tokens and reports[0].tokens_waiting == 0
        waited = max(waited, reports[1].tokens_waiting)
        if draw.random() < 0.3:
            answers = [''.join(stream.ask('what is moving ?', 8)) for stream in (one, many)]
            assert answers[0] == answers[1]
            said.add(answers[0])
        if i == 14:
            one.reset(), many.reset()
    torch.testing.assert_close(kept(many), kept(one), atol=1e-5, rtol=1e-4)
    assert waited > 0 and said


def test_what_waits_is_prefilled_when_its_time_is_up_by_the_stamps(model):
    stream = open_stream(model, (STC | {'expert.prefill_batch': 30, 'expert.prefill_wait': 0.5}))
    waiting = [stream.see(frame, i * 200_000_000).tokens_waiting for i, frame in enumerate(moving_square(6))]
    assert waiting[1] > waiting[0] > 0 and waiting[3] == 0 < waiting[4]  # 0.6 s after the first
    stream.prefill()
    assert stream.tokens_waiting == 0 and stream.memory.tokens > 0


@torch.inference_mode()
def test_what_a_stream_keeps_stays_within_its_limit_in_bytes_vision_included(model):
    stream = open_stream(
        model,
        Settings(
            {'cacher.method': 'stc', 'memory.max_mib': 1, 'memory.max_tokens': 100_000, 'expert.prefill_batch': 64}
        ),
    )
    for i, frame in enumerate(moving_square(40)):
        stream.see(frame, i)
    context = QueryContext(stream.memory)
    held = stream.memory.bytes + stream.cacher.bytes
    assert stream.cacher.bytes > 0 and held + context.keys.nbytes + context.values.nbytes <= 1 << 20
    assert stream.see(moving_square(41)[-1], 99).memory_bytes == stream.memory.bytes + stream.cacher.bytes
