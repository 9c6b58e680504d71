"""Evaluate settings on what a robot saw, compare results, make bags and questions; look at machine and models.

Needs no ROS, but for what the doctor says of topics.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Sequence

COMMANDS = (
    *(f'stc_ros.evaluation.cli_{name}' for name in ('evaluate', 'compare', 'tune', 'bag', 'questions', 'report')),
    'stc_ros.cli_doctor',
    'stc_ros.cli_models',
)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='stc_ros', description=__doc__, allow_abbrev=False)
    subparsers = parser.add_subparsers(title='commands', metavar='COMMAND', required=True)
    for module in COMMANDS:
        name = module.rpartition('cli_')[2]
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
