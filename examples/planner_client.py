"""A planner that asks before it acts: waits for the node, asks with a deadline, acts on the error code.

python examples/planner_client.py 'is the red circle moving ?' [SECONDS]
"""

import sys
import time

import rclpy
from rclpy.duration import Duration
from rclpy.node import Node

from stc_ros.srv import Ask

DISCOVERY_S = 10.0
LATE_S = 1.0  # behind the deadline, after which no reply is waited for
OLDEST_S = 1.0  # an answer that rests on older frames than this says nothing of now
SOON = (Ask.Response.NO_FRAMES, Ask.Response.BUSY, Ask.Response.INACTIVE, Ask.Response.OUT_OF_MEMORY)  # asked again


class Planner(Node):
    def __init__(self):
        super().__init__('planner')
        self.client = self.create_client(Ask, 'ask')

    def ask(self, question: str, seconds: float) -> Ask.Response | None:
        """The reply, answer or error; None when there was none, as when the node has ended."""
        request = Ask.Request(question=question, timeout=Duration(seconds=seconds).to_msg())
        future = self.client.call_async(request)
        rclpy.spin_until_future_complete(self, future, timeout_sec=seconds + LATE_S)
        if not future.done():
            self.client.remove_pending_request(future)
        return future.result() if future.done() else None

    def decide(self, question: str, seconds: float) -> str | None:
        """An answer that may be acted on, within `seconds`; None: act as if nothing were known."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0.1:  # the shortest timeout that the node takes
            reply = self.ask(question, left)
            if reply is None:
                self.get_logger().error('no reply: has the node ended?')
                return None
            if reply.error_code == Ask.Response.NONE:
                if reply.frame_age <= OLDEST_S:
                    return reply.answer
                self.get_logger().warning(f'the newest frame is {reply.frame_age:.1f} s old: has the camera stopped?')
                return None
            if reply.error_code not in SOON:  # TIMEOUT, too: half an answer may mean the opposite of the whole
                self.get_logger().error(f'error {reply.error_code}: {reply.error_msg}')
                return None
            self.get_logger().info(f'{reply.error_msg}; asked again')
            time.sleep(min(0.5, left))
        self.get_logger().error(f'no answer within {seconds:g} s')
        return None


def main() -> int:
    question, seconds = sys.argv[1], float(sys.argv[2]) if sys.argv[2:] else 5.0
    rclpy.init(args=[])
    planner = Planner()
    try:
        if not planner.client.wait_for_service(DISCOVERY_S):
            planner.get_logger().error('nobody serves "ask": is the node started, in this ROS_DOMAIN_ID?')
            return 1
        answer = planner.decide(question, seconds)
        print(f'go on: {answer}' if answer is not None else 'stop: nothing is known')
        return int(answer is None)
    finally:
        planner.destroy_node()
        rclpy.shutdown()


if __name__ == '__main__':
    sys.exit(main())
