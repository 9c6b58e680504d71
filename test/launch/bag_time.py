"""`use_sim_time:=true` with a bag that is played, twice: ages and stamps are in the bag's time, of the year 2023."""

import sys
import tempfile
import unittest
from pathlib import Path

import launch_testing
from launch import LaunchDescription
from launch_testing.actions import ReadyToTest
from launch_testing.asserts import assertExitCodes
from rclpy.time import Time
from rosbags.rosbag2 import Reader
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

sys.path.append(str(Path(__file__).parent))
from launched import StreamTest, stream  # noqa: E402
from robot import wait  # noqa: E402
from small_bags import TOPIC, make, stamp  # noqa: E402

from stc_ros.msg import StreamStats  # noqa: E402

FRAMES = range(15)
STEP_S = 0.1  # between two frames of the bag


def generate_test_description():
    return LaunchDescription([stream({'use_sim_time': 'true', 'image': TOPIC}), ReadyToTest()])


class WhileItRuns(StreamTest):
    def test_the_bag_is_watched_in_its_own_time_and_again_when_it_starts_over(self):
        self.clock = self.ros.node.create_publisher(Clock, '/clock', 10)
        self.camera = self.ros.node.create_publisher(Image, TOPIC, 10)
        stats = self.listen(StreamStats, 'stc_stream/stats')
        self.until_active('stc_stream')
        self.until(lambda: self.clock.get_subscription_count() and self.camera.get_subscription_count(), 'it listens')
        with tempfile.TemporaryDirectory() as folder:
            bag = make(Path(folder) / 'bag', FRAMES)
            self.play(bag)
            self.until(lambda: stats, 'frames through the model')
            first = len(stats)
            self.play(bag)
            self.until(lambda: len(stats) > first, 'frames through the model, again')
        for message in stats:
            self.assertIn(Time.from_msg(message.header.stamp).nanoseconds, [stamp(number) for number in FRAMES])
            self.assertLess(abs(message.frame_age), len(FRAMES) * STEP_S)  # by the wall clock it were years
        self.assertLessEqual(stats[-1].frames_received, len(FRAMES))  # what came before the start over is forgotten

    def play(self, bag: Path) -> None:
        """As `ros2 bag play --clock` does: the messages as they lie there, at their pace, behind the time."""
        with Reader(bag) as reader:
            for _, recorded, data in reader.messages():
                self.clock.publish(Clock(clock=Time(nanoseconds=recorded).to_msg()))
                wait(self.ros, STEP_S / 2)
                self.camera.publish(data)
                wait(self.ros, STEP_S / 2)


@launch_testing.post_shutdown_test()
class AfterCtrlC(unittest.TestCase):
    def test_it_ended_with_0(self, proc_info):
        assertExitCodes(proc_info)
