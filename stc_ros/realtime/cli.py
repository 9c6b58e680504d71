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
from stc_ros.evaluation.make_jobs import make_jobs
from stc_ros.evaluation.questions import QuestionFile
from stc_ros.evaluation.realtime_metrics import METRICS, as_text
from stc_ros.evaluation.recordings import find_recordings
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
        if options.jobs > 1 or options.ray:
            raise InputError('--realtime measures what this machine can do: leave out --jobs and --ray')
        jobs, wrong = make_jobs(options, find_recordings(options.bag, options.one))
        for job in jobs:
            check(job.file)
    except (InputError, BagError) as error:
        return cli_evaluate.refuse([str(error)])
    done = []
    try:
        for job in jobs:
            job = replace(job, realtime=options.realtime, controls=False)
            try:
                error = run_job(job, play=play)
            except NodeFailed as failed:
                error = str(failed)
            if error:
                wrong.append(f'{job.title}: {error}')
                continue
            done.append(job)
            metrics = json.loads((job.folder / METRICS).read_text())
            print(f'\n{job.title}, played {options.realtime:g} times as fast as it was recorded\n{as_text(metrics)}')
    except KeyboardInterrupt:
        print('\nstopped; the same command plays what is not finished from its start', file=sys.stderr, flush=True)
        return cli_evaluate.INTERRUPTED
    return cli_evaluate.conclude(done, wrong, options.out)


def missing_ros() -> str:
    """What of ROS is not there; ''."""
    try:
        from stc_ros.ros import fastdds

        fastdds.set_default()  # before rclpy, for images of any size
        import stc_ros.ros.player  # noqa: F401
    except ImportError as error:
        return str(error)
    return ''


def check(file: QuestionFile) -> None:
    """Raises `InputError` for what goes only without a clock."""
    if any(each.metric == 'gain' for each in file.requirements):
        raise InputError(f'{file.file} requires a gain over the controls, which --realtime has not')
