"""The worker's promises about frames, without ROS: order of turns, accounting, settings, refusals."""

import threading
import time
import weakref

import pytest
from fake_stream import until
from hypothesis import given
from hypothesis import strategies as st

from stc_ros.engine.frame_slot import FrameSlot, Rate
from stc_ros.engine.questions import Error
from stc_ros.io.image_messages import FrameInvalid
from stc_ros.settings import Settings

SECOND = 1_000_000_000


def test_of_frames_that_wait_only_the_newest_is_seen(bench):
    b = bench()
    release = b.hold()
    for stamp in range(1, 6):
        b.put(stamp)
    release.set()
    assert until(lambda: b.session.slot.counts().processed == 1)
    counts = b.session.slot.counts()
    assert b.stream.stamps == [5]
    assert (counts.received, counts.dropped, counts.invalid) == (5, 4, 0)


@given(st.lists(st.sampled_from(['put', 'processed', 'invalid', 'failed', 'drop', 'clear']), max_size=60))
def test_every_frame_is_accounted_for(events):
    slot, working = FrameSlot(), 0
    for event in events:
        if event == 'put':
            slot.put('frame', 0)
        elif event == 'drop':
            slot.drop()
        elif event == 'clear':
            slot.clear(in_work=working)
        elif working:
            getattr(slot, event)(*([0] if event == 'processed' else []))
            working = 0
        elif slot.take():
            working = 1
        counts = slot.counts()
        assert counts.received == (
            counts.processed + counts.dropped + counts.invalid + counts.failed + slot.waits + working
        )


