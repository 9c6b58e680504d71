"""A question file of what a robot was asked: from the events that rosbag2 records of its services, and of watches."""

import re
from pathlib import Path

import numpy as np
import pytest
from rosbags.interfaces import Connection, MessageDefinition, MessageDefinitionFormat
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from small_bags import BEGIN, TOPIC, put

from stc_ros.__main__ import main
from stc_ros.engine.questions import Error
from stc_ros.evaluation.evaluate import plan
from stc_ros.evaluation.questions import QuestionFileError, read_questions
from stc_ros.io.bag_types import RULE, definitions
from stc_ros.io.bag_writer import BagWriter
from stc_ros.io.bags import Bag

ROOT = Path(__file__).parents[2]
SECOND = 10**9
SENT, RECEIVED, ANSWERED, GOT = range(4)  # service_msgs/ServiceEventInfo
ASK, ACTION, WATCH = '/ask/_service_event', '/ask_stream/_action', '/stc_stream/events'
KIND = {ASK: 'srv/Ask_Event', f'{ACTION}/send_goal/_service_event': 'action/AskStream_SendGoal_Event',
        f'{ACTION}/get_result/_service_event': 'action/AskStream_GetResult_Event', WATCH: 'msg/WatchEvent'}  # fmt: skip


def connection(type, text='', format=MessageDefinitionFormat.MSG):
    return Connection(1, '/x', type, MessageDefinition(format, text), '', 0, None, None)


@pytest.fixture(scope='module')
def types():
    """All of ROS 2 Jazzy's, ours, and what our service and action publish of themselves."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for file in sorted((ROOT / 'msg').glob('*.msg')):
        found = get_types_from_msg(file.read_text(), f'stc_ros/msg/{file.stem}')
        store.register({name: fields for name, fields in found.items() if name not in store.fielddefs})
    for kind in list(KIND.values())[:3]:
        found = definitions(connection(f'stc_ros/{kind}'))  # our own files, as where a bag says nothing
        store.register({name: fields for name, fields in found.items() if name not in store.fielddefs})
    return store


class Robot:
    """Writes what a node publishes. at: s from the bag's start."""

    def __init__(self, writer, types):
        self.writer, self.types, self._number = writer, types, 0

    def time(self, at):
        return self.types.types['builtin_interfaces/msg/Time'](*divmod(BEGIN + round(at * SECOND), SECOND))

    def make(self, type, **fields):
        """A message of our package; what is not given is zero or empty."""
        made = next(made for name, made in self.types.types.items() if re.fullmatch(f'stc_ros/[a-z]+/{type}', name))
        return made(**{f.name: fields.get(f.name, self.empty(f.type, f.name))
                       for f in made.__dataclass_fields__.values() if f.init})  # fmt: skip

    def empty(self, type, name):
        time = self.types.types['builtin_interfaces/msg/Time'](0, 0)
        duration = self.types.types['builtin_interfaces/msg/Duration'](0, 0)
        other = {'timeout': duration, 'first_stamp': time, 'last_stamp': time, 'since': time, 'answers': [],
                 'request': [], 'response': []}  # fmt: skip
        if name in other:
            return other[name]
        return '' if 'str' in str(type) else False if 'bool' in str(type) else 0

    def publish(self, topic, at, message):
        self.writer.write(topic, f'stc_ros/{KIND[topic]}', BEGIN + round(at * SECOND), message)

    def event(self, topic, kind, at, number=None, client=1, **content):
        number = self._number if number is None else number
        gid = np.full(16, client, np.uint8)
        info = self.types.types['service_msgs/msg/ServiceEventInfo'](kind, self.time(at), gid, number)
        self.publish(topic, at, self.make(KIND[topic].split('/')[1], info=info, **content))

    def ask(self, at, question, answer='yes', knew=None, error=Error.NONE, camera='', answers=(), takes=0.1,
            kinds=(RECEIVED, ANSWERED), client=1):  # fmt: skip
        """The service is asked at a time; knew: s of the newest frame that the answer knew."""
        self._number += 1
        request = self.make('Ask_Request', question=question, camera=camera)
        self.event(ASK, kinds[0], at, client=client, request=[request])
        if answer is not None:
            stamp = self.time(knew) if knew is not None else self.empty('', 'last_stamp')
            response = self.make('Ask_Response', answer=answer, last_stamp=stamp, error_code=list(Error).index(error),
                                 answers=[self.of_camera(*each) for each in answers])  # fmt: skip
            self.event(ASK, kinds[1], at + takes, client=client, response=[response])

    def of_camera(self, camera, answer, knew):
        return self.make('CameraAnswer', camera=camera, answer=answer, last_stamp=self.time(knew))

    def goal(self, at, question, answer='yes', knew=None):
        """The action is asked."""
        self._number += 1
        uuid = self.types.types['unique_identifier_msgs/msg/UUID'](np.full(16, self._number, np.uint8))
        send, get = list(KIND)[1:3]
        goal = self.make('AskStream_Goal', question=question)
        sent = self.make('AskStream_SendGoal_Request', goal_id=uuid, goal=goal)
        self.event(send, RECEIVED, at, request=[sent])
        accepted = self.make('AskStream_SendGoal_Response', accepted=True, stamp=self.time(at))
        self.event(send, ANSWERED, at, response=[accepted])
        self.event(get, RECEIVED, at, request=[self.make('AskStream_GetResult_Request', goal_id=uuid)])
        result = self.make('AskStream_Result', answer=answer, last_stamp=self.time(knew))
        self.event(get, ANSWERED, at + 0.1, response=[
            self.make('AskStream_GetResult_Response', status=4, result=result)])  # fmt: skip

    def watch(self, at, kind, condition='the door is open', camera=''):
        header = self.types.types['std_msgs/msg/Header'](self.time(at), 'lens')
        self.publish(WATCH, at + 0.2, self.make('WatchEvent', header=header, kind=kind, condition=condition,
                                                camera=camera, watch='w', probability=0.9, latency=0.2))  # fmt: skip


