"""Look for what commonly goes wrong, each in two seconds at most, and name the remedy.

The machine: PyTorch without CUDA beside a GPU, a PyTorch that does not fit the JetPack, too little memory for the
model, another middleware or domain in some process, shared memory of Fast DDS that images do not fit. Then, where ROS
is there: the image topic (publisher, type, QoS, images that come), and the clock.

Exit code: 0 where nothing is red, 1 where something is.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stc_ros.doctor import Finding, Level, Machine, examine
from stc_ros.doctor.fast_dds import USUAL_IMAGE
from stc_ros.doctor.finding import as_json, as_text, worst
from stc_ros.io.transports import TRANSPORTS
from stc_ros.models.memory_needed import DECIDE
from stc_ros.settings_export import add_arguments, from_arguments


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        'doctor',
        help='name what commonly goes wrong on a machine and in a ROS graph, with remedies',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('--topic', default='', help="image topic; default: what a running node watches, else 'image'")
    parser.add_argument('--transport', default='raw', choices=TRANSPORTS, help='of --topic (raw)')
    parser.add_argument('--use-sim-time', action='store_true', help='the node will take its time from /clock')
    parser.add_argument('--image-size', type=_size, default=USUAL_IMAGE, metavar='WxH', help='of the images (1280x720)')
    parser.add_argument('--no-ros', action='store_true', help='only the machine')
    parser.add_argument('--json', action='store_true', help='as JSON')
    parser.add_argument('--root', type=Path, default=Path('/'), help=argparse.SUPPRESS)  # for tests
    add_arguments(parser.add_argument_group('settings of the node'), ('model.name', *DECIDE))


def run(options: argparse.Namespace) -> int:
    colours, found = sys.stdout.isatty() and 'NO_COLOR' not in os.environ, []
    for finding in look(options):
        found.append(finding)
        if not options.json:
            print(as_text([finding], colours), flush=True)
    if options.json:
        print(as_json(found))
    return int(worst(found) is Level.ERROR)


def look(options: argparse.Namespace) -> Iterator[Finding]:
    """Every finding, as it comes."""
    machine, settings = Machine(options.root), from_arguments(options)
    yield from examine(machine, settings, options.image_size)
    if options.no_ros:
        return
    try:
        from stc_ros.ros import doctor, fastdds

        fastdds.set_default()
    except ImportError as error:
        text = f'the topics were not looked at: {error}'
        yield Finding('ROS', Level.WARN, text, 'source ROS and install/setup.bash, or give --no-ros')
        return
    yield from doctor.examine(options.topic, options.transport, options.use_sim_time or None)


def _size(text: str) -> int:
    """Bytes of an rgb8 image."""
    found = re.fullmatch(r'(\d{1,5})x(\d{1,5})', text)
    if not found:
        raise argparse.ArgumentTypeError(f'{text!r} is no size such as 1920x1080')
    return int(found[1]) * int(found[2]) * 3
