"""Ask a running node a question and read the answer as it comes: `./dev ask "What is moving?"`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time

DISCOVERY_S = 5.0
LATE_S = 2.0  # behind --timeout, after which no reply is waited for


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog='ask', description=__doc__)
    parser.add_argument('question')
    parser.add_argument('--timeout', type=float, default=0.0, metavar='S', help="seconds (default: the node's)")
    parser.add_argument(
        '--max-new-tokens', type=int, default=0, metavar='N', help="longest answer (default: the node's)"
    )
    parser.add_argument('--action', default='ask_stream', help='name of the action, with its namespace (ask_stream)')
    options = parser.parse_args(arguments)
    if options.timeout < 0 or options.max_new_tokens < 0:
        parser.error('--timeout and --max-new-tokens must not be negative')
    interrupted = []
    signal.signal(signal.SIGINT, lambda *_: interrupted.append(True))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # ./dev holds it back until here

    import rclpy
    from rclpy.signals import SignalHandlerOptions

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        return ask(options, interrupted)
    finally:
        rclpy.shutdown()


def ask(options: argparse.Namespace, interrupted: list) -> int:
    """Print the answer's pieces; an interrupt cancels it. Return the exit code."""
    import rclpy
    from rclpy.action import ActionClient
    from rclpy.duration import Duration
    from rclpy.qos import QoSProfile

    from stc_ros.action import AskStream
    from stc_ros.ros.ask import EVERY_PIECE, SERVICE_DEPTH

    node = rclpy.create_node('stc_ask')
    replies = QoSProfile(depth=SERVICE_DEPTH)  # its readers get those to every other client, too
    client = ActionClient(
        node,
        AskStream,
        options.action,
        goal_service_qos_profile=replies,
        result_service_qos_profile=replies,
        feedback_sub_qos_profile=EVERY_PIECE,
    )
    if not client.wait_for_server(timeout_sec=DISCOVERY_S):
        domain = os.environ.get('ROS_DOMAIN_ID', '0')
        print(
            f'ask: no node answers on {options.action} in ROS_DOMAIN_ID={domain}. Start one, wait until its model is '
            'loaded, and use the ROS_DOMAIN_ID that it uses (./dev demo prints its own).',
            file=sys.stderr,
        )
        return 1
    goal = AskStream.Goal(
        question=options.question,
        timeout=Duration(seconds=options.timeout).to_msg(),
        max_new_tokens=options.max_new_tokens,
    )
    said, began = [], time.monotonic()

    def say(message) -> None:
        said.append(message.feedback.text)
        print(said[-1], end='', flush=True)

    def given_up() -> str:
        if options.timeout and time.monotonic() - began > options.timeout + LATE_S:
            return 'no reply in time'
        return '' if client.server_is_ready() else 'the node has ended'

    sent = client.send_goal_async(goal, feedback_callback=say)
    while not sent.done():
        rclpy.spin_once(node, timeout_sec=0.1)
        if interrupted:
            return 130
        if reason := given_up():
            print(f'ask: {reason}', file=sys.stderr)
            return 1
    handle = sent.result()
    done, canceled = handle.get_result_async(), False
    while not done.done():
        rclpy.spin_once(node, timeout_sec=0.1)
        if interrupted and not canceled:
            canceled = True
            handle.cancel_goal_async()
        if len(interrupted) > 1:
            return 130
        if not done.done() and (reason := given_up()):
            print(f'\nask: {reason}', file=sys.stderr)
            return 1
    result, spoken = done.result().result, ''.join(said)
    if result.answer.startswith(spoken):
        print(result.answer[len(spoken) :])  # pieces that come after the result, if any
    else:  # some were lost on their way
        print(f'\n{result.answer}')
    if result.error_code:
        print(f'ask: error {result.error_code}: {result.error_msg}', file=sys.stderr)
        return 1
    print(
        f'({result.frames_processed} frames seen, the newest {result.frame_age:.2f} s ago; {speed(result)})',
        file=sys.stderr,
    )
    return 0


def speed(reply) -> str:
    """How fast an Ask.Response or AskStream.Result came; a single token has no rate."""
    text = f'first token after {reply.time_to_first_token * 1e3:.0f} ms'
    return text + (f', {reply.tokens_per_second:.0f} tokens/s' if reply.tokens_per_second else '')


if __name__ == '__main__':
    sys.exit(main())