@pytest.fixture
def record(tmp_path, types):
    """A bag of a second of frames of these cameras, and what happened."""

    def write(*happened, cameras=(TOPIC,)):
        with BagWriter(tmp_path / 'bag', types=types) as writer:
            for number in range(11):
                for topic in cameras:
                    put(writer, number, topic=topic)
            robot = Robot(writer, types)
            for what, *arguments in happened:
                named = arguments.pop() if isinstance(arguments[-1], dict) else {}
                getattr(robot, what)(*arguments, **named)
        return tmp_path / 'bag'

    return write


def command(tmp_path, bag, *more):
    return main(['questions', 'from-log', str(bag), '--out', str(tmp_path / 'q.yaml'), *more])


def listed(tmp_path):
    """(id, s, camera, question, proposed) of the file's questions, all of which have to be unlabelled."""
    found = read_questions(tmp_path / 'q.yaml')
    assert not found.questions
    return [(q.id, q.at.ns / SECOND, q.camera, q.text, q.expect.text) for q in found.unlabelled]


def test_service_action_and_watch_become_proposals_in_order_of_time(record, tmp_path, capsys):
    bag = record(
        ('ask', 0.55, 'is the door open ?', 'Yes.', 0.5),
        ('goal', 0.25, 'what is red ?', 'a "ball": red', 0.2),
        ('watch', 0.7, 1),
        ('watch', 0.9, 2),
        ('watch', 0.95, 3),  # it has expired, which says nothing
    )
    assert command(tmp_path, bag) == 0
    assert listed(tmp_path) == [
        ('ask_stream-1', 0.2, '', 'what is red ?', 'a "ball": red'),
        ('ask-1', 0.5, '', 'is the door open ?', 'Yes.'),
        ('watch-1', 0.7, '', 'the door is open: yes or no ?', 'yes'),
        ('watch-2', 0.9, '', 'the door is open: yes or no ?', 'no'),
    ]
    said = capsys.readouterr().out
    assert '4 questions, none of them labelled' in said
    assert f'stc_ros questions label {bag} --questions {tmp_path}/q.yaml' in said
    with Bag([bag]) as opened, pytest.raises(QuestionFileError, match='4 questions are unlabelled'):
        plan(opened, (), read_questions(tmp_path / 'q.yaml'))  # nothing of it can be scored


def test_a_question_is_asked_at_the_newest_frame_that_its_answer_knew(record, tmp_path):
    bag = record(
        ('ask', 0.3, 'quick', 'a', 0.3),
        ('ask', 0.35, 'slow', 'b', 0.6, {'takes': 0.5}),
        ('ask', 0.7, 'too late', '', {'error': Error.TIMEOUT}),  # knew nothing: the time of the request
        ('ask', 0.8, 'never', None),
    )
    assert command(tmp_path, bag) == 0
    assert [(at, text, said) for _, at, _, text, said in listed(tmp_path)] == [
        (0.3, 'quick', 'a'), (0.6, 'slow', 'b'), (0.7, 'too late', ''), (0.8, 'never', '')]  # fmt: skip


def test_what_client_and_server_both_tell_counts_once_and_two_clients_are_two(record, tmp_path):
    bag = record(
        ('ask', 0.3, 'one', 'server', 0.3),
        ('ask', 0.3, 'one', 'client', 0.3, {'kinds': (SENT, GOT), 'client': 9}),
        ('event', ASK, RECEIVED, 0.5, {'number': 7, 'client': 1, 'request': []}),  # METADATA: without contents
    )
    assert command(tmp_path, bag) == 0
    assert [said for *_, said in listed(tmp_path)] == ['server']


def test_events_of_clients_alone_are_used(record, tmp_path):
    bag = record(*(('ask', 0.3 + c / 10, f'{c}', 'a', 0.2, {'kinds': (SENT, GOT), 'client': c}) for c in (1, 2)))
    assert command(tmp_path, bag) == 0
    assert [text for *_, text, _ in listed(tmp_path)] == ['1', '2']


