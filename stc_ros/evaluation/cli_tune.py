"""Search for settings that answer as well at less cost.

Each trial evaluates settings on all recordings. Optuna proposes them: cache similarity, prune ratio, and what the
chosen methods declare, in their whole ranges. There are two goals, accuracy and cost; what no other trial beats in both
is the Pareto front. It is printed, drawn, and written as files that the node and --settings take: DIR/pareto/N.yaml,
and DIR/best.yaml, the cheapest within 0.02 of the best accuracy. Trial 0 are the defaults (or --settings).

Cost is the mean time of a frame, or with --cost operations what does not depend on the clock: the mean of the share of
patches that are recomputed and the share of tokens that are kept.

The best of many trials on few questions is best by luck, too. So the last 30 % of each recording's questions are held
out (--holdout), and the front is asked them in the end, beside the controls.

Killed, the same command goes on: finished trials are not repeated; a larger --trials adds to them.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stc_ros.evaluation.arguments import positive
from stc_ros.evaluation.tune_trial import OPERATIONS, TIME

INTERRUPTED = 130


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        'tune',
        help='search for settings that answer as well at less cost',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add('bag', nargs='+', type=Path, help='a recording: a folder or a file, MCAP or sqlite3; as for evaluate')
    add('--one', action='store_true', help='all that is given is one recording')
    add('--questions', type=Path, metavar='FILE', action='append', default=[], help='as for evaluate')
    add('--camera', metavar='TOPIC', action='append', default=[], help='as for evaluate')
    add('--settings', type=Path, metavar='FILE', help='where the search begins, and what it leaves alone (defaults)')
    add('--out', type=Path, metavar='DIR', default=Path('tuning'), help='study, trials and what was found (tuning)')
    group = parser.add_argument_group('what is searched')
    add = group.add_argument
    for kind, several in (('cacher', 'cachers'), ('pruner', 'pruners'), ('memory', 'memories')):
        add(f'--{kind}', metavar='A,B', default='', help=f'{several} to choose among (that of the settings)')
    text = "a parameter's range, or its choices: NAME=A,B; also of a parameter that is not searched otherwise"
    add('--parameters', metavar='NAME=LOW..HIGH', action='append', default=[], help=text)
    add('--only', metavar='NAME', action='append', default=[], help='search this parameter, and no other not named so')
    add('--fix', metavar='NAME=VALUE', action='append', default=[], help='hold it, in trial 0, too')
    group = parser.add_argument_group('how')
    add = group.add_argument
    add('--trials', type=positive(int), metavar='N', default=50, help='the defaults among them (50)')
    add('--timeout', type=positive(float), metavar='S', default=math.inf, help='no trial begins later than that')
    text = 'trials at once (1); with --cost time they disturb each other'
    add('--jobs', type=positive(int), metavar='N', default=1, help=text)
    add('--cost', choices=(TIME, OPERATIONS), default=TIME, help='ms per frame, or work without the clock (time)')
    add('--sampler', choices=('tpe', 'nsga2'), default='tpe', help="Optuna's (tpe, the better one for few trials)")
    add('--seed', type=int, metavar='N', default=0, help='of the draws (0)')
    add('--within', type=_share, metavar='X', default=0.02, help='accuracy that best.yaml may lack (0.02)')
    text = 'share of the questions, the last ones in time, or a file of others, as for --questions; 0: none (0.3)'
    add('--holdout', metavar='SHARE|FILE', action='append', default=[], help=text)


def run(options: argparse.Namespace) -> int:
    from stc_ros.evaluation.evaluate import InputError
    from stc_ros.evaluation.tune_command import tune
    from stc_ros.io.bags import BagError
    from stc_ros.io.marked_yaml import FileError
    from stc_ros.settings import SettingError

    if options.jobs > 1:
        os.environ.setdefault('OMP_NUM_THREADS', '1')  # the processes share the cores
    try:
        problems = tune(options)
    except (InputError, BagError, FileError, SettingError) as error:
        return _wrong([str(error)])
    except KeyboardInterrupt:
        print('\nstopped; the same command goes on where it was', file=sys.stderr, flush=True)
        os._exit(INTERRUPTED)  # at once: a pool would first wait for its processes
    return _wrong(problems) if problems else 0


def _share(text: str) -> float:
    if not 0 <= (value := float(text)) < 1:
        raise argparse.ArgumentTypeError('from 0 to below 1')
    return value


def _wrong(messages: Sequence[str]) -> int:
    for message in messages:
        print(f'tune: {message}', file=sys.stderr)
    return 2
