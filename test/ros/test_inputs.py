"""What a camera may do wrong, over real topics: counted by kind, named in diagnostics, and no reset for it."""

import io
import sys

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from fake_stream import FakeStream
from PIL import Image as Pixels
from rclpy.qos import QoSProfile
from robot import picture, robot_fixture  # noqa: F401
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

sys.path.append(str(__import__('pathlib').Path(__file__).parents[1] / 'io'))
from test_transports import compressed, packet, packets, png, raw  # noqa: E402
from test_video_packets import KEYFRAMES, assert_shows  # noqa: E402

from stc_ros.io.transports import TRANSPORTS, Transport  # noqa: E402
from stc_ros.ros import publishers  # noqa: E402

SECOND = 1_000_000_000
IMAGE = np.zeros((24, 32, 3), np.uint8)


class Watched:
    """A node on a stream that never fails by itself, and one publisher of its topic."""

    def __init__(self, robot, ros, kind=Image, topic='image', **parameters):
        self.stream, self.ros = FakeStream(), ros
        self.r = robot(lambda settings: self.stream, **parameters).until_active()
        self.camera = ros.node.create_publisher(kind, topic, QoSProfile(depth=100))
        assert ros.spin_until(self.camera.get_subscription_count)
        self.session, self.health = self.r.session, self.r.node.cameras['camera'].health
        self.status = None
        ros.node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)

    def _on_diagnostics(self, message):
        self.status = message.status[0]

    def send(self, message, publisher=None):
        """Publish, and wait until the node is done with it."""
        before = self.session.slot.counts()
        (publisher or self.camera).publish(message)

        def done():
            now = self.session.slot.counts()
            return now.processed + now.invalid + now.dropped > before.processed + before.invalid + before.dropped

        resets = self.session.resets
        assert self.ros.spin_until(lambda: done() or self.session.resets > resets)

    def says(self, *words):
        return self.ros.spin_until(lambda: self.status and all(word in self.status.message for word in words), 5)

    @property
    def unharmed(self):
        return (self.session.resets, self.session.failures.total) == (0, 0)


def at(seconds, **changes):
    return picture(IMAGE, Time(sec=int(seconds), nanosec=round(seconds % 1 * SECOND)), **changes)


def test_whatever_cannot_be_decoded_is_refused_counted_and_named_and_resets_nothing(robot, ros):
    w = Watched(robot, ros)
    w.send(at(10.0))
    w.send(bytes(range(13)))  # as it lies on the wire
    w.send(raw(height=2**31))
    for number in range(100):
        w.send(raw(encoding=f'random{number}'))
    w.send(at(11.0))
    counts = w.session.slot.counts()
    assert (counts.received, counts.processed, counts.invalid, counts.dropped) == (104, 2, 102, 0) and w.unharmed
    assert dict(w.health.refused) == {'cut off': 1, 'data': 1, 'encoding': 100}
    assert len(w.stream.stamps) == 2
    assert len(w.r.node._sink._said) == 3, 'a kind is one key, and one line of the log'
    for number in range(2 * publishers.MOST_KINDS):  # kinds that should not be: bounded all the same
        w.r.node._sink._once(f'kind {number}', 'a test')
    assert len(w.r.node._sink._said) == publishers.MOST_KINDS
    assert w.says('of the frames are refused', 'random99')
    values = {v.key: v.value for v in w.status.values}
    assert values['refused since activation: encoding'] == '100' and w.status.level == b'\x01'


def test_compressed_pictures_that_are_broken_or_too_large_are_refused_and_the_bound_can_be_raised(robot, ros):
    w = Watched(robot, ros, CompressedImage, 'image/compressed', **{'input.transport': 'compressed'})
    file = io.BytesIO()
    Pixels.fromarray(IMAGE).save(file, 'JPEG')
    good, large = compressed(file.getvalue(), 'jpeg'), compressed(png(5000, 4000, bytes(15001 * 4000)))
    for message in (good, compressed(png(2**31 - 1, 1)), compressed(png(32, 24)), large, good):
        w.send(message)
    assert dict(w.health.refused) == {'too many pixels': 2, 'compressed data': 1} and w.unharmed
    assert w.r.set(**{'input.max_pixels': 20_000_000})['input.max_pixels'].successful
    assert ros.spin_until(lambda: w.session.settings['input.max_pixels'] == 20_000_000)
    w.send(large)
    assert w.session.slot.counts().processed == 3 and w.health.size == (5000, 4000) and w.health.size_changes == 1


