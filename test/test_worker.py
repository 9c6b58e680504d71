"""The worker's promises about frames, without ROS: order of turns, accounting, settings, refusals."""

import threading
import time
import weakref

import pytest
from fake_stream import until
from hypothesis import given
from hypothesis import strategies as st

from stc_ros.ros.frames import FrameRefused
from stc_ros.ros.mailbox import Mailbox, Rate
from stc_ros.ros.questions import Error
from stc_ros.settings import Settings

SECOND = 1_000_000_000


def test_of_frames_that_wait_only_the_newest_is_seen(bench):
    b = bench()
    release = b.hold()
    for stamp in range(1, 6):
        b.worker.put(stamp)
    release.set()
    assert until(lambda: b.worker.mailbox.counts().seen == 1)
    counts = b.worker.mailbox.counts()
    assert b.stream.stamps == [5]
    assert (counts.received, counts.dropped, counts.refused) == (5, 4, 0)


@given(st.lists(st.sampled_from(['put', 'seen', 'refused', 'drop', 'clear']), max_size=60))
def test_every_frame_is_accounted_for(events):
    box, working = Mailbox(), 0
    for event in events:
        if event == 'put':
            box.put('frame', 0)
        elif event == 'drop':
            box.drop()
        elif event == 'clear':
            box.clear(in_work=working)
        elif working:
            getattr(box, event)(*([0] if event == 'seen' else []))
            working = 0
        elif box.take():
            working = 1
        counts = box.counts()
        assert counts.received == counts.seen + counts.dropped + counts.refused + box.waits + working


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
    b = bench(words=1, token_s=0.05, see_s=0.02)        # the answer takes longer than a frame
    b.see(1)
    b.stream.log.clear()
    release = b.hold()
    b.worker.narrate()
    b.worker.put(2)
    _, got = b.ask()
    release.set()
    assert until(lambda: b.notes.tellings)
    assert got[0].error is Error.NONE
    order = [entry for entry in b.stream.log if entry[0] in ('see', 'ask')]
    assert order == [('ask', 'what is there?'), ('see', 2), ('ask', 'narrate 8 frames, 1 s')]


def test_frames_are_seen_between_the_pieces_of_a_long_answer(bench):
    b = bench(words=60, token_s=0.005, see_s=0.005)
    b.see(1)
    _, got = b.ask()
    for stamp in range(2, 200):
        b.worker.put(stamp)
        time.sleep(0.002)
        if got:
            break
    assert until(lambda: got)
    names = b.stream.names()
    middle = names[names.index('piece'):len(names) - names[::-1].index('piece')]
    assert middle.count('see') >= 10
    assert got[0].last_stamp == 1, 'the answer rests on what had been seen when it was asked'


def test_questions_without_end_do_not_starve_frames(bench):
    b = bench(words=2, token_s=0.002, see_s=0.002)
    b.see(1)
    for n in range(30):
        b.ask(f'question {n}')
    for stamp in range(2, 40):
        b.worker.put(stamp)
        time.sleep(0.005)
    names = b.stream.names()
    last_ask = len(names) - 1 - names[::-1].index('ask')
    assert names[:last_ask].count('see') >= 5


def test_a_question_puts_a_narration_off_which_then_tells_everything(bench):
    b = bench(words=20, token_s=0.01)
    b.see(1, 2, 3)
    b.worker.narrate()
    assert until(lambda: 'piece' in b.stream.names())
    began = time.monotonic()
    _, got = b.ask()
    assert until(lambda: got)
    assert time.monotonic() - began < 2.0
    b.see(4)
    assert until(lambda: b.notes.tellings)
    telling, reply = b.notes.tellings[0]
    assert (telling.first_stamp, telling.frames, telling.header.stamp) == (1, 3, 3) or telling.frames == 4
    assert b.stream.names().count('ask') == 3 and b.stream.closed == 3
    assert reply.answer.split()[-1] == 'word20'


