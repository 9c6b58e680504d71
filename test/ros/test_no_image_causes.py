"""Why no picture arrives: the node finds the cause and names the remedy."""

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy import Context
from rclpy.qos import QoSProfile, ReliabilityPolicy
from robot import PATIENCE_S, robot_fixture  # noqa: F401
from sensor_msgs.msg import Image

from stc_ros.ros.no_image_causes import no_image_causes


def silence(r, ros, topic, kind=Image, **options):
    """What the node says of a silent camera when another participant publishes on `topic`."""
    context = Context()
    context.init()
    camera = rclpy.create_node('camera', context=context)
    camera.create_publisher(kind, topic, QoSProfile(depth=1, **options))
    assert ros.spin_until(lambda: r.node.count_publishers(topic), PATIENCE_S)
    try:
        return ' '.join(no_image_causes(r.node, r.node.cameras['camera']._subscription))
    finally:
        camera.destroy_node()
        context.shutdown()


def test_silence_nobody_publishes(robot, ros):
    words = silence(robot().until_active(), ros, '/front/image_raw')
    assert 'nobody publishes on /image' in words and '/front/image_raw' in words


def test_silence_other_transport(robot, ros):
    r = robot(**{'input.transport': 'compressed'}).until_active()
    assert 'set input.transport to raw' in silence(r, ros, '/image/compressed')


def test_silence_incompatible_qos(robot, ros):
    r = robot(**{'qos_overrides./image.subscription.reliability': 'reliable'}).until_active()
    words = silence(r, ros, '/image', reliability=ReliabilityPolicy.BEST_EFFORT)
    assert 'qos_overrides./image.subscription' in words


def test_silence_large_images(robot, ros):
    assert 'FASTDDS_DEFAULT_PROFILES_FILE' in silence(robot().until_active(), ros, '/image')


def test_silence_is_named_in_log_and_diagnostics(robot, ros):
    r = robot().until_active()
    health = r.listen(DiagnosticArray, '/diagnostics')
    r.node.cameras['camera']._frame_at -= 5  # five seconds ago
    assert ros.spin_until(lambda: health and 'no frame' in health[-1].status[0].message)
    assert health[-1].status[0].level == b'\x01'