def test_rate_is_events_per_second_of_the_window_and_falls_to_zero():
    rate = Rate()
    for tick in range(50):
        rate.note(tick * SECOND // 10)
    assert rate.hertz(49 * SECOND // 10) == pytest.approx(10)
    assert rate.hertz(60 * SECOND) == 0


def test_rate_survives_a_clock_that_goes_back():
    rate = Rate()
    for now in (100 * SECOND, 101 * SECOND, 1 * SECOND, 2 * SECOND, 3 * SECOND):
        rate.note(now)
    assert rate.hertz(3 * SECOND) == pytest.approx(1)


def test_questions_come_before_frames_before_narration(bench):
    b = bench(words=1, token_s=0.05, see_s=0.02)  # the answer takes longer than a frame
    b.see(1)
    b.stream.log.clear()
    release = b.hold()
    b.narrate()
    b.put(2)
    _, got = b.ask()
    release.set()
    assert until(lambda: b.notes.narrations)
    assert got[0].error is Error.NONE
    order = [entry for entry in b.stream.log if entry[0] in ('see', 'ask')]
    assert order == [('ask', 'what is there?'), ('see', 2), ('ask', 'narrate 8 frames, 1 s')]


def test_frames_are_seen_between_the_pieces_of_a_long_answer(bench):
    b = bench(words=60, token_s=0.005, see_s=0.005)
    b.see(1)
    _, got = b.ask()
    for stamp in range(2, 200):
        b.put(stamp)
        time.sleep(0.002)
        if got:
            break
    assert until(lambda: got)
    names = b.stream.names()
    middle = names[names.index('piece') : len(names) - names[::-1].index('piece')]
    assert middle.count('see') >= 10
    assert got[0].last_stamp == 1, 'the answer rests on what had been seen when it was asked'


def test_questions_without_end_do_not_starve_frames(bench):
    b = bench(words=2, token_s=0.002, see_s=0.002)
    b.see(1)
    for n in range(30):
        b.ask(f'question {n}')
    for stamp in range(2, 40):
        b.put(stamp)
        time.sleep(0.005)
    names = b.stream.names()
    last_ask = len(names) - 1 - names[::-1].index('ask')
    assert names[:last_ask].count('see') >= 5


def test_what_waits_for_its_prefill_is_prefilled_when_nothing_else_comes(bench):
    b = bench()
    b.worker.configure({'camera': Settings({'expert.prefill_wait': 0.2})}).result(5)
    b.stream.tokens_waiting, began = 7, time.monotonic()
    b.see(SECOND)
    assert until(lambda: 'prefill' in b.stream.names()) and time.monotonic() - began >= 0.19
    time.sleep(0.3)
    assert b.stream.names().count('prefill') == 1  # nothing waits: no turn is taken


def test_a_failing_prefill_is_reported_and_the_worker_goes_on(bench):
    b = bench()
    b.stream.faults, reset = {'prefill': [RuntimeError('no prefill today')]}, b.stream.reset
    b.stream.reset = lambda: (setattr(b.stream, 'tokens_waiting', 0), reset())
    b.stream.tokens_waiting = 7
    b.see(SECOND)
    assert until(lambda: b.notes.resets) and 'no prefill today' in b.notes.resets[0]
    b.see(2 * SECOND)
    assert b.stream.stamps == [2 * SECOND] and [where for where, _ in b.notes.failures] == ['prefilling']


def test_the_slowest_rate_that_a_float_can_name_does_not_end_the_worker(bench):
    b = bench()
    b.see(SECOND)
    b.worker.configure({'camera': Settings({'input.max_rate': 1e-300})}).result(5)
    b.put(2 * SECOND)
    assert until(lambda: b.session.slot.waits)
    _, got = b.ask()
    assert until(lambda: got) and got[0].error is Error.NONE and b.worker.alive


@pytest.mark.parametrize('busy', [False, True])
def test_a_worker_that_has_ended_keeps_no_model(bench, busy):
    b = bench(words=1000, token_s=0.01)
    model = weakref.ref(b.stream)
    if busy:
        b.see(SECOND)
        b.ask()
        assert until(lambda: 'piece' in b.stream.names())
    b.stream = b.engine._load = b.engine._open_stream = None  # the bench's own hold on it
    b.worker.stop()
    assert b.worker.join(5) and model() is None


def test_max_rate_is_honoured_and_what_it_skips_is_counted(bench):
    b = bench()
    b.worker.configure({'camera': Settings({'input.max_rate': 20.0})}).result(5)
    began = time.monotonic()
    for stamp in range(1, 201):
        b.put(stamp)
        time.sleep(0.005)
    took = time.monotonic() - began
    counts = b.session.slot.counts()
    assert 2 <= counts.processed <= 20 * took + 2
    assert counts.received == 200 and counts.dropped >= 200 - counts.processed - 2


def test_settings_are_applied_between_frames(bench):
    b = bench(see_s=0.02)
    b.see(1)
    b.put(2)
    assert until(lambda: b.stream.log[-1] == ('see', 2))
    b.worker.configure({'camera': Settings({'prune_ratio': 0.0})}).result(5)
    b.see(3)
    assert [seen.settings['prune_ratio'] for seen in b.notes.frames] == [0.67, 0.67, 0.0]
    assert b.notes.frames[-1].report.visual_tokens_kept == 4


def test_only_the_worker_thread_touches_the_stream(bench):
    b = bench()
    b.see(1, 2)
    _, got = b.ask()
    b.narrate()
    b.worker.reset('test').result(5)
    assert until(lambda: got)
    assert len(b.stream.threads) == 1 and threading.get_ident() not in b.stream.threads


def test_refused_frames_are_counted_and_change_nothing(bench):
    b = bench()
    b.see(1, FrameInvalid('size', 'empty'), FrameInvalid('size', 'empty'), 2)
    counts = b.session.slot.counts()
    assert (counts.received, counts.processed, counts.invalid) == (4, 2, 2)
    assert b.stream.stamps == [1, 2] and len(b.notes.invalids) == 2


def test_a_late_frame_is_refused_and_a_looped_bag_begins_anew(bench):
    b = bench()
    b.see(10 * SECOND, 11 * SECOND, 11 * SECOND - 40_000_000)
    assert b.session.slot.counts().invalid == 1 and b.stream.stamps == [10 * SECOND, 11 * SECOND]
    b.see(1 * SECOND)
    assert b.stream.stamps == [1 * SECOND]
    assert 'back' in b.notes.resets[0]
    counts = b.session.slot.counts()
    assert (counts.received, counts.processed, counts.dropped, counts.invalid) == (1, 1, 0, 0)
