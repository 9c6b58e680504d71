"""The worker's promises about narration, without ROS: what it tells, what it leaves out, what puts it off."""

import time

from fake_stream import until

from stc_ros.engine.questions import Error
from stc_ros.models.narration_style import NarrationStyle
from stc_ros.settings import Settings

SECOND = 1_000_000_000


def test_a_question_puts_a_narration_off_which_then_tells_everything(bench):
    b = bench(words=20, token_s=0.01)
    b.see(1, 2, 3)
    b.narrate()
    assert until(lambda: 'piece' in b.stream.names())
    began = time.monotonic()
    _, got = b.ask()
    assert until(lambda: got)
    assert time.monotonic() - began < 2.0
    b.see(4)
    assert until(lambda: b.notes.narrations)
    telling, reply = b.notes.narrations[0]
    assert (telling.first_stamp, telling.frames, telling.header.stamp) == (1, 3, 3) or telling.frames == 4
    assert b.stream.names().count('ask') == 3 and b.stream.closed == 3
    assert reply.answer.split()[-1] == 'word20'


def test_a_reset_ends_the_narration_in_work(bench):
    """What it tells of is forgotten; and a question that comes before the next frame finds nothing to put off."""
    b = bench(words=50, token_s=0.05)
    b.see(SECOND, 2 * SECOND)
    b.narrate()
    assert until(lambda: 'piece' in b.stream.names())
    b.worker.reset('asked to').result(5)
    _, got = b.ask()
    assert until(lambda: got) and got[0].error is Error.NO_FRAMES
    assert b.worker.alive and not b.notes.narrations and b.stream.closed == 1
    b.see(9 * SECOND)
    b.narrate()
    assert until(lambda: b.notes.narrations)
    ((telling, _),) = b.notes.narrations
    assert (telling.first_stamp, telling.frames) == (9 * SECOND, 1)


def test_a_narration_claims_no_frame_that_the_memory_has_lost(bench):
    b = bench()
    b.stream.remembers = 3
    b.see(*range(1 * SECOND, 9 * SECOND, SECOND))
    b.narrate()
    assert until(lambda: b.notes.narrations)
    ((telling, _),) = b.notes.narrations
    assert (telling.first_stamp, telling.last_stamp, telling.frames) == (6 * SECOND, 8 * SECOND, 3)
    assert ('ask', 'narrate 8 frames, 2 s') in b.stream.log


def test_a_cut_during_a_narration_that_is_put_off_is_still_narrated_as_one(bench):
    b = bench(words=30, token_s=0.05)
    b.see(SECOND)
    b.narrate()
    assert until(lambda: 'piece' in b.stream.names())
    b.stream.scene_change = True
    b.see(2 * SECOND)
    b.stream.scene_change = False
    _, got = b.ask()
    assert until(lambda: got and b.notes.narrations)
    assert b.notes.narrations[0][0].scene_change


def test_narration_tells_each_frame_once_and_nothing_when_nothing_is_new(bench):
    b = bench()
    b.see(SECOND, 2 * SECOND, 4 * SECOND)
    b.narrate()
    assert until(lambda: len(b.notes.narrations) == 1)
    b.narrate()
    b.worker.reset('wait for the turn').result(5)
    assert len(b.notes.narrations) == 1
    b.see(5 * SECOND)
    b.narrate()
    assert until(lambda: len(b.notes.narrations) == 2)
    assert [(t.first_stamp, t.frames) for t, _ in b.notes.narrations] == [(SECOND, 3), (5 * SECOND, 1)]
    assert ('ask', 'narrate 8 frames, 3 s') in b.stream.log


def test_a_narration_says_nothing_twice(bench):
    b = bench()
    b.stream.says = 'A door opens. '
    b.see(SECOND)
    b.narrate()
    assert until(lambda: b.notes.narrations)
    assert b.notes.narrations[0][1].answer.strip() == 'A door opens.' and b.notes.narrations[0][1].tokens > 1


def test_a_narration_leaves_out_what_the_model_is_unsure_of_and_an_answer_does_not(bench):
    b = bench()
    b.stream.says, b.stream.sure = 'Door {} opens. ', lambda piece: {2: 0.3}.get(piece, 0.6)
    b.worker.configure({'camera': Settings({'narration.min_confidence': 0.5})}).result(5)
    b.see(SECOND)
    b.narrate()
    assert until(lambda: b.notes.narrations)
    assert b.notes.narrations[0][1].answer == 'Door 1 opens. Door 3 opens.'
    _, got = b.ask()
    assert until(lambda: got) and got[0].answer == 'Door 1 opens. Door 2 opens. Door 3 opens. '
    b.worker.configure({'camera': Settings({'narration.min_confidence': 0.9})}).result(5)
    b.see(2 * SECOND)
    b.narrate()
    assert until(lambda: b.stream.closed == 3)
    b.worker.reset('wait for the turn').result(5)
    assert len(b.notes.narrations) == 1


def test_an_event_is_told_once_until_the_scene_or_the_stream_begins_anew(bench):
    b = bench()
    b.session.narrator.style = NarrationStyle(event='it fell')
    b.stream.says, b.stream.words = 'A cup. It fell. ', 1
    both, one = 'A cup. It fell.', 'A cup.'
    for n, told in enumerate((both, one, one, both, one, both), start=1):
        if n == 4:
            b.worker.reset('for the test').result(5)
        b.stream.scene_change = n == 6
        b.see(n * SECOND)
        b.narrate()
        assert until(lambda n=n: len(b.notes.narrations) == n)
        assert b.notes.narrations[-1][1].answer == told


def test_a_prompt_of_the_users_own_gets_the_exact_numbers(bench):
    b = bench()
    b.worker.configure({'camera': Settings({'narration.prompt': '{frames} and {seconds}?'})}).result(5)
    b.see(SECOND, 2 * SECOND, 4 * SECOND)
    b.narrate()
    assert until(lambda: b.notes.narrations)
    assert ('ask', '3 and 3?') in b.stream.log


def test_the_models_own_prompt_gets_a_number_that_it_was_trained_with(bench):
    b = bench()
    b.see(*range(1, 15))
    b.narrate()
    assert until(lambda: b.notes.narrations)
    assert b.notes.narrations[0][0].frames == 14 and ('ask', 'narrate 16 frames, 1 s') in b.stream.log


def test_scene_change_is_narrated_at_once_if_somebody_listens(bench):
    b = bench()
    b.see(1)
    b.stream.scene_change = True
    b.see(2)
    assert until(lambda: b.notes.narrations)
    assert b.notes.narrations[0][0].scene_change
    b.notes.listening = False
    b.see(3)
    b.worker.configure({'camera': Settings()}).result(5)
    assert len(b.notes.narrations) == 1 and b.session.narrator.due is None
