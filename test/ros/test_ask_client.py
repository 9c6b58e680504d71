"""`./dev ask`: against an action server of the test's own."""

import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest

from stc_ros.ros.ask_client import speed

ASK = 'stc_ros.ros.ask_client'


@pytest.fixture
def server(ros):
    """`server.act` is what the action does with a goal; `server.goals` are those it got."""
    from rclpy.action import ActionServer, CancelResponse
    from rclpy.callback_groups import ReentrantCallbackGroup

    from stc_ros.action import AskStream

    class Server:
        goals, act = [], None

        def execute(self, goal):
            self.goals.append(goal.request)
            return self.act(goal, AskStream)

    one = Server()
    from rclpy.executors import MultiThreadedExecutor

    executor = MultiThreadedExecutor(num_threads=3, context=ros.context)
    ros.executor.remove_node(ros.node)
    executor.add_node(ros.node)
    action = ActionServer(
        ros.node,
        AskStream,
        'ask_stream',
        one.execute,
        callback_group=ReentrantCallbackGroup(),
        cancel_callback=lambda goal: CancelResponse.ACCEPT,
    )
    thread = threading.Thread(target=executor.spin)
    thread.start()
    yield one
    executor.shutdown()
    thread.join()
    action.destroy()


def test_it_prints_the_pieces_and_where_they_come_from(server, launch_process):
    def act(goal, kind):
        for piece in ('a red', ' circle'):
            goal.publish_feedback(kind.Feedback(text=piece))
        goal.succeed()
        return kind.Result(answer='a red circle', frames_processed=12, time_to_first_token=0.05)

    server.act = act
    asked = launch_process(ASK, 'what is there?', '--timeout', '2.5', '--max-new-tokens', '9')
    assert asked.wait(20) == 0
    said = asked.log.read_text()
    assert 'a red circle\n' in said and '12 frames seen' in said and '50 ms' in said
    (goal,) = server.goals
    assert (goal.question, goal.max_new_tokens) == ('what is there?', 9)
    assert 2.0 < goal.timeout.sec + goal.timeout.nanosec / 1e9 <= 2.5


def test_pieces_that_were_lost_are_not_left_out(server, launch_process):
    """The answer stands there whole, at the end; and so does what comes with the result only."""

    def act(goal, kind):
        for piece in ('a red', 'gle and a', ' square'):
            goal.publish_feedback(kind.Feedback(text=piece))
            time.sleep(0.2)
        goal.succeed()
        return kind.Result(answer='a red triangle and a square')

    server.act = act
    asked = launch_process(ASK, 'what is there?')
    assert asked.wait(20) == 0
    assert 'a redgle and a square\na red triangle and a square\n' in asked.log.read_text()


def test_it_does_not_wait_for_a_node_that_says_nothing(server, launch_process):
    held = threading.Event()
    server.act = lambda goal, kind: held.wait(30) and goal.succeed() or kind.Result()
    asked = launch_process(ASK, 'what is there?', '--timeout', '1')
    try:
        assert asked.wait(20) == 1
    finally:
        held.set()
    assert 'no reply within 1 s' in asked.log.read_text()


def test_an_error_is_no_answer(server, launch_process):
    def act(goal, kind):
        goal.abort()
        return kind.Result(error_code=kind.Result.NO_FRAMES, error_msg='no frame has been seen yet')

    server.act = act
    asked = launch_process(ASK, 'what is there?')
    assert asked.wait(20) == 1
    assert 'ask: no frame has been seen yet' in asked.log.read_text()


def test_an_interrupt_cancels_the_question(server, launch_process):
    begun = threading.Event()

    def act(goal, kind):
        begun.set()
        for _ in range(200):
            if goal.is_cancel_requested:
                goal.canceled()
                return kind.Result(error_code=kind.Result.CANCELED, error_msg='canceled by the client')
            threading.Event().wait(0.05)
        goal.succeed()
        return kind.Result()

    server.act = act
    asked = launch_process(ASK, 'what is there?')
    assert begun.wait(20)
    threading.Event().wait(0.3)  # the goal's acceptance is on its way
    asked.send_signal(signal.SIGINT)
    assert asked.wait(10) == 1
    said = asked.log.read_text()
    assert 'canceled by the client' in said and 'Traceback' not in said


def test_without_a_node_it_says_what_to_do(ros, launch_process):
    asked = launch_process(ASK, 'what is there?')
    assert asked.wait(30) == 1
    said = asked.log.read_text()
    assert f'ROS_DOMAIN_ID={os.environ["ROS_DOMAIN_ID"]}' in said and 'Start one' in said


@pytest.mark.parametrize(
    'rate, says', [(41.6, 'first token after 50 ms, 42 tokens/s'), (0.0, 'first token after 50 ms')]
)
def test_a_single_token_has_no_rate(rate, says):
    assert speed(SimpleNamespace(time_to_first_token=0.05, tokens_per_second=rate)) == says
