"""Replay bags and score the answers to questions about them.

Every frame is processed in the order of its header.stamp, none is dropped, and each question is asked exactly at its
time, before any later frame. Two evaluations write the same result.jsonl, byte for byte. Interrupted or killed, the
same command goes on where it was: it does again what came behind the last checkpoint, as a rule less than 20 s of work.

Each BAG is a recording of its own: a rosbag2 folder, a file, or the split files of one (run_0.mcap run_1.mcap). Another
folder stands for the recordings in it. The results of one recording are in DIR/SETTINGS, of several in
DIR/BAG/SETTINGS. Without --questions those of BAG are BAG.questions.yaml, beside it, if that is there.

Exit code: 0 all requirements are met, 1 one is not, 2 the input was wrong (all of it that is right is evaluated).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stc_ros.evaluation.arguments import positive

if TYPE_CHECKING:
    from stc_ros.evaluation.evaluate import Job

REPORT, OVERALL = 'report.html', 'overall.json'
MOST_RUNS = 40  # in one report
MOST_NAMES = 10  # of files and folders, on the screen
INTERRUPTED = 130


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        'evaluate',
        help='replay bags and score the answers to questions about them',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('bag', nargs='+', type=Path, help='a recording: a folder or a file, MCAP or sqlite3')
    parser.add_argument('--one', action='store_true', help='all that is given is one recording')
    parser.add_argument(
        '--questions',
        type=Path,
        metavar='FILE',
        action='append',
        default=[],
        help='what is asked, expected and required (YAML): one file for all, or one for each recording in their order',
    )
    parser.add_argument('--watches', type=Path, metavar='FILE', help='watches (YAML): their events are written down')
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
        '--jobs', type=positive(int), metavar='N', default=1, help='runs, a bag under some settings each, at once (1)'
    )
    parser.add_argument(
        '--ray',
        metavar='ADDRESS',
        help='spread the runs over the Ray cluster there (host:6379, auto), or over one of --jobs workers that is '
        "started here: local; pip install 'stc_ros[ray]'",
    )
    parser.add_argument(
        '--no-controls', action='store_true', help='leave out blank, newest and last4: what can be guessed'
    )
    parser.add_argument(
        '--realtime',
        type=_rate,
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
    from stc_ros.evaluation.evaluate import InputError
    from stc_ros.evaluation.make_jobs import make_jobs
    from stc_ros.evaluation.recordings import find_recordings
    from stc_ros.io.bags import BagError

    try:
        recordings = find_recordings(options.bag, options.one)
        jobs, wrong = make_jobs(options, recordings)
    except (InputError, BagError) as error:
        return refuse([str(error)])
    for path in [] if options.questions else dict.fromkeys(job.file.file for job in jobs if job.file.file):
        print(f'questions: {path}', file=sys.stderr)
    os.environ.setdefault('OMP_NUM_THREADS', '1') if options.jobs > 1 else None  # the processes share the cores
    try:
        failed = run_all(jobs, options)
    except InputError as error:
        return refuse([*wrong, str(error)])
    except KeyboardInterrupt:
        print('\nstopped; the same command goes on where it was', file=sys.stderr, flush=True)
        os._exit(INTERRUPTED)  # at once: a pool would first wait for its processes
    wrong += [f'{name}: {why}' for name, why in failed.items()]
    return conclude([job for job in jobs if job.title not in failed], wrong, options.out)


def run_all(jobs: list[Any], options: argparse.Namespace) -> dict[str, str]:
    """By title of a run why it failed. Raises `InputError` where there is no Ray."""
    if options.ray:
        from stc_ros.evaluation.ray_jobs import run_jobs_on_ray

        return run_jobs_on_ray(jobs, options.ray, options.jobs)
    from stc_ros.evaluation.run_jobs import run_jobs

    return run_jobs(jobs, options.jobs)


def conclude(done: Sequence[Job], wrong: list[str], out: Path) -> int:
    """Print and write what the finished runs amount to, and what was wrong -> the exit code."""
    from stc_ros.evaluation.overall import by_settings, tables
    from stc_ros.evaluation.results import read_summary

    summaries: dict[str, dict[str, Any]] = {}
    for job in done:
        summaries.setdefault(job.recording, {})[job.name] = read_summary(job.folder)
    if done:
        print(tables(summaries))
        if any(job.recording for job in done):
            (out / OVERALL).write_text(json.dumps(by_settings(summaries), indent=1, ensure_ascii=False) + '\n')
        write_reports([job.folder for job in done], out)
    found = [each for of in summaries.values() for each in of.values()]
    wrong += dict.fromkeys(problem for each in found for problem in each['problems'])
    return refuse(wrong) if wrong else int(not all(each['passed'] for each in found))


def write_reports(folders: Sequence[Path], out: Path) -> None:
    """One report over all; of more runs than one can look at side by side one for each recording."""
    groups = {out / REPORT: list(folders)}
    if len(folders) > MOST_RUNS:
        groups = {}
        for folder in folders:
            groups.setdefault(folder.parent / REPORT, []).append(folder)
    for file, found in groups.items():
        write_html(found, file)
    names = [str(file) for file in groups] + [str(folder) for folder in folders]
    print(f'\n{"; ".join(names[:MOST_NAMES])}{f"; and {len(names) - MOST_NAMES} more" * (len(names) > MOST_NAMES)}')


def write_html(folders: Sequence[Path], file: Path) -> None:
    from stc_ros.evaluation.html_report import write_report

    write_report(list(folders), file)


def _rate(text: str) -> float:
    try:
        return positive(float)(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text} is no rate: put --realtime behind the bags') from None


def refuse(messages: list[str]) -> int:
    for message in messages:
        print(f'evaluate: {message}', file=sys.stderr)
    return 2