@pytest.mark.parametrize('apart, resets', [(0.3, 0), (0.6, 1)])
def test_two_cameras_on_one_topic_are_named_and_do_not_reset_for_ever(robot, ros, apart, resets):
    w = Watched(robot, ros)
    other = ros.node.create_publisher(Image, 'image', QoSProfile(depth=100))
    assert ros.spin_until(other.get_subscription_count)
    for number in range(25):
        w.send(at(100 + number / 30, frame_id='front'))
        w.send(at(100 + number / 30 - apart, frame_id='rear'), other)
    assert w.session.resets == resets and len(w.stream.stamps) >= 25 - resets
    assert w.says('2 publishers on one topic', "frame_id changes: 'front', 'rear'") and w.status.level == b'\x01'


def test_a_clock_that_is_set_back_a_little_resets_nothing(robot, ros):
    w = Watched(robot, ros, use_sim_time=True)
    clock = ros.node.create_publisher(Clock, '/clock', 10)
    now = 100.0

    def tick(seconds):
        message = Clock()
        message.clock.sec, message.clock.nanosec = int(seconds), round(seconds % 1 * SECOND)
        clock.publish(message)
        assert ros.spin_until(lambda: abs(w.r.node.now() - seconds * SECOND) < 1000)

    assert ros.spin_until(clock.get_subscription_count)
    for number in range(40):
        now += 0.05 - 0.055 * (number % 5 == 4)
        tick(now)
        w.send(at(now - 0.001))
    assert w.unharmed and w.session.slot.counts().processed >= 32
    tick(50.0)  # the control: a bag that starts over
    assert ros.spin_until(lambda: w.session.resets == 1)


def real_or_any(transport):
    """The transport's own message class where it is installed; else another, whose bytes the node does not look at."""
    try:
        return TRANSPORTS[transport].message_class()
    except Exception:
        return CompressedImage


@pytest.mark.parametrize('transport', ['ffmpeg', 'foxglove'])
def test_video_is_decoded_from_a_keyframe_on_and_what_is_lost_is_named(robot, ros, transport, monkeypatch):
    kind = real_or_any(transport)
    monkeypatch.setattr(Transport, 'message_class', lambda self: kind)
    w = Watched(robot, ros, kind, f'image/{transport}', **{'input.transport': transport})
    whole, count = packets(), 0

    def send(number, data=None):
        nonlocal count
        count += 1
        w.send(message_of(transport, whole[number] if data is None else data, count))

    for number in range(5, KEYFRAMES):
        send(number)
    counts = w.session.slot.counts()
    assert (counts.received, counts.invalid) == (15, 15) and w.says('waits for a keyframe')
    for number in range(KEYFRAMES, KEYFRAMES + 5):
        send(number)
    assert w.session.slot.counts().processed == 5
    assert_shows(w.session.newest.frame.picture.array(), KEYFRAMES + 4)
    send(KEYFRAMES + 5, whole[KEYFRAMES + 5][:-9])
    send(KEYFRAMES + 6)
    assert w.health.refused == {'waits for keyframe': 16, 'video packet': 1}
    send(0)
    assert w.session.slot.counts().processed == 6 and w.unharmed
    assert_shows(w.session.newest.frame.picture.array(), 0)
    assert not w.health.waits_for_keyframe


def message_of(transport, data, second):
    from test_serialized import cdr

    stamp = ('i', second), ('I', 0)
    return packet(data, stamp=stamp) if transport == 'ffmpeg' else cdr(b'\0\1', *stamp, 'lens', data, 'h264')


@pytest.mark.parametrize('transport', ['ffmpeg', 'foxglove'])
def test_the_real_messages_hold_what_is_read_of_them(transport):
    wanted = TRANSPORTS[transport]
    module = pytest.importorskip(f'{wanted.package}.msg', reason=f'{wanted.package} is not here: source a ROS with it')
    from rclpy.serialization import deserialize_message

    message = deserialize_message(message_of(transport, b'\0\0\1\x65abc', 9), getattr(module, wanted.kind))
    assert bytes(message.data) == b'\0\0\1\x65abc'
    assert (message.header.frame_id if transport == 'ffmpeg' else message.frame_id) == 'lens'


def test_a_transport_whose_messages_are_missing_is_refused_at_start_with_the_remedy(robot, monkeypatch):
    from stc_ros.parameter_spec import SettingError

    monkeypatch.setitem(sys.modules, 'foxglove_msgs.msg', None)
    with pytest.raises(SettingError, match='apt install ros-.*-foxglove-msgs'):
        robot(**{'input.transport': 'foxglove'})


def test_a_flood_of_images_is_counted_and_the_node_answers_in_its_midst(robot, ros):
    w = Watched(robot, ros)
    for number in range(1, 1201):
        w.camera.publish(at(number / 1000))
    assert w.r.ask(timeout=5).error_code == 0
    w.send(picture(np.zeros((48, 20, 3), np.uint8), Time(sec=90)))
    assert w.health.size == (20, 48) and w.health.size_changes == 1 and w.unharmed
    assert ros.spin_until(lambda: w.status and w.status.level == b'\0'), 'it recovers by itself'
