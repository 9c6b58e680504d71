"""`stc_ros report DIR...`: results of evaluations as one HTML file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stc_ros.evaluation.report_data import ReportError


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    text = 'Make one HTML file, which opens offline, of what `stc_ros evaluate --out` has written.'
    parser = subparsers.add_parser('report', help='results as one HTML file', description=text)
    parser.add_argument(
        'folders',
        nargs='+',
        type=Path,
        metavar='DIR',
        help='a folder of results, or one that holds some; several stand side by side in this order',
    )
    parser.add_argument('--out', type=Path, default=Path('report.html'), metavar='FILE', help='(report.html)')
    parser.add_argument(
        '--max-mb', type=float, default=16, metavar='MB', help='room for pictures, those of failures first (16)'
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """0: written; 2: the results cannot be read or the file cannot be written."""
    from stc_ros.evaluation.html_report import write_report

    try:
        write_report(options.folders, options.out, int(options.max_mb * 2**20))
    except ReportError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f'{error}: choose another file with --out', file=sys.stderr)
        return 2
    print(options.out)
    return 0
