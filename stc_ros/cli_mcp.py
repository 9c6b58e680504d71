"""`stc_ros mcp`: the robot's eyes for a language-model planner, over the Model Context Protocol on stdin and stdout."""

from __future__ import annotations

import argparse
import os
import signal
import sys


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        'mcp',
        help='offer ask, watch and look to a language-model planner (needs ROS)',
        description=__doc__ + ' A planner starts this command itself, see docs/planners.md.',
        allow_abbrev=False,
    )
    parser.add_argument('--namespace', default='', metavar='NS', help='of the node that is asked, as /robot1')
    parser.add_argument('--node', default='stc_stream', metavar='NAME', help='its name (stc_stream)')
    parser.add_argument(
        '--image', default='', metavar='TOPIC', help='where look takes pictures from (the topic that the node watches)'
    )


def run(options: argparse.Namespace) -> int:
    """Serve until stdin ends. No node need be there yet: each call says so as long as there is none."""
    try:
        from stc_ros.ros import fastdds

        fastdds.set_default()
        from stc_ros.client import Client
    except ImportError as error:
        print(f'stc_ros mcp: it needs ROS 2 and the built workspace ({error}): source both', file=sys.stderr)
        return 1
    try:
        from stc_ros.ros.mcp_server import make_server
    except ImportError as error:
        print(f'stc_ros mcp: {error}. Install the SDK: pip install "mcp>=2.3", or "stc_ros[mcp]"', file=sys.stderr)
        return 1
    client = Client(namespace=options.namespace, stream_node=options.node, image=options.image, arguments=[])

    def end(*_) -> None:  # the thread that reads stdin would hold up any other end
        client.close()
        os._exit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        make_server(client).run('stdio')
    finally:
        client.close()
    return 0
