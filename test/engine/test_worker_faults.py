"""What a model that fails, runs out of memory or computes no number costs, and what it leaves behind: nothing."""

import threading
import time

import pytest
import torch
from fake_stream import FakeStream, until
from worker_bench import Notebook, decode
from worlds import moving_square

from stc_ros.engine.errors import ModelBroken
from stc_ros.engine.questions import Error, Question
from stc_ros.engine.recovery import FAILED_IN_ROW
from stc_ros.engine.scheduler import Engine
from stc_ros.models.decoder import ModelFailure
from stc_ros.models.random import random_model
from stc_ros.settings import Settings
from stc_ros.stream import open_stream
from stc_ros.vision import encode

SECOND = 1_000_000_000


@pytest.mark.parametrize('settings', [{}, {'expert.prefill_batch': 0}, {'expert.overlap': True}])
def test_a_frame_that_is_no_number_fails_once_and_is_forgotten_by_a_reset(monkeypatch, settings):
    model, embed = random_model(seed=5), encode._embed
    stream, frames = open_stream(model, Settings(settings)), moving_square(6)
    stream.see(frames[0], 1)
    with monkeypatch.context() as broken:
        broken.setattr(encode, '_embed', lambda *given: embed(*given) * torch.nan)
        with pytest.raises(ModelFailure, match='NaN'):
            stream.see(frames[3], 2)
            stream.prefill()
    stream.reset()
    alone = open_stream(model, Settings(settings))
    for each in (stream, alone):
        each.see(frames[4], 3)
        each.see(frames[5], 4)
    assert ''.join(stream.ask('what is moving ?', 8)) == ''.join(alone.ask('what is moving ?', 8)) != ''


def test_failures_leave_the_counters_and_do_not_pass_for_a_bad_camera(bench):
    b = bench()
    b.see(SECOND)
    b.stream.faults['see'] = [RuntimeError('no kernel')] * 3
    b.see(2 * SECOND, 3 * SECOND, 4 * SECOND)
    counts = b.session.slot.counts()
    assert (counts.received, counts.processed, counts.failed, counts.invalid, counts.invalid_in_row) == (4, 1, 3, 0, 0)
    assert b.session.failures.in_row['processing a frame'] == 3 and b.session.resets == 3
    _, got = b.ask()
    assert until(lambda: got) and got[0].error is Error.MODEL_FAILURE and 'no kernel' in got[0].message
    b.see(5 * SECOND)
    assert not b.session.failures.in_row['processing a frame'] and b.session.slot.counts().processed == 2
    _, got = b.ask()
    assert until(lambda: got) and got[0].error is Error.NONE and got[0].frames_processed == 2


@pytest.mark.parametrize('step', ['see', 'ask', 'piece'])
def test_a_failing_model_resets_its_stream(bench, step):
    b = bench()
    b.see(SECOND)
    b.stream.log.clear()
    b.stream.faults[step] = [ValueError('not a number')]
    b.put(2 * SECOND)
    b.ask()
    assert until(lambda: b.notes.resets) and 'not a number' in b.notes.resets[0]
    assert b.stream.names().count('reset') == 1


@pytest.mark.parametrize('step', ['see', 'piece'])
def test_a_model_that_fails_again_and_again_is_given_up(bench, step):
    b = bench()
    b.see(SECOND)
    b.stream.faults[step] = [RuntimeError('broken')] * FAILED_IN_ROW
    for number in range(FAILED_IN_ROW):
        assert b.worker.alive
        b.see((2 + number) * SECOND)
        if step == 'piece':
            _, got = b.ask()
            assert until(lambda: got) and got[0].error is Error.MODEL_FAILURE  # noqa: B023
    assert until(lambda: b.notes.deaths) and not b.worker.alive
    assert isinstance(b.notes.deaths[0], ModelBroken) and 'broken' in str(b.notes.deaths[0])


def test_failures_with_successes_between_them_are_borne(bench):
    b = bench()
    for number in range(2 * FAILED_IN_ROW):
        b.stream.faults['see'] = [RuntimeError('now and then')]
        b.see((2 * number + 1) * SECOND, (2 * number + 2) * SECOND)
    assert b.worker.alive and b.session.failures.total == 2 * FAILED_IN_ROW


