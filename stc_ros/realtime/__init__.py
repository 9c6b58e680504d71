"""`stc_ros evaluate --realtime`: a bag played with the clock to the real node, in its own process, over ROS.

The node drops what it cannot keep up with and answers when it is ready, as on a robot. Results have the form of an
evaluation without a clock, so that `stc_ros compare` reads both; metrics.json says what came late or never.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stc_ros.evaluation import cli_evaluate
from stc_ros.evaluation.evaluate import InputError, Job, Plan, head, plan
from stc_ros.evaluation.make_jobs import make_jobs
from stc_ros.evaluation.questions import QuestionFileError
from stc_ros.evaluation.realtime_metrics import ask_metrics, camera_metrics
from stc_ros.evaluation.recordings import find_recordings
from stc_ros.evaluation.results import ResultWriter
from stc_ros.io.bags import COMPRESSED_IMAGE, Bag, BagError
from stc_ros.realtime.listener import Listener

METRICS = 'metrics.json'
LOAD_S, MEET_S, SETTLE_S, END_S = 600.0, 1.0, 5.0, 10.0  # to load the model, to be found, for the last frame, to end
NEEDS_ROS = (
    '--realtime plays to the node over ROS, which is not here: use ./dev evaluate, or source a ROS 2 with this package '
    'built'
)


def run(options: argparse.Namespace) -> int:
    """As `cli_evaluate.run`, one settings file after the other."""
    try:
        import stc_ros.ros.player  # noqa: F401 - to say at once that it cannot be had
    except ImportError as error:
        return cli_evaluate.refuse([f'{NEEDS_ROS} ({error})'])
    if options.ray:
        return cli_evaluate.refuse(['--ray spreads replays without a clock: leave it out, or --realtime'])
    try:
        options.no_controls = True  # they know of no clock
        jobs, wrong = make_jobs(options, find_recordings(options.bag, options.one))
    except (InputError, BagError) as error:
        return cli_evaluate.refuse([str(error)])
    done = []
    for job in jobs:
        try:
            said = as_text(run_job(job, options.realtime))
        except (BagError, QuestionFileError, NodeFailed) as error:
            wrong.append(f'{job.title}: {error}')
            continue
        done.append(job)
        print(f'\n{job.title}, {options.realtime:g} times as fast as recorded: {job.folder / METRICS}\n{said}\n')
    return cli_evaluate.conclude(done, wrong, options.out)


class NodeFailed(RuntimeError):
    """The node did not start, or ended. The message has the last it said."""


def run_job(job: Job, rate: float) -> dict[str, Any]:
    """Play, write the results and metrics.json -> what stands there. Raises `BagError`, `NodeFailed`."""
    from stc_ros.ros.player import open_player

    with Bag(job.paths) as bag:
        planned = plan(bag, job.cameras, job.file)
        cameras = cameras_of(bag, planned)
        line = head(job, planned.topics) | {'realtime': rate}
        writer = ResultWriter(job.folder, line, planned.spans, job.file.requirements)
        writer.begin()
        listener = Listener(writer, planned, job)
        namespace = f'/stc_realtime_{os.getpid()}'
        with (
            contextlib.closing(writer),
            open_player(namespace, cameras, rate, listener.hear) as player,
            node_process(job, cameras, namespace) as process,
        ):
            wait_until_ready(process, player, bag.start_ns)
            play(player, bag, planned, listener, rate, job)
            wait_for_the_last(process, player, listener, job)
            with listener.lock:
                writer.finish(planned.problems)
    metrics = {
        'rate': rate,
        'cameras': {topic: camera_metrics(record) for topic, record in listener.cameras.items()},
        'questions': ask_metrics(listener.asks),
    }
    (job.folder / METRICS).write_text(json.dumps(metrics, indent=1) + '\n')
    return metrics


def cameras_of(bag: Bag, planned: Plan) -> list[Any]:
    """How the node is to name the bag's topics."""
    from stc_ros.ros.player import Camera

    types = {topic.name: topic.type for topic in bag.image_topics()}
    alone = len(planned.topics) == 1
    return [
        Camera(topic, '' if alone else f'camera{i}/', types[topic] == COMPRESSED_IMAGE)
        for i, topic in enumerate(planned.topics)
    ]


