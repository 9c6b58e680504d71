"""Several cameras on one model: each with its topics, its memory and its parameters; they come and go while it runs."""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import ListParameters
from robot import picture, request, robot_fixture, seconds, toy_stream  # noqa: F401
from sensor_msgs.msg import Image
from std_msgs.msg import String

from stc_ros.engine.questions import Error, Reply
from stc_ros.msg import StreamStats
from stc_ros.parameter_spec import SettingError
from stc_ros.ros.ask_cameras import Gathering, combine, label
from stc_ros.ros.camera_names import read_names
from stc_ros.srv import Ask

RATE = {'front': 20.0, 'rear': 10.0}


@pytest.fixture
def two(robot, ros):
    """A node that watches `front` and `rear`, both filmed."""
    r = robot(cameras=['front', 'rear'], **{'pruner.method': 'stc', 'rear.prune_ratio': 0.0, 'left.prune_ratio': 0.5})
    film(ros, 'front')
    film(ros, 'rear')
    return r.until_active()


def film(ros, name):
    publisher = ros.node.create_publisher(Image, f'{name}/image', 1)
    rng = np.random.default_rng(len(name))

    def publish():
        image = rng.integers(0, 255, (24, 32, 3), np.uint8)
        publisher.publish(picture(image, ros.node.get_clock().now().to_msg(), name))

    return ros.node.create_timer(1 / RATE.get(name, 10.0), publish)


def ask(r, camera='', **fields):
    message = request(**fields)
    message.camera = camera
    return r.call(Ask, 'ask', message)


def test_each_camera_has_its_topics_its_memory_and_its_parameters(two, ros):
    stats = {name: two.listen(StreamStats, f'stc_stream/{name}/stats', 50) for name in RATE}
    assert ros.spin_until(lambda: all(len(s) >= 3 for s in stats.values()))
    for name, of in stats.items():
        assert {s.header.frame_id for s in of} == {name}
    assert {s.visual_tokens_kept for s in stats['front']} == {3} and {s.visual_tokens_kept for s in stats['rear']} == {
        9
    }
    one = ask(two, 'rear')
    assert (one.error_code, [a.camera for a in one.answers]) == (0, ['rear']) and one.answers[0].answer == one.answer
    both = ask(two)
    assert [a.camera for a in both.answers] == ['front', 'rear'] and both.error_code == 0
    lines = [f'{a.camera}: {a.answer.strip()}' for a in both.answers if a.answer]
    assert both.answer == '\n'.join(lines)
    wrong = ask(two, 'left')
    assert wrong.error_code == Ask.Response.INVALID_REQUEST and 'front, rear' in wrong.error_msg and not wrong.answer


def test_a_parameter_of_a_camera_is_its_own_and_the_common_one_sets_all(two, ros):
    assert two.set(**{'front.prune_ratio': 0.4})['front.prune_ratio'].successful
    settings = two.node._parameter_set
    assert [settings.cameras[c]['prune_ratio'] for c in RATE] == [0.4, 0.0]
    assert two.set(prune_ratio=0.5)['prune_ratio'].successful
    assert [settings.cameras[c]['prune_ratio'] for c in RATE] == [0.5, 0.5]
    assert [two.node.get_parameter(f'{c}.prune_ratio').value for c in RATE] == [0.5, 0.5]
    assert ros.spin_until(lambda: all(c.session.settings['prune_ratio'] == 0.5 for c in two.node.cameras.values()))
    refused = two.set(**{'rear.prune_ratio': 2.0})['rear.prune_ratio']
    assert not refused.successful and '0.95' in refused.reason
    listed = two.call(ListParameters, 'stc_stream/list_parameters', ListParameters.Request()).result.names
    assert 'front.cache_similarity' in listed and 'front.model.name' not in listed


