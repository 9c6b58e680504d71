"""Tell a running node what to watch for and print what happens: `./dev watch "is the door open ?"`.

The watch is removed when this ends, with Ctrl-C or after --once, unless --keep is given.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time

DISCOVERY_S = 5.0
REPLY_S = 25.0  # longer than the node takes to refuse it
TIMES = ('hold', 'cool_down', 'time_limit')
SAME = ('name', 'condition', 'camera', 'threshold', 'rearm', 'looks', 'once')


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='watch', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'condition', nargs='?', default='', help='a statement, a yes/no question, or "QUESTION = ANSWER"'
    )
    parser.add_argument('--name', default='', help='of the watch (default: watch1, watch2, ...)')
    parser.add_argument('--camera', default='', metavar='NAME', help='default: every camera')
    parser.add_argument('--threshold', type=float, default=0.0, metavar='P', help="probability (default: the node's)")
    parser.add_argument('--rearm', type=float, default=0.0, metavar='P', help="probability (default: the node's)")
    parser.add_argument('--looks', type=int, default=0, metavar='N', help="looks in a row (default: the node's)")
    for name, text in zip(TIMES, ('it must have been true for so long', 'between two rises', 'then the watch ends')):
        parser.add_argument(f'--{name.replace("_", "-")}', type=float, default=0.0, metavar='S', help=f's: {text}')
    parser.add_argument('--once', action='store_true', help='end when the condition becomes true')
    parser.add_argument('--keep', action='store_true', help='leave the watch there when this ends')
    parser.add_argument('--list', action='store_true', help='print all watches, and end')
    parser.add_argument('--remove', metavar='NAME', help='remove a watch, and end')
    parser.add_argument('--node', default='stc_stream', help='name of the node, with its namespace (stc_stream)')
    return parser


def main(arguments: list[str] | None = None) -> int:
    line = parser()
    options = line.parse_args(arguments)
    if not (options.list or options.remove or options.condition):
        line.error('give a condition, --list or --remove NAME')
    if options.looks < 0 or any(getattr(options, name) < 0 for name in TIMES):
        line.error('--looks and times must not be negative')
    interrupted = []
    signal.signal(signal.SIGINT, lambda *_: interrupted.append(True))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # ./dev holds it back until here

    import rclpy
    from rclpy.signals import SignalHandlerOptions

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        return watch(options, interrupted)
    finally:
        rclpy.shutdown()


def watch(options: argparse.Namespace, interrupted: list) -> int:
    """Add the watch and print its events until an interrupt. Return the exit code."""
    import rclpy
    from rclpy.qos import QoSProfile

    from stc_ros.msg import Watch as Message
    from stc_ros.msg import WatchEvent
    from stc_ros.srv import Watch

    node = rclpy.create_node('stc_watch')
    client = node.create_client(Watch, f'{options.node}/watch')
    events: list[WatchEvent] = []
    heard = node.create_subscription(WatchEvent, f'{options.node}/events', events.append, QoSProfile(depth=100))

    def call(command: int, message: Message) -> Watch.Response | None:
        sent, end = client.call_async(Watch.Request(command=command, watch=message)), time.monotonic() + REPLY_S
        while not sent.done() and time.monotonic() < end and len(interrupted) < 2:
            rclpy.spin_once(node, timeout_sec=0.1)
        return sent.result() if sent.done() else None

    def refuse(reply: Watch.Response | None) -> int:
        print(f'watch: {reply.message if reply else "the node does not reply"}', file=sys.stderr)
        return 1

    if not client.wait_for_service(DISCOVERY_S):
        domain = os.environ.get('ROS_DOMAIN_ID', '0')
        print(
            f'watch: nobody serves {options.node}/watch in ROS_DOMAIN_ID={domain}. Start a node, and use the '
            'ROS_DOMAIN_ID that it uses (./dev demo prints its own).',
            file=sys.stderr,
        )
        return 1
    if options.list or options.remove:
        command = Watch.Request.REMOVE if options.remove else Watch.Request.LIST
        reply = call(command, Message(name=options.remove or ''))
        if not (reply and reply.success):
            return refuse(reply)
        print('\n'.join(describe_state(state) for state in reply.watches) or 'no watches')
        return 0
    end = time.monotonic() + DISCOVERY_S
    while not node.count_publishers(heard.topic_name) and time.monotonic() < end:  # or its first event may be lost
        rclpy.spin_once(node, timeout_sec=0.1)
    reply = call(Watch.Request.ADD, make_message(options))
    if not (reply and reply.success):
        return refuse(reply)
    name = reply.message.split()[0]
    print(f'{reply.message}; Ctrl-C ends', file=sys.stderr, flush=True)
    ended = False
    while not interrupted and not ended:
        rclpy.spin_once(node, timeout_sec=0.1)
        while events and not ended:
            if (event := events.pop(0)).watch == name:
                print(describe_event(event), flush=True)
                ended = event.kind == WatchEvent.EXPIRED or (options.once and event.kind == WatchEvent.RISING)
        if not client.service_is_ready():
            print('watch: the node has ended', file=sys.stderr)
            return 1
    if not ended and not options.keep:
        call(Watch.Request.REMOVE, Message(name=name))
    return 0


def make_message(options: argparse.Namespace):
    """The message that adds a watch."""
    from rclpy.duration import Duration

    from stc_ros.msg import Watch

    same = {name: getattr(options, name) for name in SAME}
    return Watch(**same, **{name: Duration(seconds=getattr(options, name)).to_msg() for name in TIMES})


def describe_event(event) -> str:
    """A WatchEvent in one line."""
    kind = {event.RISING: 'true', event.FALLING: 'false', event.EXPIRED: 'expired'}[event.kind]
    stamp = event.header.stamp.sec + event.header.stamp.nanosec / 1e9
    said = f'{kind:7} {event.condition}   ({event.watch}, {event.camera}, p {event.probability:.2f}'
    return f'[{stamp:.2f}] {said}, {event.latency:.2f} s after the frame)'


def describe_state(state) -> str:
    """A WatchState in one line."""
    stands = 'true' if state.active else 'false'
    chance = f'p {state.probability:.2f}' if state.frames else 'no frame yet'
    counts = f'{state.frames} frames, {state.events} events'
    return f'{state.watch.name}, {state.watch.camera}: {stands} ({chance}; {counts}): {state.watch.condition}'


if __name__ == '__main__':
    sys.exit(main())
