"""Two instances, each with its namespace, its camera topic and its parameters, on one machine."""

import sys
import unittest
from pathlib import Path

import launch_testing
from launch import LaunchDescription
from launch_testing.actions import ReadyToTest
from launch_testing.asserts import assertExitCodes
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python

sys.path.append(str(Path(__file__).parent))
from launched import StreamTest, stream  # noqa: E402

from stc_ros.msg import StreamStats  # noqa: E402
from stc_ros.parameters import parameters  # noqa: E402

PARAMETERS = {'prune_ratio': 0.5, 'memory.max_tokens': 900, 'expert.overlap': True, 'narration.prompt': 'What is new?'}
FRONT = {'namespace': 'front', 'image': '/lens/image_raw', **{name: str(value) for name, value in PARAMETERS.items()}}
REAR = {
    'namespace': 'rear',
    'cameras': 'left, right',
    'left.prune_ratio': '0.25',
    'camera': 'true',
    'image': 'left/image',
}


def generate_test_description():
    return LaunchDescription([stream(FRONT), stream(REAR), ReadyToTest()])


class WhileTheyRun(StreamTest):
    def parameters_of(self, node, names=tuple(PARAMETERS)):
        request = GetParameters.Request(names=names)
        values = self.call(GetParameters, f'{node}/get_parameters', request).values
        return dict(zip(names, map(parameter_value_to_python, values)))

    def test_arguments_of_each_type_reach_their_own_node_only(self):
        self.assertEqual(self.parameters_of('front/stc_stream'), PARAMETERS)
        defaults = {name: parameters()[name].default for name in PARAMETERS}
        self.assertEqual(self.parameters_of('rear/stc_stream'), defaults)

    def test_each_of_a_nodes_cameras_has_its_own(self):
        given = {'left.prune_ratio': 0.25, 'right.prune_ratio': parameters()['prune_ratio'].default}
        self.assertEqual(self.parameters_of('rear/stc_stream', tuple(given)), given)

    def test_image_is_remapped_and_the_rest_is_in_the_namespace(self):
        self.until_active('front/stc_stream')
        watched = self.ros.node.get_subscriber_names_and_types_by_node('stc_stream', '/front')
        self.assertIn('/lens/image_raw', [topic for topic, _ in watched])
        offered = [topic for topic, _ in self.ros.node.get_service_names_and_types_by_node('stc_stream', '/front')]
        self.assertIn('/front/ask', offered)
        self.assertNotIn('/ask', offered)

    def test_the_demonstration_camera_is_the_left_one_of_the_rear_node(self):
        front = self.listen(StreamStats, 'front/stc_stream/stats')
        rear = self.listen(StreamStats, 'rear/stc_stream/left/stats')
        other = self.listen(StreamStats, 'rear/stc_stream/right/stats')
        self.until(lambda: len(rear) > 3, 'frames through the model')
        self.assertEqual(rear[-1].header.frame_id, 'camera')
        self.assertEqual(front + other, [])


@launch_testing.post_shutdown_test()
class AfterCtrlC(unittest.TestCase):
    def test_all_three_processes_ended_with_0(self, proc_info):
        self.assertEqual(len(proc_info.process_names()), 3)
        assertExitCodes(proc_info)
