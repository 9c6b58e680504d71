"""What the node says, over real DDS: narration, answers of the service and of the action, typed errors."""

import time

import pytest
from fake_stream import FakeStream
from rclpy.qos import DurabilityPolicy, QoSProfile
from robot import act, robot_fixture, seconds, wait  # noqa: F401
from std_msgs.msg import String
from std_srvs.srv import Trigger

from stc_ros.action import AskStream
from stc_ros.engine.questions import Error
from stc_ros.msg import Narration, StreamStats
from stc_ros.ros.ask import EVERY_PIECE
from stc_ros.srv import Ask

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
WORDS = (Narration, 'narration'), (String, 'narration_text')


def test_narration_comes_by_the_clock_with_the_newest_header(robot, ros):
    r = robot(**{'narration.period': 0.3, 'input.scene_change': 1.0, 'query.max_new_tokens': 8})
    told = r.listen(Narration, 'stc_stream/narration', LATCHED)
    text = r.listen(String, 'stc_stream/narration_text', LATCHED)
    stats = r.listen(StreamStats, 'stc_stream/stats', 200)
    r.watch()
    assert ros.spin_until(lambda: len(told) >= 3 and len(text) >= 3)
    by_clock = [t for t in told if not t.scene_change]
    assert by_clock and all(t.text for t in told)
    assert [t.text for t in told[:3]] == [t.data for t in text[:3]]
    stamps = {seconds(s.header.stamp) for s in stats}
    for earlier, later in zip(told, told[1:]):
        assert seconds(later.header.stamp) in stamps and later.header.frame_id == 'camera'
        assert seconds(earlier.header.stamp) < seconds(later.first_stamp) <= seconds(later.header.stamp)
        assert later.frames >= 1 and 0 < later.latency < 5


def test_nobody_listens_nothing_is_narrated_and_a_late_listener_gets_the_newest(robot, ros):
    r = robot(**{'narration.period': 0.1, 'query.max_new_tokens': 4})
    r.watch()
    wait(ros, 0.6)
    assert r.session.tally.narrations == 0
    told = r.listen(Narration, 'stc_stream/narration', LATCHED)
    assert ros.spin_until(lambda: told)
    r.stop_filming()
    wait(ros, 0.5)
    late = r.listen(Narration, 'stc_stream/narration', LATCHED)
    assert ros.spin_until(lambda: late)
    assert late[0].text == told[-1].text


def test_ask(robot, ros):
    r = robot().watch()
    began = time.monotonic()
    reply = r.ask(max_new_tokens=5)
    took = time.monotonic() - began
    assert (reply.error_code, reply.error_msg) == (Ask.Response.NONE, '')
    assert reply.answer and 1 <= reply.tokens <= 5
    assert reply.frames_processed >= 1 and 0 < seconds(reply.first_stamp) <= seconds(reply.last_stamp)
    assert 0 <= reply.frame_age < 5 and 0 < reply.time_to_first_token <= took


def test_every_error_has_its_constant_and_a_sentence():
    for kind in (Ask.Response, AskStream.Result):
        values = [getattr(kind, error.name) for error in Error]
        assert len(set(values)) == len(values)
    assert all(error.value for error in Error if error is not Error.NONE)


def test_before_the_first_frame(robot):
    reply = robot().until_active().ask()
    assert reply.error_code == Ask.Response.NO_FRAMES and reply.error_msg and not reply.answer


@pytest.mark.parametrize(
    'fields, code, words',
    [
        ({'question': ''}, 'EMPTY_QUESTION', 'empty'),
        ({'question': ' \n '}, 'EMPTY_QUESTION', 'empty'),
        ({'question': 'why? ' * 5000}, 'QUESTION_TOO_LONG', '20000'),
        ({'question': 'why? ' * 500}, 'QUESTION_TOO_LONG', 'tokens'),
        ({'max_new_tokens': 3000}, 'INVALID_REQUEST', 'max_new_tokens'),
        ({'timeout': 4000.0}, 'INVALID_REQUEST', 'timeout'),
        ({'timeout': -1.0}, 'INVALID_REQUEST', 'timeout'),
    ],
)
def test_questions_that_cannot_be_answered(shared, fields, code, words):
    reply = shared.ask(**fields)
    assert reply.error_code == getattr(Ask.Response, code)
    assert words in reply.error_msg and reply.answer == ''


@pytest.fixture
def shared(robot):
    return robot().watch()


def test_action_streams_the_answer(robot, ros):
    robot().watch()
    _, feedback, done, client = act(ros, max_new_tokens=6)
    assert ros.spin_until(done.done)
    result = done.result().result
    assert done.result().status == 4 and result.error_code == AskStream.Result.NONE  # SUCCEEDED
    assert ros.spin_until(lambda: ''.join(f.text for f in feedback) == result.answer)
    assert 1 < feedback[-1].tokens <= result.tokens  # tokens that write nothing have no feedback
    assert result.tokens == 6 or result.finished
    client.destroy()


def test_a_reader_who_is_held_up_misses_no_piece(robot, ros):
    """On the topic itself: rclpy's client throws away what comes behind the result."""
    robot(lambda settings: FakeStream(words=150)).watch()
    pieces = []
    ros.node.create_subscription(
        AskStream.Impl.FeedbackMessage, 'ask_stream/_action/feedback', pieces.append, EVERY_PIECE
    )
    _, _, done, client = act(ros, max_new_tokens=150)
    time.sleep(2)  # nothing is spun here meanwhile
    assert ros.spin_until(lambda: done.done() and len(pieces) == 150)
    assert ''.join(piece.feedback.text for piece in pieces) == done.result().result.answer
    client.destroy()


def test_action_errors_are_those_of_the_service(robot, ros):
    robot().watch()
    _, _, done, client = act(ros, '')
    assert ros.spin_until(done.done)
    assert done.result().status == 6  # ABORTED
    assert done.result().result.error_code == AskStream.Result.EMPTY_QUESTION
    client.destroy()


def test_a_late_subscriber_gets_no_narration_of_before_a_reset(robot, ros, monkeypatch):
    monkeypatch.setattr('stc_ros.ros.publishers.STALE_S', 1.5)
    r = robot(lambda settings: FakeStream(), **{'narration.period': 0.2}).watch()
    told, text = (r.listen(kind, f'stc_stream/{name}', LATCHED) for kind, name in WORDS)
    assert ros.spin_until(lambda: told and text)
    r.stop_filming()
    wait(ros, 0.5)
    assert told[-1].text == text[-1].data != ''
    assert ros.spin_until(lambda: text[-1].data == '') and told[-1].text != ''  # its stamp says how old it is
    r.call(Trigger, 'stc_stream/reset', Trigger.Request())
    assert ros.spin_until(lambda: told[-1].text == '') and seconds(told[-1].header.stamp) > seconds(
        told[-2].header.stamp
    )
    late = [r.listen(kind, f'stc_stream/{name}', LATCHED) for kind, name in WORDS]
    assert ros.spin_until(lambda: all(late))
    assert late[0][-1].text == '' == late[1][-1].data
    r.call(Trigger, 'stc_stream/reset', Trigger.Request())
    wait(ros, 0.3)
    assert len(told) == len([t for t in told if t.text]) + 1, 'nothing was narrated between the resets'
