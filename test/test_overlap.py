"""A frame's prefill beside the next one's vision changes nothing but the time."""

import dataclasses
import gc
import threading
import time

import pytest
import torch
from memories import kept
from worlds import moving_square

from stc_ros.background_stream import BackgroundStream
from stc_ros.models.random import random_model
from stc_ros.settings import Settings
from stc_ros.stream import open_stream

SETTINGS = Settings({'prune_ratio': 0.5, 'memory.max_tokens': 64})
CPU = torch.device('cpu')


@pytest.fixture(scope='module')
def model():
    return random_model(seed=5)


def pair(model):
    """A stream, and the same with overlap."""
    return open_stream(model, SETTINGS), open_stream(model, SETTINGS | {'expert.overlap': True})


def memory(stream):
    return kept(stream)


def equal(ours, theirs):
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_memory_answers_and_reports_are_the_same(model):
    plain, beside = pair(model)
    for i, frame in enumerate(moving_square(14)):  # longer than the window
        one, other = plain.see(frame, i), beside.see(frame, i)
        assert one.kept.tolist() == other.kept.tolist() and one.patches_recomputed == other.patches_recomputed
        if i in (3, 13):
            assert ''.join(plain.ask('what is moving ?', 8)) == ''.join(beside.ask('what is moving ?', 8))
            assert equal(memory(plain), memory(beside))


def test_a_frame_is_encoded_while_the_last_one_is_prefilled(model):
    _, stream = pair(model)
    free, add, frames = threading.Event(), stream.memory.add, moving_square(3)
    stream.memory.add = lambda *given: free.wait(20) and add(*given)
    assert stream.see(frames[0], 0).ms['prefill'] == 0.0  # returns though its prefill cannot end
    seen = []
    stream.model = dataclasses.replace(
        model, project_in=lambda x: (seen.append(free.is_set()), free.set(), model.project_in(x))[-1]
    )
    later = stream.see(frames[1], 1)
    assert seen == [False]  # its vision ran before that prefill could end
    assert later.ms['prefill'] > 0.0 and later.memory_tokens == stream.memory.frames[0].tokens > 0


def test_asking_waits_for_the_prefill_of_the_newest_frame(model):
    _, stream = pair(model)
    stream.see(moving_square(1)[0], 7)
    assert stream.ask('what is moving ?').report.last_stamp == 7
    later = stream.see(moving_square(2)[1], 8)  # the question has settled it; its figures are not lost
    assert later.ms['prefill'] > 0.0 and later.memory_tokens > 0


def test_a_failing_prefill_is_raised_by_the_next_call_and_forgotten_by_reset(model):
    _, stream = pair(model)
    frames, add = moving_square(3), stream.memory.add

    def fail(*_):
        raise RuntimeError('no prefill today')

    for call in (lambda: stream.see(frames[1], 1), lambda: stream.ask('what is moving ?')):
        stream.memory.add = fail
        stream.see(frames[0], 0)
        with pytest.raises(RuntimeError, match='no prefill today'):
            call()
        stream.see(frames[0], 0)
        stream.reset()  # raises nothing
        stream.memory.add = add
        stream.see(frames[0], 0)
        assert ''.join(stream.ask('what is moving ?', 4))
        stream.reset()


def test_overlap_may_be_switched_while_it_runs(model):
    plain, switched = pair(model)
    settings = SETTINGS | {'expert.overlap': True}
    for i, frame in enumerate(moving_square(9)):
        before, settings = settings, SETTINGS | {'expert.overlap': i % 3 > 0}
        switched.configure(before, settings)
        plain.see(frame, i), switched.see(frame, i)
    assert ''.join(plain.ask('what is moving ?', 8)) == ''.join(switched.ask('what is moving ?', 8))
    assert equal(memory(plain), memory(switched))


def test_the_background_runs_one_thing_at_a_time_and_raises_what_it_raised():
    background = BackgroundStream(CPU)
    assert background.settle() is None
    background.put(lambda: threading.current_thread().name)
    with pytest.raises(RuntimeError, match='settle it first'):
        background.put(lambda: 1)
    assert background.settle().startswith('stc prefill') and background.settle() is None
    background.put(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        background.settle()
    assert background.settle() is None


def test_streams_that_are_gone_leave_no_threads(model):
    gc.collect()
    before = threading.active_count()
    for i in range(20):
        _, stream = pair(model)
        stream.see(moving_square(1)[0], i)
    del stream
    end = time.monotonic() + 20
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.02)
    assert threading.active_count() <= before