def test_a_reset_ends_the_narration_in_work(bench):
    """What it tells of is forgotten; and a question that comes before the next frame finds nothing to put off."""
    b = bench(words=50, token_s=0.05)
    b.see(SECOND, 2 * SECOND)
    b.worker.narrate()
    assert until(lambda: 'piece' in b.stream.names())
    b.worker.reset('asked to').result(5)
    _, got = b.ask()
    assert until(lambda: got) and got[0].error is Error.NO_FRAMES
    assert b.worker.alive and not b.notes.tellings and b.stream.closed == 1
    b.see(9 * SECOND)
    b.worker.narrate()
    assert until(lambda: b.notes.tellings)
    (telling, _), = b.notes.tellings
    assert (telling.first_stamp, telling.frames) == (9 * SECOND, 1)


def test_a_narration_claims_no_frame_that_the_memory_has_lost(bench):
    b = bench()
    b.stream.remembers = 3
    b.see(*range(1 * SECOND, 9 * SECOND, SECOND))
    b.worker.narrate()
    assert until(lambda: b.notes.tellings)
    (telling, _), = b.notes.tellings
    assert (telling.first_stamp, telling.last_stamp, telling.frames) == (6 * SECOND, 8 * SECOND, 3)
    assert ('ask', 'narrate 8 frames, 2 s') in b.stream.log


def test_a_cut_during_a_narration_that_is_put_off_is_still_narrated_as_one(bench):
    b = bench(words=30, token_s=0.05)
    b.see(SECOND)
    b.worker.narrate()
    assert until(lambda: 'piece' in b.stream.names())
    b.stream.scene_change = True
    b.see(2 * SECOND)
    b.stream.scene_change = False
    _, got = b.ask()
    assert until(lambda: got and b.notes.tellings)
    assert b.notes.tellings[0][0].scene_change


def test_the_slowest_rate_that_a_float_can_name_does_not_end_the_worker(bench):
    b = bench()
    b.see(SECOND)
    b.worker.configure(Settings(max_rate=1e-300)).result(5)
    b.worker.put(2 * SECOND)
    assert until(lambda: b.worker.mailbox.waits)
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
    b.stream = b.worker.session._load = None        # the bench's own hold on it
    b.worker.stop()
    assert b.worker.join(5) and model() is None


def test_narration_tells_each_frame_once_and_nothing_when_nothing_is_new(bench):
    b = bench()
    b.see(SECOND, 2 * SECOND, 4 * SECOND)
    b.worker.narrate()
    assert until(lambda: len(b.notes.tellings) == 1)
    b.worker.narrate()
    b.worker.reset('wait for the turn').result(5)
    assert len(b.notes.tellings) == 1
    b.see(5 * SECOND)
    b.worker.narrate()
    assert until(lambda: len(b.notes.tellings) == 2)
    assert [(t.first_stamp, t.frames) for t, _ in b.notes.tellings] == [(SECOND, 3), (5 * SECOND, 1)]
    assert ('ask', 'narrate 8 frames, 3 s') in b.stream.log


def test_a_narration_says_nothing_twice(bench):
    b = bench()
    b.stream.says = 'A door opens. '
    b.see(SECOND)
    b.worker.narrate()
    assert until(lambda: b.notes.tellings)
    assert b.notes.tellings[0][1].answer.strip() == 'A door opens.' and b.notes.tellings[0][1].tokens > 1


def test_a_narration_leaves_out_what_the_model_is_unsure_of_and_an_answer_does_not(bench):
    b = bench()
    b.stream.says, b.stream.sure = 'Door {} opens. ', lambda piece: {2: 0.3}.get(piece, 0.6)
    b.worker.configure(Settings(narration_certainty=0.5)).result(5)
    b.see(SECOND)
    b.worker.narrate()
    assert until(lambda: b.notes.tellings)
    assert b.notes.tellings[0][1].answer == 'Door 1 opens. Door 3 opens.'
    _, got = b.ask()
    assert until(lambda: got) and got[0].answer == 'Door 1 opens. Door 2 opens. Door 3 opens. '
    b.worker.configure(Settings(narration_certainty=0.9)).result(5)
    b.see(2 * SECOND)
    b.worker.narrate()
    assert until(lambda: b.stream.closed == 3)
    b.worker.reset('wait for the turn').result(5)
    assert len(b.notes.tellings) == 1


