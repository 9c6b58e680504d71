"""What the doctor says of real topics."""

import re
import sys
import time

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy import Context
from rclpy.qos import QoSProfile, ReliabilityPolicy
from robot import PATIENCE_S, picture, robot_fixture  # noqa: F401
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from stc_ros.doctor import Finding, Level
from stc_ros.io.transports import TRANSPORTS
from stc_ros.ros import doctor as ros_doctor
from stc_ros.ros.doctor import Examiner, check_clock, check_topic, clock_finding
from stc_ros.ros.machine_check import MachineCheck

IMAGE = np.zeros((24, 32, 3), np.uint8)


@pytest.fixture
def others():
    """A node of another participant, spun in the background of the doctor's own waiting."""
    context = Context()
    context.init()
    node = rclpy.create_node('camera', context=context)
    yield node
    node.destroy_node()
    context.shutdown()


@pytest.fixture
def examiner(others, monkeypatch):
    monkeypatch.setattr(ros_doctor, 'PATIENCE_S', 3.0)
    one = Examiner()
    executor = rclpy.executors.SingleThreadedExecutor(context=others.context)
    executor.add_node(others)
    quick = one.spin_until
    one.spin_until = lambda condition, patience=3.0: quick(
        lambda: executor.spin_once(timeout_sec=0.01) or condition(), patience
    )
    yield one
    executor.shutdown()
    one.close()


def film(others, topic='/image', stamp=time.time, qos=1):
    camera = others.create_publisher(Image, topic, qos)

    def publish():
        now, message = stamp(), picture(IMAGE, others.get_clock().now().to_msg())
        message.header.stamp.sec, message.header.stamp.nanosec = int(now), int(now % 1 * 1e9)
        camera.publish(message)

    others.create_timer(0.05, publish)


def bad(findings):
    return [f for f in findings if f.level > Level.OK]


def test_a_camera_that_is_well_is_described(examiner, others):
    film(others)
    (found,) = check_topic(examiner, '/image')
    assert found.level is Level.OK and '32 x 24 rgb8' in found.text and 'images/s' in found.text


def test_nobody_publishes_and_where_images_are(examiner, others, monkeypatch):
    monkeypatch.setattr(ros_doctor, 'PATIENCE_S', 1.0)
    film(others, '/front/image_raw')
    assert examiner.spin_until(lambda: examiner.node.count_publishers('/front/image_raw'))
    (found,) = check_topic(examiner, '/image')
    assert found.level is Level.ERROR and 'nobody publishes on /image' in found.text
    assert '/front/image_raw' in found.text and 'start the camera' in found.remedy