def test_when_memory_runs_out_it_is_halved_down_to_a_frame_and_said(bench):
    opened, notes = [], Notebook()

    def open_(model, settings):
        opened.append(FakeStream())
        opened[-1].memory.capacity = min(90, settings['memory.max_tokens'])
        return opened[-1]

    engine = Engine(lambda settings: None, open_, decode, notes)
    engine.load(Settings())
    session = engine.open('camera', Settings())
    for number in range(1, 5):
        opened[-1].faults['see'] = [MemoryError('no memory')]
        engine.put('camera', number * SECOND)
        assert engine.step()
        engine.put('camera', number * SECOND + 1)
        assert engine.step() and session.slot.counts().processed == number
    assert [stream.memory.capacity for stream in opened] == [90, 45, 22, 16]
    assert 'halved to 45' in notes.resets[0] and 'halved' not in notes.resets[3]
    assert session.settings == Settings()  # what the user wants is as it was


def test_memory_is_really_halved():
    model, notes = random_model(seed=5), Notebook()
    engine = Engine(lambda settings: model, open_stream, lambda frame: frame, notes)
    engine.load(Settings())
    session = engine.open('camera', Settings({'memory.max_tokens': 90}))
    before = session.stream.memory.capacity, session.stream.memory.bytes
    session._recover('processing a frame', MemoryError())
    assert session.stream.memory.capacity == before[0] // 2 and session.stream.memory.bytes < before[1]
    assert session.stream.memory.batch == 0


def test_questions_that_ended_behind_a_turn_that_hangs_take_up_no_room(bench):
    b = bench()
    b.see(SECOND)
    release = b.hold()
    asked = [b.ask() for _ in range(20)]
    for question, _ in asked:
        b.engine.end(question, Error.TIMEOUT)
    assert not b.engine._questions and b.engine.waiting == 0
    release.set()


def test_clients_take_turns(bench):
    """One that asks (or asked, and was killed) many questions holds up another for one of them at most."""
    b = bench()
    b.see(SECOND)
    release = b.hold()
    for number in range(16):
        b.ask(f'greedy {number}', client='greedy')
    _, got = b.ask('modest', client='modest')
    _, more = b.ask('modest again', client='modest')
    release.set()
    assert until(lambda: b.engine.waiting == 0 and len(b.stream.log) and not b.session.question)
    order = [entry[1] for entry in b.stream.log if entry[0] == 'ask']
    assert order[:4] == ['greedy 0', 'modest', 'greedy 1', 'modest again'] and len(order) == 18
    assert [name for name in order if name.startswith('greedy')] == [f'greedy {n}' for n in range(16)]
    assert until(lambda: got and more) and not b.engine._taken_up


def test_a_client_that_asks_without_pause_does_not_silence_narration():
    """Half a second after each answer it asks again; in 30 s there is time for a narration every two or three."""
    engine = Engine(
        lambda settings: None, lambda model, settings: stream, decode, notes := Notebook(), seconds=lambda: now
    )
    now, stream = 0.0, FakeStream(words=10)
    engine.load(Settings())
    engine.open('camera', Settings())
    ask_at, longest, asked_at, got = 0.5, 0.0, None, []
    for tick in range(600):  # each piece takes 50 ms of this clock
        now = tick * 0.05
        if tick % 10 == 0:
            engine.put('camera', SECOND + int(now * 1e9))
        if tick % 40 == 0:
            engine.narrate('camera')
        if asked_at is None and now >= ask_at:
            asked_at, got = now, []
            engine.submit(Question('what now?', 100, got.append))
        engine.step()
        if asked_at is not None and got:
            longest, ask_at, asked_at = max(longest, now - asked_at), now + 0.5, None
    assert len(notes.narrations) >= 10, len(notes.narrations)
    assert longest <= 2.0


def test_a_hung_turn_does_not_hold_up_a_deadline_or_the_queue(bench):
    b = bench()
    b.see(SECOND)
    release = threading.Event()
    b.worker.do(release.wait)
    question, got = b.ask(timeout=0.2)
    time.sleep(0.05)
    b.worker.stop(Error.MODEL_FAILURE, 'it hangs')
    assert got[0].error is Error.MODEL_FAILURE
    release.set()
