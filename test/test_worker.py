"""The worker's promises, without ROS: order of turns, accounting, settings, recovery, and one reply per question."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from fake_stream import FakeStream, until
from hypothesis import given
from hypothesis import strategies as st

from stc_ros.ros.failures import out_of_memory
from stc_ros.ros.frames import FrameRefused
from stc_ros.ros.mailbox import Mailbox, Rate
from stc_ros.ros.questions import Error, Question
from stc_ros.ros.records import Frame, Outputs
from stc_ros.ros.worker import Worker
from stc_ros.settings import Settings

IMAGE = np.zeros((4, 4, 3), np.uint8)
SECOND = 1_000_000_000


class Notebook(Outputs):
    """Writes down what the worker has to say."""

    def __init__(self):
        self.frames, self.tellings, self.refusals, self.failures, self.resets, self.deaths = [], [], [], [], [], []
        self.faults = []
        self.listening = True

    def seen(self, seen):
        self.frames.append(seen)
        if self.faults:
            raise self.faults.pop()

    def told(self, telling, reply):
        self.tellings.append((telling, reply))

    def refused(self, refusal):
        self.refusals.append(refusal)

    def failed(self, where, error):
        self.failures.append((where, error))

    def was_reset(self, reason):
        self.resets.append(reason)

    def died(self, error):
        self.deaths.append(error)

    def listeners(self):
        return self.listening


class Bench:
    """A worker on a fake stream. A message is the stamp of its frame in ns, or an exception that decoding raises."""

    def __init__(self, **stream):
        self.stream, self.notes = FakeStream(**stream), Notebook()
        self.worker = Worker(lambda settings: self.stream, self.decode, self.notes)
        self.worker.load(Settings()).result(5)

    @staticmethod
    def decode(message):
        if isinstance(message, Exception):
            raise message
        return Frame(SimpleNamespace(stamp=message), message, IMAGE)

    def see(self, *messages):
        """Put frames one after the other, each after the one before is done with."""
        for message in messages:
            before = self.done
            self.worker.put(message)
            assert until(lambda: self.done > before), 'the frame was not taken'  # noqa: B023

    @property
    def done(self):
        counts = self.worker.mailbox.counts()
        return counts.seen + counts.refused + counts.dropped + 100 * self.worker.session.resets

    def ask(self, text='what is there?', limit=32, **options):
        """Queue a question; returns a list that will hold its reply."""
        got = []
        question = Question(text, options.pop('length', 1000), got.append, **options)
        self.worker.ask(question, limit)
        return question, got

    def hold(self):
        """Keep the worker busy with a job until the event returned is set."""
        release, started = threading.Event(), threading.Event()
        self.worker._do(lambda: (started.set(), release.wait(10)))
        assert started.wait(5)
        return release


@pytest.fixture
def bench():
    benches = []

    def make(**stream):
        benches.append(Bench(**stream))
        return benches[-1]

    yield make
    for one in benches:
        one.worker.stop()
        assert one.worker.join(5), 'the worker thread did not end'


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


def test_answer_says_what_it_rests_on(bench):
    b = bench(words=3, token_s=0.01)
    b.worker.session.clock = lambda: 5 * SECOND
    b.see(1 * SECOND, 2 * SECOND)
    pieces = []
    _, got = b.ask(on_piece=lambda piece, tokens: pieces.append((piece, tokens)))
    assert until(lambda: got)
    reply = got[0]
    assert (reply.first_stamp, reply.last_stamp, reply.frames_seen) == (1 * SECOND, 2 * SECOND, 2)
    assert reply.frame_age == pytest.approx(3.0)
    assert reply.error is Error.NONE and reply.message == '' and reply.finished and reply.tokens == 3
    assert pieces == [('word1 ', 1), ('word2 ', 2), ('word3 ', 3)] and reply.answer == 'word1 word2 word3 '
    assert reply.time_to_first_token >= 0.009 and 1 < reply.tokens_per_second <= 101


def test_max_new_tokens_cuts_the_answer(bench):
    b = bench(words=50)
    b.see(1)
    _, got = b.ask(length=4)
    assert until(lambda: got)
    assert got[0].tokens == 4


@pytest.mark.parametrize('fault, error', [
    (MemoryError('no memory'), Error.OUT_OF_MEMORY),
    (RuntimeError('CUDA out of memory. Tried to allocate 2 GiB'), Error.OUT_OF_MEMORY),
    (RuntimeError('[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried ...'),
     Error.OUT_OF_MEMORY),
    (ValueError('NaN logits'), Error.MODEL_FAILURE),
    (AssertionError(), Error.MODEL_FAILURE),
])
@pytest.mark.parametrize('step', ['ask', 'piece'])
def test_a_failing_answer_is_typed_and_costs_only_itself(bench, step, fault, error):
    b = bench()
    b.see(1)
    b.stream.faults[step] = [fault]
    _, got = b.ask()
    assert until(lambda: got)
    assert got[0].error is error and got[0].message and not got[0].finished
    assert str(fault) not in got[0].answer or not str(fault)
    assert ('reset',) in b.stream.log[2:] or error is not Error.OUT_OF_MEMORY
    b.see(2)
    _, got = b.ask()
    assert until(lambda: got) and got[0].error is Error.NONE


def test_out_of_memory_at_a_frame_costs_one_answer_and_a_visible_reset(bench):
    b = bench(words=200, token_s=0.005)
    b.see(1)
    _, first = b.ask()
    _, second = b.ask(length=1)
    assert until(lambda: 'piece' in b.stream.names())
    b.stream.faults['see'] = [MemoryError('no memory')]
    b.worker.put(2)
    assert until(lambda: first)
    assert first[0].error is Error.OUT_OF_MEMORY and b.notes.resets
    b.see(3)
    assert until(lambda: second) and second[0].error in (Error.NONE, Error.NO_FRAMES)
    _, third = b.ask()
    assert until(lambda: third) and third[0].error is Error.NONE


@pytest.mark.parametrize('step', ['decode', 'see', 'ask', 'piece', 'publish'])
def test_no_fault_at_any_step_hangs_or_ends_the_worker(bench, step):
    b = bench()
    b.see(1)
    if step == 'publish':
        b.notes.faults = [RuntimeError('publishing broke')]
    elif step != 'decode':
        b.stream.faults[step] = [RuntimeError(f'{step} broke')]
    b.worker.put(RuntimeError('decoding broke') if step == 'decode' else 2)
    _, got = b.ask()
    assert until(lambda: got)
    assert until(lambda: b.worker.session.failures == 1)
    b.see(3)
    _, got = b.ask()
    assert until(lambda: got) and got[0].error is Error.NONE
    assert b.worker.alive and not b.notes.deaths


def test_before_the_first_frame(bench):
    b = bench()
    _, got = b.ask()
    assert until(lambda: got)
    assert got[0].error is Error.NO_FRAMES and got[0].message


def test_a_question_with_too_many_tokens(bench):
    b = bench()
    b.see(1)
    _, got = b.ask('why? ' * 1000)
    assert until(lambda: got)
    assert got[0].error is Error.QUESTION_TOO_LONG and '250' in got[0].message


def test_beyond_the_bound_a_question_is_refused_at_once(bench):
    b = bench()
    b.see(1)
    release = b.hold()
    asked = [b.ask(limit=3)[1] for _ in range(5)]
    assert [got[0].error for got in asked if got] == [Error.BUSY] * 2 and b.worker.waiting == 3
    release.set()
    assert until(lambda: all(asked))
    assert [got[0].error for got in asked[:3]] == [Error.NONE] * 3


def test_a_question_that_ended_while_it_waited_is_not_asked(bench):
    b = bench()
    b.see(1)
    release = b.hold()
    question, got = b.ask('never asked')
    b.worker.end(question, Error.TIMEOUT)
    _, other = b.ask('asked')
    release.set()
    assert until(lambda: other)
    assert ('ask', 'never asked') not in b.stream.log and [r.error for r in got] == [Error.TIMEOUT]


def test_cancel_stops_between_tokens_and_keeps_what_was_said(bench):
    b = bench(words=1000, token_s=0.005)
    b.see(1)
    question, got = b.ask()
    assert until(lambda: b.stream.names().count('piece') >= 3)
    b.worker.end(question, Error.CANCELED)
    assert until(lambda: b.stream.closed == 1)
    assert got[0].error is Error.CANCELED and got[0].answer.startswith('word1 word2 ')
    assert b.stream.names().count('piece') < 500
    _, other = b.ask(length=1)
    assert until(lambda: other)


def test_a_question_is_replied_to_exactly_once_whoever_ends_it(bench):
    b = bench(words=5)
    b.see(1)
    for _ in range(50):
        question, got = b.ask()
        threads = [threading.Thread(target=b.worker.end, args=(question, error))
                   for error in (Error.TIMEOUT, Error.CANCELED)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert until(lambda: got)  # noqa: B023
        time.sleep(0.001)
        assert len(got) == 1
    assert b.worker.session.tally.answers + b.worker.session.tally.answers_failed == 50


def test_stop_replies_to_all_and_to_later_ones_at_once(bench):
    b = bench(words=1000, token_s=0.01)
    b.see(1)
    asked = [b.ask()[1] for _ in range(4)]
    assert until(lambda: 'piece' in b.stream.names())
    b.worker.stop()
    assert [got[0].error for got in asked] == [Error.SHUTDOWN] * 4
    assert b.ask()[1][0].error is Error.SHUTDOWN
    assert b.worker.join(2)
    assert b.worker.reset('too late').cancelled()


def test_pause_ends_questions_and_drops_the_frame(bench):
    b = bench(words=1000, token_s=0.01)
    b.see(1)
    asked = [b.ask()[1] for _ in range(3)]
    assert until(lambda: 'piece' in b.stream.names())
    b.worker.pause().result(5)
    assert [got[0].error for got in asked] == [Error.SHUTDOWN] * 3 and b.stream.closed == 1
    b.worker.resume().result(5)
    b.see(2)
    _, got = b.ask(length=1)
    assert until(lambda: got) and got[0].error is Error.NONE


def test_when_the_thread_dies_everybody_hears_of_it(bench):
    b = bench()
    b.see(1)
    b.stream.faults['piece'] = [SystemExit('killed')]
    asked = [b.ask()[1] for _ in range(3)]
    assert until(lambda: all(asked))
    assert [got[0].error for got in asked] == [Error.MODEL_FAILURE] * 3
    assert all('died' in got[0].message for got in asked)
    assert until(lambda: b.notes.deaths) and not b.worker.alive
    late = b.ask()[1]
    assert late[0].error is Error.MODEL_FAILURE


def test_loading_errors_reach_the_one_who_asked_for_it():
    def load(settings):
        raise FileNotFoundError('no such model')

    worker = Worker(load, None, Outputs())
    with pytest.raises(FileNotFoundError, match='no such model'):
        worker.load(Settings()).result(5)
    assert worker.alive
    worker.stop()
    assert worker.join(5)


@pytest.mark.parametrize('error, is_memory', [
    (MemoryError(), True), (RuntimeError('CUDA error: out of memory'), True), (RuntimeError('shape mismatch'), False),
    (ValueError('not enough memory'), False),
])
def test_running_out_of_memory_is_told_from_other_failures(error, is_memory):
    assert out_of_memory(error) is is_memory
