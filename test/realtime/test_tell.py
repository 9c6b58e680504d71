"""What is told of a played bag: in order of the stream's time, with the frames that the node did not drop."""

from types import SimpleNamespace

import pytest
from evaluation.fake_bag import SECOND, START, FakeBag

pytest.importorskip('rclpy', reason='rclpy is not installed: run ./dev test, or source a ROS 2')
pytest.importorskip('stc_ros.msg', reason='the interfaces are not built: run ./dev build')

from rclpy.serialization import serialize_message  # noqa: E402

from stc_ros.engine.questions import Error  # noqa: E402
from stc_ros.evaluation.evaluate import Job, Plan  # noqa: E402
from stc_ros.evaluation.expectations import Exact  # noqa: E402
from stc_ros.evaluation.questions import Question, QuestionFile, Time  # noqa: E402
from stc_ros.evaluation.replay_sink import Planned, ReplaySink  # noqa: E402
from stc_ros.io.bags import BagError  # noqa: E402
from stc_ros.msg import Narration, StreamStats, WatchEvent  # noqa: E402
from stc_ros.realtime.tell import Teller  # noqa: E402
from stc_ros.ros.log_texts import RESET  # noqa: E402
from stc_ros.ros.player import Asked, Camera, Heard, to_time  # noqa: E402
from stc_ros.settings import Settings  # noqa: E402
from stc_ros.srv import Ask  # noqa: E402

FRAMES = [('/a', t, 10 * t) for t in range(6)]  # 1 Hz


class Notes(ReplaySink):
    def __init__(self):
        self.all, self.asks, self.frames = [], {}, {}

    def received(self, camera, stamp):
        self.all.append(('received', seconds(stamp)))

    def frame(self, camera, event):
        self.all.append(('frame', seconds(event.report.stamp)))
        self.frames[seconds(event.report.stamp)] = event

    def invalid(self, camera, stamp, kind, text):
        self.all.append(('invalid', seconds(stamp), text))

    def asked(self, asked):
        self.all.append(('asked', asked.planned.question.id))
        self.asks[asked.planned.question.id] = asked

    def narrated(self, camera, span, text):
        self.all.append(('narrated', text))

    def event(self, camera, stamp, name, text):
        self.all.append((name, seconds(stamp), text))

    def of(self, *kinds):
        return [entry for entry in self.all if entry[0] in kinds]


def seconds(stamp):
    return (stamp - START) / SECOND


def time(t):
    return to_time(START + round(t * SECOND))


def stats(t, dropped=0):
    message = StreamStats(frames_received=int(t) + 1, frames_dropped=dropped, patches=100, visual_tokens=50)
    message.header.stamp, message.total_ms = time(t), 40.0
    return (t + 0.25, serialize_message(message))


def narration(t, text):
    message = Narration(text=text, frames=1, first_stamp=time(0))
    message.header.stamp = time(t)
    return serialize_message(message)


def question(id, t, last=None, took=0.5, deadline=0.0, code=Ask.Response.NONE):
    """(planned, asked): at t s; last: time of the newest frame that the answer knows, None: it never came."""
    planned = Planned(
        Question(id, 1, Time(round(t * SECOND)), '/a', id, Exact(('yes',)), deadline=deadline),
        '/a',
        START + round(t * SECOND),
    )
    asked = Asked(id, planned.stamp, '', took)
    if last is not None:
        asked.response = Ask.Response(answer='yes', error_code=code, last_stamp=time(last), time_to_first_token=0.2)
    return planned, asked


def tell(frames=FRAMES, processed=range(6), questions=(), narrations=(), events=(), log=(), rate=1.0, ends=None):
    bag, notes = FakeBag(frames, ends), Notes()
    planned, asks = zip(*questions) if questions else ((), ())
    heard = Heard([(START + t * SECOND, t) for t in range(6)], [stats(t) for t in processed], list(narrations))
    cameras = {'/a': Camera('/a', 'camera', True, False)}
    player = SimpleNamespace(heard={'/a': heard}, cameras=cameras, events=list(events), log=list(log))
    job = Job((), (), QuestionFile(), 'default', Settings(), None, realtime=rate)
    teller = Teller(bag, Plan(('/a',), planned, (), ()), job, notes, player, asks)
    if ends:
        with pytest.raises(BagError):
            teller.tell()
    else:
        teller.tell()
    return teller, notes