def test_what_is_no_question_is_left_out_and_counted(record, tmp_path, capsys):
    bag = record(
        ('ask', 0.1, ' ', '', {'error': Error.EMPTY_QUESTION}),
        ('ask', 0.1, 'a ?', '', {'error': Error.INVALID_REQUEST}),
        ('ask', 0.4, 'same ?', 'yes', 0.3),
        ('ask', 0.4, 'same ?', 'yes', 0.3),
        ('ask', 7.0, 'after the bag ?', 'yes', 6.9),
    )
    assert command(tmp_path, bag) == 0
    assert len(listed(tmp_path)) == 1
    said = capsys.readouterr().out
    for each in ('1 refused as EMPTY_QUESTION', '1 refused as INVALID_REQUEST', '1 asked twice', '1 outside'):
        assert f'left out: {each}' in said


def test_each_camera_that_was_asked_is_asked_again(record, tmp_path, capsys):
    answers = [('front', 'a dog', 0.4), ('rear', 'a cat', 0.5)]
    bag = record(
        ('ask', 0.6, 'what is there ?', 'front: a dog\nrear: a cat', 0.5, {'answers': answers}),
        cameras=('/front/image', '/rear/image'),
    )
    assert command(tmp_path, bag) == 0
    assert [each[1:] for each in listed(tmp_path)] == [
        (0.4, '/front/image', 'what is there ?', 'a dog'),
        (0.5, '/rear/image', 'what is there ?', 'a cat'),
    ]
    with Bag([bag]) as opened:
        assert {opened.choose(camera) for _, _, camera, _, _ in listed(tmp_path)} == {'/front/image', '/rear/image'}


def test_a_camera_whose_images_cannot_be_told_is_asked_for(record, tmp_path, capsys):
    bag = record(('ask', 0.6, 'x', 'y', 0.5, {'camera': 'left'}), cameras=('/a', '/b'))
    assert command(tmp_path, bag) == 2
    said = capsys.readouterr().err
    assert "camera 'left'" in said and '--camera left=TOPIC' in said and '/a, /b' in said
    assert not (tmp_path / 'q.yaml').exists()
    assert command(tmp_path, bag, '--camera', 'left=/b') == 0
    assert listed(tmp_path)[0][2] == '/b'
    assert command(tmp_path, bag) == 2 and 'exists already' in capsys.readouterr().err  # a labelled file stays


def test_a_bag_without_questions_names_what_to_record(record, tmp_path, capsys):
    assert command(tmp_path, record()) == 2
    assert 'query.introspection' in capsys.readouterr().err


def test_events_without_contents_are_named(record, tmp_path, capsys):
    assert command(tmp_path, record(('event', ASK, RECEIVED, 0.5, {'number': 1}))) == 2
    said = capsys.readouterr().err
    assert '1 without their request' in said and 'METADATA' in said


# How a bag says what an event looks like


def test_an_event_is_read_by_what_the_bag_says_of_its_service(types):
    """rosbag2 writes down the service, with what it uses; another version of it may have other fields."""
    text = (
        RULE
        + 'SRV: pkg/srv/Look\nstring what\n---\nfloat32 sure\nOther other\n'
        + RULE
        + 'MSG: pkg/msg/Other\nint32 n\n'
    )
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(definitions(connection('pkg/srv/Look_Event', text)))
    request = store.types['pkg/msg/Look_Request']
    time = store.types['builtin_interfaces/msg/Time'](1, 2)
    info = store.types['service_msgs/msg/ServiceEventInfo'](RECEIVED, time, np.zeros(16, np.uint8), 3)
    event = store.types['pkg/srv/Look_Event'](info, [request('up')], [])
    data = store.serialize_cdr(event, 'pkg/srv/Look_Event')
    assert store.deserialize_cdr(data, 'pkg/srv/Look_Event').request[0].what == 'up'


def test_the_codes_are_in_the_order_of_the_errors():
    codes = re.findall(r'^uint16 ([A-Z_]+) = (\d+)', (ROOT / 'srv' / 'Ask.srv').read_text(), re.MULTILINE)
    assert [(each.name, str(number)) for number, each in enumerate(Error)] == codes


def test_what_a_real_node_publishes_is_what_is_read_here():
    """By the generated messages, where there are some: the same bytes."""
    serialization = pytest.importorskip('rclpy.serialization')
    ask = pytest.importorskip('stc_ros.srv').Ask
    event = ask.Event()
    event.info.event_type, event.info.sequence_number, event.info.stamp.sec = ANSWERED, 5, 77
    event.response = [ask.Response(answer='a blue box', error_code=0)]
    store = get_typestore(Stores.ROS2_JAZZY)
    for file in sorted((ROOT / 'msg').glob('*.msg')):
        found = get_types_from_msg(file.read_text(), f'stc_ros/msg/{file.stem}')
        store.register({name: fields for name, fields in found.items() if name not in store.fielddefs})
    found = definitions(connection('stc_ros/srv/Ask_Event'))
    store.register({name: fields for name, fields in found.items() if name not in store.fielddefs})
    read = store.deserialize_cdr(serialization.serialize_message(event), 'stc_ros/srv/Ask_Event')
    assert read.response[0].answer == 'a blue box' and read.info.stamp.sec == 77 and not len(read.request)
