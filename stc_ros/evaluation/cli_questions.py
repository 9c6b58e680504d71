"""`stc_ros questions`: makes question files of what a robot was asked, and labels them with what is right."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

FILE = Path('questions.yaml')


def add_parser(subparsers: Any) -> None:
    """Adds `questions` to the program's commands."""
    commands = subparsers.add_parser(
        'questions',
        help='make question files of what a robot was asked, and label them',
        description='Make question files of what a robot was asked, and say what is right.',
    ).add_subparsers(dest='questions_command', required=True, metavar='COMMAND')

    log = commands.add_parser(
        'from-log',
        help='a question file of what a robot was asked while it recorded a bag',
        description='Write a question file of what a robot was asked while it recorded a bag: of what the service ask '
        'and the action ask_stream publish of themselves (query.introspection), and of the events of its watches. '
        "The robot's answers are proposals: nothing is scored before it is labelled.",
    )
    _add_bags(log)
    log.add_argument('--out', type=Path, metavar='FILE', default=FILE, help='file to write, a new one (%(default)s)')
    log.add_argument(
        '--camera',
        metavar='[NAME=]TOPIC',
        action='append',
        default=[],
        help='image topic of the camera that the node calls NAME, or of all; needed where it cannot be told',
    )

    label = commands.add_parser(
        'label',
        help='say what is right, on a page that shows the frame',
        description='Serve a page, on this machine only, that shows each question with the frame it is asked about '
        'and takes what is right. Every save is written into the file at once; all else in it stays as it is.',
    )
    _add_bags(label)
    label.add_argument('--questions', type=Path, metavar='FILE', default=FILE, help='question file (%(default)s)')
    label.add_argument(
        '--camera', metavar='TOPIC', default='', help='topic of the questions that name none; not needed with one topic'
    )
    label.add_argument('--port', type=int, default=0, metavar='N', help='of the page on 127.0.0.1 (a free one)')
    label.add_argument('--no-browser', action='store_true', help='only print the address')


def run(options: argparse.Namespace) -> int:
    """The exit code: 0, or 2 when it cannot be done; the reason stands on stderr."""
    from stc_ros.evaluation.questions import QuestionFileError
    from stc_ros.io.bags import BagError

    try:
        {'from-log': _from_log, 'label': _label}[options.questions_command](options)
    except (BagError, QuestionFileError, OSError) as error:
        print(f'stc_ros questions: {error}', file=sys.stderr)
        return 2
    return 0


def _from_log(options: argparse.Namespace) -> None:
    from stc_ros.evaluation.question_log import read_log, topics_of, write_file
    from stc_ros.io.bags import Bag, BagError

    if options.out.exists():
        raise BagError(f'{options.out} exists already; name another file with --out')
    command = f'stc_ros questions label {" ".join(map(str, options.bags))} --questions {options.out}'
    with Bag(options.bags) as bag:
        log = read_log(bag)
        text = write_file(bag, log, topics_of(bag, log, options.camera), command)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text, encoding='utf-8')
    print(f'{options.out}: {len(log.questions)} questions, none of them labelled')
    for what, count in log.left_out.items():
        print(f'left out: {count} {what}')
    print(f'next: {command}')


def _label(options: argparse.Namespace) -> None:
    from stc_ros.evaluation.label_server import serve
    from stc_ros.evaluation.labelling import Labelling
    from stc_ros.io.bags import Bag

    with Bag(options.bags) as bag, Labelling(bag, options.questions, options.camera) as labelling:
        serve(labelling, options.port, browse=not options.no_browser)
        count, left = labelling.counts()
    print(f'{options.questions}: {count - left} of {count} questions labelled')


def _add_bags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('bags', nargs='+', type=Path, metavar='BAG', help='files or folders of one recording')