def test_cameras_come_and_go_while_the_node_runs(two, ros):
    front = two.node.cameras['front'].session
    assert ros.spin_until(lambda: front.slot.counts().processed >= 3)
    before = front.stream
    film(ros, 'left')
    assert two.set(cameras='front, left')['cameras'].successful
    stats = two.listen(StreamStats, 'stc_stream/left/stats', 50)
    assert ros.spin_until(lambda: len(stats) >= 2)
    assert list(two.node.worker.engine.sessions) == ['front', 'left']
    assert two.node.cameras['front'].session.stream is before  # it has forgotten nothing
    assert ask(two, 'left').error_code == 0 and ask(two, 'rear').error_code == Ask.Response.INVALID_REQUEST
    assert not two.node.has_parameter('rear.prune_ratio') and two.node.has_parameter('left.prune_ratio')
    assert two.node.get_parameter('left.prune_ratio').value == 0.5  # given at start, for when it comes
    assert two.set(cameras='front, left, rear')['cameras'].successful
    assert ros.spin_until(lambda: ask(two, 'rear').error_code == 0)
    assert two.set(cameras='front, left')['cameras'].successful
    assert not two.set(cameras='front, front')['cameras'].successful
    assert ros.spin_until(lambda: ros.node.count_publishers('stc_stream/rear/stats') == 0)


def test_each_camera_has_a_status_in_diagnostics(two, ros):
    statuses = {}
    ros.node.create_subscription(
        DiagnosticArray, '/diagnostics', lambda m: statuses.update({s.name.split(': ')[1]: s for s in m.status}), 10
    )
    assert ros.spin_until(lambda: len(statuses) == 4)
    assert set(statuses) == {'camera front', 'camera rear', 'model', 'machine'}
    topics = {v.value for s in statuses.values() for v in s.values if v.key == 'topic'}
    assert topics == {'/front/image', '/rear/image'}


def test_narration_is_published_by_camera(robot, ros):
    r = robot(
        cameras='front, rear', **{'narration.period': 0.3, 'query.max_new_tokens': 4, 'rear.narration.period': 0.0}
    )
    for name in RATE:
        film(ros, name)
    r.until_active()
    said = {name: r.listen(String, f'stc_stream/{name}/narration_text', 10) for name in RATE}
    assert ros.spin_until(lambda: said['front']) and not said['rear']


def test_an_answer_of_several_cameras_comes_in_pieces_with_their_names():
    pieces = []
    for name in ('front', 'rear'):
        say = label(name, lambda piece, tokens: pieces.append(piece), first=name == 'front')
        say('a', 1), say('b', 2)
    assert ''.join(pieces) == 'front: ab\nrear: ab'
    replies = {'front': Reply(Error.NONE, answer='ab'), 'rear': Reply(Error.NONE, answer='ab')}
    assert combine(replies).answer == 'front: ab\nrear: ab'


def test_an_error_of_one_camera_names_it_and_keeps_the_others_answer():
    seen = []
    gathering = Gathering(('front', 'rear'), seen.append)
    gathering.take('rear', Reply(Error.NO_FRAMES, 'none yet'))
    assert not seen
    gathering.take('front', Reply(Error.NONE, answer='yes', first_stamp=5, last_stamp=9))
    reply = combine(seen[0])
    assert (reply.error, reply.message, reply.answer) == (Error.NO_FRAMES, 'rear: none yet', 'front: yes')
    assert (reply.first_stamp, reply.last_stamp) == (5, 9)


@pytest.mark.parametrize(
    'value, names', [('', ()), ([], ()), ('front', ('front',)), (' a , b ', ('a', 'b')), (['a', 'b'], ('a', 'b'))]
)
def test_names_are_read_from_a_list_or_a_text(value, names):
    assert read_names(value) == names


@pytest.mark.parametrize('value', ['1st', 'a b', ['a', 'a'], 'input', [1], ','.join(f'c{i}' for i in range(17))])
def test_names_that_cannot_be_are_refused(value):
    with pytest.raises(SettingError, match='cameras'):
        read_names(value)
