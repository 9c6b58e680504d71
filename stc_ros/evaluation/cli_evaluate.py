"""Replay a bag and score the answers to questions about it.

Every frame is processed in the order of its header.stamp, none is dropped, and each question is asked exactly at its
time, before any later frame. Two evaluations write the same result.jsonl, byte for byte. Interrupted or killed, the
same command goes on where it was: it does again what came behind the last checkpoint, as a rule less than 20 s of work.

Exit code: 0 all requirements are met, 1 one is not, 2 the input was wrong (all of it that is right is evaluated).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stc_ros.evaluation.arguments import positive
from stc_ros.evaluation.questions import QuestionFile, QuestionFileError, read_questions
from stc_ros.evaluation.settings_file import read_settings
from stc_ros.settings import Settings

REPORT = 'report.html'
INTERRUPTED = 130


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        'evaluate',
        help='replay a bag and score the answers to questions about it',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('bag', nargs='+', type=Path, help='files or folders of one recording: MCAP, sqlite3')
    parser.add_argument('--questions', type=Path, metavar='FILE', help='what is asked, expected and required (YAML)')
    parser.add_argument(
        '--settings',
        type=Path,
        metavar='FILE',
        action='append',
        default=[],
        help='parameters as in config/stream.yaml, or flat; repeat it to compare (the defaults)',
    )
    parser.add_argument(
        '--camera',
        metavar='TOPIC',
        action='append',
        default=[],
        help='topic of images; repeat it for several (those that the questions name, or the only one)',
    )
    parser.add_argument('--out', type=Path, metavar='DIR', default=Path('evaluation'), help='results (evaluation)')
    parser.add_argument(
        '--jobs', type=positive(int), metavar='N', default=1, help='settings that are evaluated at once (1)'
    )
    parser.add_argument(
        '--no-controls', action='store_true', help='leave out blank, newest and last4: what can be guessed'
    )
    parser.add_argument(
        '--realtime',
        type=positive(float),
        metavar='RATE',
        nargs='?',
        const=1.0,
        help='play with the clock to the node itself over ROS, RATE times as fast (1): what a robot would have',
    )
    parser.add_argument('--no-narration', action='store_true', help='do not narrate')
    parser.add_argument(
        '--no-bag', action='store_true', help='leave out result.mcap, the replay for Foxglove, Rerun and PlotJuggler'
    )


def run(options: argparse.Namespace) -> int:
    from stc_ros.evaluation.evaluate import InputError, run_jobs
    from stc_ros.evaluation.results import read_summary
    from stc_ros.io.bags import BagError

    try:
        file = read_questions(options.questions) if options.questions else QuestionFile()
        jobs, wrong = make_jobs(options, file)
        check_bag(options, file)
    except (InputError, QuestionFileError, BagError) as error:
        return refuse([str(error)])
    os.environ.setdefault('OMP_NUM_THREADS', '1') if options.jobs > 1 else None  # the processes share the cores
    try:
        failed = run_jobs(jobs, options.jobs)
    except KeyboardInterrupt:
        print('\nstopped; the same command goes on where it was', file=sys.stderr, flush=True)
        os._exit(INTERRUPTED)  # at once: a pool would first wait for its processes
    wrong += [f'{name}: {why}' for name, why in failed.items()]
    done = [job for job in jobs if job.name not in failed]
    summaries = {job.name: read_summary(job.folder) for job in done}
    if done:
        print(as_text(summaries))
        write_html([job.folder for job in done], options.out / REPORT)
        print(f'\n{options.out / REPORT}; {", ".join(str(job.folder) for job in done)}')
    wrong += dict.fromkeys(problem for summary in summaries.values() for problem in summary['problems'])
    if wrong:
        return refuse(wrong)
    return 0 if all(summary['passed'] for summary in summaries.values()) else 1


def make_jobs(options: argparse.Namespace, file: QuestionFile) -> tuple[list[Any], list[str]]:
    """A job for each settings file, and what is wrong with those that have none. Raises `InputError` if all are."""
    from stc_ros.evaluation.evaluate import InputError, Job

    if options.no_controls and any(each.metric == 'gain' for each in file.requirements):
        raise InputError(f'{file.file} requires a gain over the controls: leave out --no-controls')
    if options.no_narration and (file.narration or any(each.metric == 'narration' for each in file.requirements)):
        raise InputError(f'{file.file} expects narrations: leave out --no-narration')
    settings: dict[str, Settings] = {}
    wrong: list[str] = []
    for path in options.settings:
        if path.stem in settings:
            raise InputError(f'two settings files are called {path.stem!r}, as their results would be: rename one')
        try:
            settings[path.stem] = read_settings(path)
        except QuestionFileError as error:
            wrong.append(str(error))
    if wrong and not settings:
        raise InputError('\n'.join(wrong))
    return [
        Job(
            bags=tuple(map(str, options.bag)),
            cameras=tuple(options.camera),
            file=file,
            name=name,
            settings=each,
            folder=options.out / name,
            controls=not options.no_controls,
            narrate=not options.no_narration,
            with_bag=not options.no_bag,
        )
        for name, each in (settings or {'default': Settings()}).items()
    ], wrong


def check_bag(options: argparse.Namespace, file: QuestionFile) -> None:
    """Raises what is wrong with the bag or the questions' topics and order, before a model is loaded."""
    from stc_ros.evaluation.evaluate import plan
    from stc_ros.io.bags import Bag

    with Bag(options.bag) as bag:
        plan(bag, options.camera, file)


def as_text(summaries: dict[str, dict[str, Any]]) -> str:
    """A table of all runs, and under it what was required."""
    from stc_ros.evaluation.controls import CONTROLS
    from stc_ros.evaluation.report import as_text as table

    rows = [['settings, tag', 'n', 'accuracy', '95 %', *CONTROLS]]
    for name, summary in summaries.items():
        for label, each in {name: summary, **{f'  {tag}': of for tag, of in summary['by_tag'].items()}}.items():
            low, high = each['interval']
            accuracy = '-' if each['accuracy'] is None else f'{each["accuracy"]:.3f}'
            controls = [f'{each["controls"][c]:.3f}' if c in each['controls'] else '-' for c in CONTROLS]
            rows.append([label, str(each['n']), accuracy, f'{low:.2f}..{high:.2f}' if each['n'] else '-', *controls])
    lines = [table(rows)]
    for name, summary in summaries.items():
        for what in ('narration', 'events'):
            if summary[what]['n']:
                counts = f'{summary[what]["passed"]} of {summary[what]["n"]}'
                lines.append(f'{name}: {counts} expectations of {what} met')
        for each in summary['requirements']:
            value = 'nothing to measure' if each['value'] is None else f'{each["value"]:.3f}'
            lines.append(f'{name}: {"passed" if each["passed"] else "FAILED"}: {each["text"]} ({value})')
    return '\n'.join(lines)


def write_html(folders: Sequence[Path], file: Path) -> None:
    from stc_ros.evaluation.html_report import write_report

    write_report(list(folders), file)


def refuse(messages: list[str]) -> int:
    for message in messages:
        print(f'evaluate: {message}', file=sys.stderr)
    return 2
