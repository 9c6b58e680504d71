"""Evaluate settings on what a robot saw, compare results, make bags and questions; look at machine and models; serve a
planner.

Needs no ROS, but for what the doctor says of topics, and for `mcp`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import signal
import sys
from collections.abc import Sequence

COMMANDS = (
    *(
        f'stc_ros.evaluation.cli_{name}'
        for name in ('evaluate', 'compare', 'tune', 'bag', 'questions', 'report', 'watches')
    ),
    'stc_ros.cli_doctor',
    'stc_ros.cli_models',
    'stc_ros.cli_mcp',
)


def make_parser(modules: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='stc_ros', description=__doc__, allow_abbrev=False)
    subparsers = parser.add_subparsers(title='commands', metavar='COMMAND', required=True)
    for module in modules:
        name = module.rpartition('cli_')[2]
        if importlib.util.find_spec(module):
            command = importlib.import_module(module)
            command.add_parser(subparsers)
            subparsers.choices[name].set_defaults(run=command.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    # Only what the command itself needs is imported: some of the others list methods, and with these comes torch.
    named = [module for module in COMMANDS if arguments and module.endswith(f'.cli_{arguments[0]}')]
    options = make_parser(named or COMMANDS).parse_args(arguments)
    if hasattr(signal, 'pthread_sigmask'):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # ./dev holds it back until here
    if getattr(options, 'realtime', None):
        from stc_ros.realtime.cli import run  # here, because it needs ROS

        return run(options)
    return options.run(options)


if __name__ == '__main__':
    sys.exit(main())
