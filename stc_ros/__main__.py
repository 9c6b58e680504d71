"""Evaluate settings on what a robot saw, compare results, make bags and questions, serve a planner."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Sequence

COMMANDS = ('evaluate', 'compare', 'bag', 'questions', 'report', 'mcp')  # each in cli_NAME.py of one of the ROOMS
ROOMS = ('evaluation', 'ros')  # the second is not where there is no ROS


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='stc_ros', description=__doc__, allow_abbrev=False)
    subparsers = parser.add_subparsers(title='commands', metavar='COMMAND', required=True)
    rooms = [f'stc_ros.{room}' for room in ROOMS if importlib.util.find_spec(f'stc_ros.{room}')]
    for name in COMMANDS:
        for module in (f'{room}.cli_{name}' for room in rooms):
            if importlib.util.find_spec(module):
                command = importlib.import_module(module)
                command.add_parser(subparsers)
                subparsers.choices[name].set_defaults(run=command.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    options = make_parser().parse_args(arguments)
    return options.run(options)


if __name__ == '__main__':
    sys.exit(main())
