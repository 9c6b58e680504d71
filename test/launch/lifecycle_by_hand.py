"""`autostart:=false`: the node waits for a lifecycle manager, which is this test."""

import sys
import unittest
from pathlib import Path

import launch_testing
from launch import LaunchDescription
from launch_testing.actions import ReadyToTest
from launch_testing.asserts import assertExitCodes

sys.path.append(str(Path(__file__).parent))
from launched import StreamTest, stream  # noqa: E402

from stc_ros.srv import Ask  # noqa: E402

NODE = 'stc_stream'


def generate_test_description():
    return LaunchDescription([stream({'autostart': 'false'}), ReadyToTest()])


class WhileItRuns(StreamTest):
    def test_it_goes_up_and_down_as_it_is_told(self):
        self.assertEqual(self.state_of(NODE), 'unconfigured')
        self.assertFalse(self.change_state(NODE, 'activate'))  # not before configure
        self.assertTrue(self.change_state(NODE, 'configure'))  # loads the model
        self.assertEqual(self.state_of(NODE), 'inactive')
        self.assertEqual(self.ros.node.count_subscribers('image'), 0)
        self.assertTrue(self.change_state(NODE, 'activate'))
        self.until(lambda: self.ros.node.count_subscribers('image') == 1, 'it watches')
        self.assertEqual(self.ask().error_code, Ask.Response.NO_FRAMES)
        self.assertTrue(self.change_state(NODE, 'deactivate'))
        self.assertEqual(self.ask().error_code, Ask.Response.INACTIVE)
        self.assertTrue(self.change_state(NODE, 'cleanup'))
        self.assertEqual(self.state_of(NODE), 'unconfigured')
        self.assertTrue(self.change_state(NODE, 'shutdown'))
        self.assertEqual(self.state_of(NODE), 'finalized')

    def ask(self):
        return self.call(Ask, 'ask', Ask.Request(question='what is moving ?'))


@launch_testing.post_shutdown_test()
class AfterCtrlC(unittest.TestCase):
    def test_also_a_finalized_node_ends_with_0(self, proc_info):
        assertExitCodes(proc_info)