def test_an_event_is_told_once_until_the_scene_or_the_stream_begins_anew(bench):
    b = bench()
    b.stream.model.event, b.stream.says, b.stream.words = 'it fell', 'A cup. It fell. ', 1
    both, one = 'A cup. It fell.', 'A cup.'
    for n, told in enumerate((both, one, one, both, one, both), start=1):
        if n == 4:
            b.worker.reset('for the test').result(5)
        b.stream.scene_change = n == 6
        b.see(n * SECOND)
        b.worker.narrate()
        assert until(lambda n=n: len(b.notes.tellings) == n)
        assert b.notes.tellings[-1][1].answer == told


def test_a_prompt_of_the_users_own_gets_the_exact_numbers(bench):
    b = bench()
    b.worker.configure(Settings(narration_prompt='{frames} and {seconds}?')).result(5)
    b.see(SECOND, 2 * SECOND, 4 * SECOND)
    b.worker.narrate()
    assert until(lambda: b.notes.tellings)
    assert ('ask', '3 and 3?') in b.stream.log


def test_the_models_own_prompt_gets_a_number_that_it_was_trained_with(bench):
    b = bench()
    b.see(*range(1, 15))
    b.worker.narrate()
    assert until(lambda: b.notes.tellings)
    assert b.notes.tellings[0][0].frames == 14 and ('ask', 'narrate 16 frames, 1 s') in b.stream.log


def test_scene_change_is_narrated_at_once_if_somebody_listens(bench):
    b = bench()
    b.see(1)
    b.stream.scene_change = True
    b.see(2)
    assert until(lambda: b.notes.tellings)
    assert b.notes.tellings[0][0].scene_change
    b.notes.listening = False
    b.see(3)
    b.worker.configure(Settings()).result(5)
    assert len(b.notes.tellings) == 1 and b.worker.session.due is None


def test_max_rate_is_honoured_and_what_it_skips_is_counted(bench):
    b = bench()
    b.worker.configure(Settings(max_rate=20.0)).result(5)
    began = time.monotonic()
    for stamp in range(1, 201):
        b.worker.put(stamp)
        time.sleep(0.005)
    took = time.monotonic() - began
    counts = b.worker.mailbox.counts()
    assert 2 <= counts.seen <= 20 * took + 2
    assert counts.received == 200 and counts.dropped >= 200 - counts.seen - 2


def test_settings_are_applied_between_frames(bench):
    b = bench(see_s=0.02)
    b.see(1)
    b.worker.put(2)
    assert until(lambda: b.stream.log[-1] == ('see', 2))
    b.worker.configure(Settings(prune_ratio=0.0)).result(5)
    b.see(3)
    assert [seen.settings.prune_ratio for seen in b.notes.frames] == [0.67, 0.67, 0.0]
    assert b.notes.frames[-1].report.tokens_kept == 4


def test_only_the_worker_thread_touches_the_stream(bench):
    b = bench()
    b.see(1, 2)
    _, got = b.ask()
    b.worker.narrate()
    b.worker.reset('test').result(5)
    assert until(lambda: got)
    assert len(b.stream.threads) == 1 and threading.get_ident() not in b.stream.threads


def test_refused_frames_are_counted_and_change_nothing(bench):
    b = bench()
    b.see(1, FrameRefused('size', 'empty'), FrameRefused('size', 'empty'), 2)
    counts = b.worker.mailbox.counts()
    assert (counts.received, counts.seen, counts.refused) == (4, 2, 2)
    assert b.stream.stamps == [1, 2] and len(b.notes.refusals) == 2


def test_a_late_frame_is_refused_and_a_looped_bag_begins_anew(bench):
    b = bench()
    b.see(10 * SECOND, 11 * SECOND, 11 * SECOND - 40_000_000)
    assert b.worker.mailbox.counts().refused == 1 and b.stream.stamps == [10 * SECOND, 11 * SECOND]
    b.see(1 * SECOND)
    assert b.stream.stamps == [1 * SECOND]
    assert 'back' in b.notes.resets[0]
    counts = b.worker.mailbox.counts()
    assert (counts.received, counts.seen, counts.dropped, counts.refused) == (1, 1, 0, 0)
