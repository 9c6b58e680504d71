"""The worker's promises about answers, without ROS: one reply per question, and recovery from every fault."""

import threading
import time

import pytest
from fake_stream import until

from stc_ros.engine.errors import out_of_memory
from stc_ros.engine.events import EventSink
from stc_ros.engine.questions import Error
from stc_ros.engine.scheduler import Engine
from stc_ros.engine.worker import Worker
from stc_ros.settings import Settings

SECOND = 1_000_000_000


def test_answer_says_what_it_rests_on(bench):
    b = bench(words=3, token_s=0.01)
    b.session.clock = lambda: 5 * SECOND
    b.see(1 * SECOND, 2 * SECOND)
    pieces = []
    _, got = b.ask(on_piece=lambda piece, tokens: pieces.append((piece, tokens)))
    assert until(lambda: got)
    reply = got[0]
    assert (reply.first_stamp, reply.last_stamp, reply.frames_processed) == (1 * SECOND, 2 * SECOND, 2)
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


@pytest.mark.parametrize('words', [0, 2])
def test_tokens_that_write_nothing_are_counted(bench, words):
    b = bench(words=words)
    b.stream.mute = 3
    b.see(1)
    _, got = b.ask()
    assert until(lambda: got)
    assert got[0].tokens == words + 3 and got[0].time_to_first_token > 0


@pytest.mark.parametrize(
    'fault, error',
    [
        (MemoryError('no memory'), Error.OUT_OF_MEMORY),
        (RuntimeError('CUDA out of memory. Tried to allocate 2 GiB'), Error.OUT_OF_MEMORY),
        (
            RuntimeError('[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried ...'),
            Error.OUT_OF_MEMORY,
        ),
        (ValueError('NaN logits'), Error.MODEL_FAILURE),
        (AssertionError(), Error.MODEL_FAILURE),
    ],
)
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
    b.put(2)
    assert until(lambda: first)
    assert first[0].error is Error.OUT_OF_MEMORY and b.notes.resets
    b.see(3)
    assert until(lambda: second) and second[0].error in (Error.NONE, Error.MODEL_FAILURE)  # before a new frame
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
    b.put(RuntimeError('decoding broke') if step == 'decode' else 2)
    _, got = b.ask()
    assert until(lambda: got)
    assert until(lambda: b.session.failures.total == 1)
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
    b.session.settings |= {'query.max_queue': 3}
    asked = [b.ask()[1] for _ in range(5)]
    assert [got[0].error for got in asked if got] == [Error.BUSY] * 2 and b.engine.waiting == 3
    release.set()
    assert until(lambda: all(asked))
    assert [got[0].error for got in asked[:3]] == [Error.NONE] * 3


def test_a_question_that_ended_while_it_waited_is_not_asked(bench):
    b = bench()
    b.see(1)
    release = b.hold()
    question, got = b.ask('never asked')
    b.engine.end(question, Error.TIMEOUT)
    _, other = b.ask('asked')
    release.set()
    assert until(lambda: other)
    assert ('ask', 'never asked') not in b.stream.log and [r.error for r in got] == [Error.TIMEOUT]


def test_cancel_stops_between_tokens_and_keeps_what_was_said(bench):
    b = bench(words=1000, token_s=0.005)
    b.see(1)
    question, got = b.ask()
    assert until(lambda: b.stream.names().count('piece') >= 3)
    b.engine.end(question, Error.CANCELED)
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
        threads = [
            threading.Thread(target=b.engine.end, args=(question, error)) for error in (Error.TIMEOUT, Error.CANCELED)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert until(lambda: got)  # noqa: B023
        time.sleep(0.001)
        assert len(got) == 1
    assert b.session.tally.answers + b.session.tally.answers_failed == 50


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

    worker = Worker(Engine(load, None, None, EventSink()))
    with pytest.raises(FileNotFoundError, match='no such model'):
        worker.load(Settings(), {'camera': Settings()}).result(5)
    assert worker.alive
    worker.stop()
    assert worker.join(5)


@pytest.mark.parametrize(
    'error, is_memory',
    [
        (MemoryError(), True),
        (RuntimeError('CUDA error: out of memory'), True),
        (RuntimeError('shape mismatch'), False),
        (ValueError('not enough memory'), False),
    ],
)
def test_running_out_of_memory_is_told_from_other_failures(error, is_memory):
    assert out_of_memory(error) is is_memory
