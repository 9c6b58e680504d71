"""`respawn:=true`: a node that is killed is started again after `respawn_delay`, and watches again by itself."""

import os
import signal
import sys
import time
import unittest
from pathlib import Path

import launch_testing
from launch import LaunchDescription
from launch_testing.actions import ReadyToTest
from launch_testing.asserts import assertExitCodes

sys.path.append(str(Path(__file__).parent))
from launched import StreamTest, stream  # noqa: E402

DELAY_S = 0.5


def generate_test_description():
    return LaunchDescription([stream({'respawn': 'true', 'respawn_delay': str(DELAY_S)}), ReadyToTest()])


class WhileItRuns(StreamTest):
    def test_after_kill_9_it_is_active_again(self, proc_info):
        self.until_active('stc_stream')
        (name,) = proc_info.process_names()
        first = proc_info[name].pid
        os.kill(first, signal.SIGKILL)
        killed = time.monotonic()
        self.until(lambda: proc_info[name].pid != first, 'another process')
        self.assertGreaterEqual(time.monotonic() - killed, DELAY_S)
        self.until_active('stc_stream')


@launch_testing.post_shutdown_test()
class AfterCtrlC(unittest.TestCase):
    def test_the_second_one_ended_with_0_and_was_not_started_again(self, proc_info):
        assertExitCodes(proc_info)
