"""What the launch tests share: `stream.launch.py` with its arguments, and a node of the test's own beside it."""

import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from conftest import ROOT, Ros  # noqa: E402, I001 - chooses a ROS domain, which the processes inherit

from launch.actions import GroupAction, IncludeLaunchDescription  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402

START_S = 60.0  # for a process to import torch, load the embedded model and be active; 4 s on an idle machine


def stream(arguments: dict[str, str]) -> GroupAction:
    """`ros2 launch stc_ros stream.launch.py NAME:=VALUE ...`, in a scope: a second one does not inherit the values."""
    source = PythonLaunchDescriptionSource(str(ROOT / 'launch' / 'stream.launch.py'))
    return GroupAction([IncludeLaunchDescription(source, launch_arguments=arguments.items())])


class StreamTest(unittest.TestCase):
    """Tests while the processes run. `self.ros` (conftest.py) spins the test's own node, `self.ros.node`."""

    @classmethod
    def setUpClass(cls):
        cls.ros = Ros()

    @classmethod
    def tearDownClass(cls):
        cls.ros.close()

    def until(self, condition, what: str, timeout: float = START_S) -> None:
        self.assertTrue(self.ros.spin_until(condition, timeout), f'{what}: not within {timeout:.0f} s')

    def listen(self, kind, topic: str) -> list:
        """A list to which the messages on `topic` are added while the test spins."""
        messages = []
        self.ros.node.create_subscription(kind, topic, messages.append, 10)
        return messages

    def call(self, kind, name: str, request, again_s: float = START_S):
        """Call a service, which a starting process may not offer yet; its response. `again_s`: then call anew."""
        client = self.ros.node.create_client(kind, name)
        self.until(client.service_is_ready, f'service {name}')
        end, replies = time.monotonic() + START_S, []
        while not self.ros.spin_until(lambda: any(reply.done() for reply in replies), again_s if replies else 0.0):
            self.assertLess(time.monotonic(), end, f'{name} did not reply')
            replies.append(client.call_async(request))
        self.ros.node.destroy_client(client)
        return next(reply for reply in replies if reply.done()).result()

    def state_of(self, node: str) -> str:
        """unconfigured, inactive, active or finalized. For a while a killed process still seems to offer this."""
        return self.call(GetState, f'{node}/get_state', GetState.Request(), again_s=1.0).current_state.label

    def change_state(self, node: str, transition: str) -> bool:
        request = ChangeState.Request()
        request.transition.label = transition
        return self.call(ChangeState, f'{node}/change_state', request).success

    def until_active(self, node: str) -> None:
        self.until(lambda: self.state_of(node) == 'active', f'{node} becomes active')