def test_the_qos_of_the_running_node_cannot_match(examiner, others, robot):
    robot(**{'qos_overrides./image.subscription.reliability': 'reliable'}).until_active()
    others.create_publisher(Image, '/image', QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    assert examiner.spin_until(lambda: examiner.watched_topics() == [('/image', 'raw')], 10)
    (found,) = check_topic(examiner, '/image')
    assert found.level is Level.ERROR and 'QoS of /camera does not fit' in found.text
    assert 'qos_overrides./image.subscription' in found.remedy


def test_another_type_is_named(examiner, others):
    others.create_publisher(CompressedImage, '/image', 1)
    (found,) = check_topic(examiner, '/image')
    assert found.level is Level.ERROR and 'input.transport to compressed' in found.remedy


def test_two_cameras_on_one_topic_are_named(examiner, others):
    film(others)
    others.create_publisher(Image, '/image', 1)
    assert examiner.spin_until(lambda: examiner.node.count_publishers('/image') == 2)
    (found,) = bad(check_topic(examiner, '/image'))
    assert found.level is Level.WARN and '2 publishers on /image' in found.text


@pytest.mark.parametrize(
    ('stamp', 'level', 'text'),
    [(lambda: 0, Level.ERROR, 'no header.stamp'), (lambda: time.time() - 9e4, Level.WARN, 'stamps are 900.. s old')],
)
def test_stamps_are_looked_at(examiner, others, stamp, level, text):
    film(others, stamp=stamp)
    (found,) = check_topic(examiner, '/image')
    assert found.level is level and re.search(text, found.text)


def test_a_clock_that_is_missing_or_stands_still(examiner, others, monkeypatch):
    monkeypatch.setattr(ros_doctor, 'PATIENCE_S', 1.0)
    (none,) = check_clock(examiner, use_sim_time=True)
    assert none.level is Level.ERROR and 'nobody publishes it' in none.text and '--clock' in none.remedy
    clock, now = others.create_publisher(Clock, '/clock', 1), Clock()
    others.create_timer(0.05, lambda: clock.publish(now))
    assert examiner.spin_until(lambda: examiner.node.count_publishers('/clock'))
    (still,) = check_clock(examiner, use_sim_time=True)
    assert still.level is Level.WARN and 'stands still' in still.text
    others.create_timer(0.02, lambda: setattr(now.clock, 'nanosec', now.clock.nanosec + 1000))
    (runs,) = check_clock(examiner, use_sim_time=True)
    assert runs.level is Level.OK
    (unused,) = check_clock(examiner, use_sim_time=False)
    assert unused.level is Level.WARN and 'use_sim_time:=true' in unused.remedy
    assert clock_finding('it', False, 0, False).level is Level.OK


def test_a_node_is_asked_whether_it_uses_sim_time(examiner, robot):
    robot(use_sim_time=True).until_active()
    assert examiner.spin_until(lambda: examiner.our_nodes() == [('stc_stream', '/')], 10)
    assert examiner.uses_sim_time('stc_stream', '/') is True


def test_another_middleware_shows_in_the_publishers_gid(others):
    class Publisher:
        node_name, endpoint_gid = 'camera', [1, 0x10, 7, 7]

    (found,) = ros_doctor._vendors('/image', [Publisher()])
    assert found.level is Level.WARN and 'rmw_cyclonedds' in found.text and 'RMW_IMPLEMENTATION' in found.remedy
    Publisher.endpoint_gid = [1, 0x0F, 7, 7]
    assert not list(ros_doctor._vendors('/image', [Publisher()]))


def test_a_node_warns_in_log_and_diagnostics(robot, ros, monkeypatch):
    trouble = Finding('PyTorch', Level.ERROR, 'was built without CUDA', 'install it again')
    monkeypatch.setattr('stc_ros.doctor.examine', lambda *_: [trouble, Finding('x', Level.OK, 'fine')])
    said = []
    monkeypatch.setattr(MachineCheck, 'log', lambda self, text: said.append(text))
    r = robot().until_active()
    health = r.listen(DiagnosticArray, '/diagnostics')
    assert ros.spin_until(lambda: bool(health), PATIENCE_S)
    status = next(s for s in health[-1].status if s.name.endswith(': machine'))
    assert status.level == b'\x01' and status.message == 'PyTorch: was built without CUDA -> install it again'
    assert [v.key for v in status.values] == ['PyTorch'] and said == [status.message]


def test_a_node_without_a_clock_says_so_in_diagnostics(robot, ros, monkeypatch):
    monkeypatch.setattr('stc_ros.doctor.examine', lambda *_: [])
    r = robot(use_sim_time=True).until_active()
    health = r.listen(DiagnosticArray, '/diagnostics')
    assert ros.spin_until(lambda: bool(health), PATIENCE_S)
    status = next(s for s in health[-1].status if s.name.endswith(': machine'))
    assert status.level == b'\x01' and 'nobody publishes it' in status.message


@pytest.mark.parametrize('transport', ['ffmpeg', 'foxglove'])
def test_a_video_whose_messages_are_not_installed_is_named_with_the_package(examiner, transport, monkeypatch):
    package = TRANSPORTS[transport].package
    monkeypatch.setitem(sys.modules, f'{package}.msg', None)  # as where it cannot be imported
    (finding,) = check_topic(examiner, f'/image/{transport}', transport)
    assert finding.level is Level.ERROR and package in finding.text
    assert f'ros-$ROS_DISTRO-{package.replace("_", "-")}' in finding.remedy
