"""`stc_ros evaluate --realtime [RATE]`, one settings file after the other.

The node drops what it cannot keep up with and answers when it is ready, as on a robot. Results have the form of an
evaluation without a clock, so that `stc_ros compare` and the report read both; metrics.json says what came late or
never.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace

from stc_ros.evaluation import cli_evaluate
from stc_ros.evaluation.evaluate import InputError, run_job
from stc_ros.evaluation.questions import QuestionFile, QuestionFileError, read_questions
from stc_ros.evaluation.realtime_metrics import METRICS, as_text
from stc_ros.evaluation.results import read_summary
from stc_ros.io.bags import BagError
from stc_ros.realtime.node_process import NodeFailed
from stc_ros.realtime.play import play

NEEDS_ROS = (
    '--realtime plays to the node over ROS, which is not here ({}): source ROS 2 and the workspace in which this '
    'package is built, or use ./dev evaluate'
)


def run(options: argparse.Namespace) -> int:
    """-> exit code, as of `cli_evaluate.run`."""
    if missing := missing_ros():
        return cli_evaluate.refuse([NEEDS_ROS.format(missing)])
    try:
        file = read_questions(options.questions) if options.questions else QuestionFile()
        check(options, file)
        jobs, wrong = cli_evaluate.make_jobs(options, file)
        cli_evaluate.check_bag(options, file)
    except (InputError, QuestionFileError, BagError) as error:
        return cli_evaluate.refuse([str(error)])
    done, summaries = [], {}
    try:
        for job in jobs:
            job = replace(job, realtime=options.realtime, controls=False)
            try:
                error = run_job(job, play=play)
            except NodeFailed as failed:
                error = str(failed)
            if error:
                wrong.append(f'{job.name}: {error}')
                continue
            done.append(job)
            summaries[job.name] = read_summary(job.folder)
            metrics = json.loads((job.folder / METRICS).read_text())
            print(f'\n{job.name}, played {options.realtime:g} times as fast as it was recorded\n{as_text(metrics)}')
    except KeyboardInterrupt:
        print('\nstopped; the same command plays what is not finished from its start', file=sys.stderr, flush=True)
        return cli_evaluate.INTERRUPTED
    if done:
        print('\n' + cli_evaluate.as_text(summaries))
        cli_evaluate.write_html([job.folder for job in done], options.out / cli_evaluate.REPORT)
        print(f'\n{options.out / cli_evaluate.REPORT}; {", ".join(str(job.folder) for job in done)}')
    wrong += dict.fromkeys(problem for summary in summaries.values() for problem in summary['problems'])
    if wrong:
        return cli_evaluate.refuse(wrong)
    return 0 if all(summary['passed'] for summary in summaries.values()) else 1


def missing_ros() -> str:
    """What of ROS is not there; ''."""
    try:
        from stc_ros.ros import fastdds

        fastdds.set_default()  # before rclpy, for images of any size
        import stc_ros.ros.player  # noqa: F401
    except ImportError as error:
        return str(error)
    return ''


def check(options: argparse.Namespace, file: QuestionFile) -> None:
    """Raises `InputError` for what goes only without a clock."""
    if any(each.metric == 'gain' for each in file.requirements):
        raise InputError(f'{file.file} requires a gain over the controls, which --realtime has not')
    if options.jobs > 1:
        raise InputError('--realtime measures what this machine can do: leave out --jobs')
