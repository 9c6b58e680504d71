"""Evaluate settings on what a robot saw, compare results, make bags and questions. Needs no ROS."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Sequence

COMMANDS = ('evaluate', 'compare', 'tune', 'bag', 'questions', 'report')  # each in stc_ros/evaluation/cli_NAME.py


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='stc_ros', description=__doc__, allow_abbrev=False)
    subparsers = parser.add_subparsers(title='commands', metavar='COMMAND', required=True)
    for name in COMMANDS:
        module = f'stc_ros.evaluation.cli_{name}'
        if importlib.util.find_spec(module):
            command = importlib.import_module(module)
            command.add_parser(subparsers)
            subparsers.choices[name].set_defaults(run=command.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    options = make_parser().parse_args(arguments)
    if getattr(options, 'realtime', None):
        from stc_ros.realtime import run  # here, because it needs ROS

        return run(options)
    return options.run(options)


if __name__ == '__main__':
    sys.exit(main())