@contextlib.contextmanager
def node_process(job: Job, cameras: list[Any], namespace: str) -> Iterator[subprocess.Popen]:
    """The node with the job's settings, until the end of the block."""
    with tempfile.TemporaryDirectory() as folder:
        values: dict[str, Any] = {'use_sim_time': True, **job.settings.changed()}
        if cameras[0].prefix:
            values['cameras'] = ', '.join(camera.prefix.strip('/') for camera in cameras)
        for camera in cameras:
            name = f'{camera.prefix.replace("/", ".")}input.transport'
            values[name] = 'compressed' if camera.compressed else 'raw'
        parameters = Path(folder) / 'parameters.yaml'  # JSON is YAML
        parameters.write_text(json.dumps({'/**': {'ros__parameters': values}}))
        words = [sys.executable, '-m', 'stc_ros.ros.main', '--ros-args', '-r', f'__ns:={namespace}']
        log = Path(folder) / 'log'
        with log.open('w') as file:
            process = subprocess.Popen(
                [*words, '--params-file', str(parameters)], stdout=file, stderr=subprocess.STDOUT, text=True
            )
        process.log = log  # type: ignore[attr-defined]
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def check(process: subprocess.Popen) -> None:
    if process.poll() is not None:
        said = '\n'.join(process.log.read_text().splitlines()[-5:])  # type: ignore[attr-defined]
        raise NodeFailed(f'the node ended with code {process.returncode}: {said}')


def wait_until_ready(process: subprocess.Popen, player: Any, start: int) -> None:
    """Until the model is loaded and all cameras are watched; the clock stands meanwhile."""
    patience = time.monotonic() + LOAD_S
    while not player.ready:
        check(process)
        if time.monotonic() > patience:
            raise NodeFailed(f'the node was not ready after {LOAD_S:.0f} s')
        player.set_clock(start)
        time.sleep(0.05)
    patience = time.monotonic() + MEET_S
    while time.monotonic() < patience:  # that one side has found the other does not say that it has been found
        player.set_clock(start)
        time.sleep(0.05)


def play(player: Any, bag: Bag, planned: Plan, listener: Listener, rate: float, job: Job) -> None:
    from tqdm import tqdm

    from stc_ros.ros.player import Planned as Asking

    names = {topic: camera.prefix.strip('/') for topic, camera in player.cameras.items()}
    asks = [Asking(p.question.text, p.stamp, names[p.camera], 0.0, p) for p in planned.questions]
    with tqdm(total=(bag.end_ns - bag.start_ns) / 1e9 / rate, desc=job.name, unit='s', disable=None) as bar:

        def sent(topic: str, stamp: int) -> None:
            listener.sent(topic, stamp, player.now())
            bar.update(max(player.now() / rate - bar.n, 0.0))

        player.play(bag.start_ns, bag.frames(planned.topics), asks, bag.end_ns, sent)


def wait_for_the_last(process: subprocess.Popen, player: Any, listener: Listener, job: Job) -> None:
    """Until every question has its reply, and no frame is in work any more."""
    patience = time.monotonic() + float(job.settings['query.timeout']) + SETTLE_S
    while player.open and time.monotonic() < patience:
        check(process)
        time.sleep(0.02)
    heard, since = listener.count, time.monotonic()
    while time.monotonic() - since < SETTLE_S and not listener.all_done:
        if listener.count != heard:
            heard, since = listener.count, time.monotonic()
        time.sleep(0.02)


def as_text(metrics: dict[str, Any]) -> str:
    """Two columns."""
    lines = []
    for title, of in (*metrics['cameras'].items(), ('questions', metrics['questions'])):
        lines.append(title)
        lines += [f'  {name:<36}{"-" if value is None else value}' for name, value in of.items()]
    return '\n'.join(lines)