def test_frames_that_the_node_dropped_were_received_and_not_processed():
    teller, notes = tell(processed=(0, 3, 5))
    assert [entry[1] for entry in notes.of('received')] == [0, 1, 2, 3, 4, 5]
    assert [entry[1] for entry in notes.of('frame')] == [0, 3, 5]
    assert [(at - t) for t, at in ((seconds(stamp), at) for stamp, at in teller.cameras['/a'].done)] == [0.25] * 3


def test_a_frame_has_its_picture_and_its_age():
    _, notes = tell()
    assert notes.frames[3].frame.picture.array()[0, 0, 0] == 30 and notes.frames[3].age_ms == pytest.approx(250)
    assert notes.frames[3].report.patches == 100 and notes.frames[3].total_ms == 40


def test_a_frame_that_is_no_picture_is_told_as_without_a_clock():
    _, notes = tell([*FRAMES[:2], ('/a', 2, 'wrong encoding')], processed=(0, 1))
    assert notes.of('invalid') == [('invalid', 2.0, 'wrong encoding')]


def test_an_answer_is_told_with_the_frame_that_it_rests_on():
    _, notes = tell(questions=[question('up to date', 2.5, 2), question('two frames back', 3.5, 1)])
    assert notes.asks['up to date'].newest is notes.frames[2]
    assert notes.asks['two frames back'].newest is notes.frames[1]
    assert notes.of('frame', 'asked')[2:5] == [('frame', 2), ('asked', 'up to date'), ('frame', 3)]


def test_an_answer_that_knows_a_later_frame_than_when_it_was_asked_comes_behind_that():
    teller, notes = tell(questions=[question('slow', 1.5, 3), question('next', 2.5, 2)])
    assert notes.of('frame', 'asked')[3:6] == [('asked', 'next'), ('frame', 3), ('asked', 'slow')]
    assert not any(each.behind for each in teller.asked)


def test_questions_of_one_time_stay_in_their_order():
    _, notes = tell(questions=[question(id, 2.5, 2) for id in 'abc'])
    assert [entry[1] for entry in notes.of('asked')] == ['a', 'b', 'c']


def test_what_the_answers_say_of_the_clock():
    questions = [
        question('in time', 1.5, 1, took=0.5, deadline=1.0),
        question('late', 2.5, 2, took=1.5, deadline=1.0),
        question('behind', 3.5, 1),
        question('never', 4.5),
        question('busy', 4.5, 0, code=Ask.Response.BUSY),
    ]
    teller, notes = tell(questions=questions, rate=0.5)
    said = {planned.question.id: record for (planned, _), record in zip(questions, teller.asked)}
    assert [id for id, each in said.items() if each.late] == ['late']
    assert [id for id, each in said.items() if each.behind and not each.error] == ['behind']
    assert [each.error for each in said.values()] == ['', '', '', 'TIMEOUT', 'BUSY']
    assert said['late'].seconds == 1.5 and said['late'].time_to_first_token == pytest.approx(0.2 * 0.5)
    assert notes.asks['never'].reply.error is Error.TIMEOUT and notes.asks['never'].newest is None


def test_narrations_and_the_nodes_log_come_at_their_time():
    log = [(1.5, False, RESET + 'asked to'), (2.5, True, 'processing a frame failed: no'), (3.5, False, 'slow')]
    _, notes = tell(narrations=[narration(2, 'a red one'), narration(3, ''), narration(4, 'a blue one')], log=log)
    assert notes.of('reset', 'failure', 'warning') == [
        ('reset', 1.5, 'asked to'),
        ('failure', 2.5, 'processing a frame failed: no'),
        ('warning', 3.5, 'slow'),
    ]
    told = [entry for entry in notes.all if entry[0] in ('frame', 'narrated')]
    assert told[3] == ('narrated', 'a red one') and told[6] == ('narrated', 'a blue one')


def test_an_event_of_a_watch_comes_behind_the_frame_that_decided_and_before_answers():
    message = WatchEvent(watch='door', condition='open ?', camera='camera', kind=WatchEvent.RISING, probability=0.95)
    message.header.stamp = time(2)
    _, notes = tell(events=[serialize_message(message)], questions=[question('q', 2.0, 2)])
    at = notes.all.index(('door rising', 2.0, 'open ? (p 0.950)'))
    assert notes.all[at - 1] == ('frame', 2) and notes.all[at + 1] == ('asked', 'q')


def test_of_a_bag_that_breaks_off_what_came_before_is_told():
    _, notes = tell(FRAMES[:3], processed=(0, 1, 2), questions=[question('last', 2.5, 2)], ends='the bag is cut off')
    assert len(notes.of('frame')) == 3 and notes.of('asked') == [('asked', 'last')]
