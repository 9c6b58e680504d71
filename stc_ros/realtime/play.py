"""Plays one run to the node, and tells a sink what a replay without a clock would tell.

The clock first: nothing is written or drawn while the node is measured. Then the bag is read again, and each frame is
told with what the node said of it.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from stc_ros.evaluation.evaluate import Job, Plan
from stc_ros.evaluation.realtime_metrics import METRICS, ask_metrics, camera_metrics
from stc_ros.evaluation.replay_sink import ReplaySink
from stc_ros.io.bags import COMPRESSED_IMAGE, Bag
from stc_ros.io.marked_yaml import FileError
from stc_ros.realtime.node_process import NodeFailed, check, node_parameters, node_process
from stc_ros.realtime.tell import Teller
from stc_ros.watches.watch_file import read_watches

if TYPE_CHECKING:
    from stc_ros.ros.player import Asked, Player

NODE_LOG = 'node.log'
LOAD_S = 600.0  # to load the model
KNOCK_S = 1.0  # between two questions that nobody has to answer, until the node replies
MEET_S = 1.0  # from that reply on: a node that is found may not yet have found all that is said to it
SETTLE_S = 5.0  # without a sign of the node, until nothing more is expected of its last frames; at least ...
SETTLE_STEPS = 3  # ... so many times as long as it ever was silent between two frames, or ...
FIRST_S = 20.0  # ... this, where it has not processed two


def play(job: Job, bag: Bag, planned: Plan, sink: ReplaySink) -> None:
    """Leaves metrics.json and node.log in the job's folder. Raises `NodeFailed`, and what reading the bag raises."""
    from stc_ros.ros.player import Asked, open_player

    job.folder.mkdir(parents=True, exist_ok=True)
    cameras, log, namespace = cameras_of(bag, planned), job.folder / NODE_LOG, f'/stc_realtime_{os.getpid()}'
    names = {camera.topic: camera.name for camera in cameras}
    asks = [Asked(each.question.text, each.stamp, names[each.camera]) for each in planned.questions]
    with tempfile.TemporaryDirectory() as folder:
        arguments = node_arguments(job, cameras, namespace, Path(folder))
        with (
            open_player(namespace, cameras, job.realtime, job.narrate) as player,
            node_process(arguments, log) as process,
        ):
            wait_until_ready(process, log, player, bag.start_ns)
            _play(job, bag, planned, player, asks)
            wait_for_the_last(process, log, player, job.settings['query.timeout'], job.realtime)
    sink.begin()
    teller = Teller(bag, planned, job, sink, player, asks)
    try:
        teller.tell()
    finally:
        metrics = {
            'rate': job.realtime,
            'cameras': {topic: camera_metrics(record) for topic, record in teller.cameras.items()},
            'questions': ask_metrics(teller.asked),
        }
        (job.folder / METRICS).write_text(json.dumps(metrics, indent=1) + '\n')


def cameras_of(bag: Bag, planned: Plan) -> list[Any]:
    """How the node is to name the bag's topics."""
    from stc_ros.ros.camera_names import ONLY
    from stc_ros.ros.player import Camera

    types = {topic.name: topic.type for topic in bag.image_topics()}
    alone = len(planned.topics) == 1
    return [
        Camera(topic, ONLY if alone else f'{ONLY}{number}', alone, types[topic] == COMPRESSED_IMAGE)
        for number, topic in enumerate(planned.topics, 1)
    ]


def node_arguments(job: Job, cameras: Sequence[Any], namespace: str, folder: Path) -> list[str]:
    """The node's command line; its parameters are written into the folder."""
    values = node_parameters(job.settings, job.realtime)
    if not cameras[0].alone:
        values['cameras'] = ', '.join(camera.name for camera in cameras)
    for camera in cameras:
        name = f'{camera.prefix.replace("/", ".")}input.transport'
        values[name] = 'compressed' if camera.compressed else 'raw'
    if watches := job.settings['watch.file']:
        values['watch.file'] = str(folder / 'watches.yaml')
        copy_watches(Path(watches), folder / 'watches.yaml', {camera.topic: camera.name for camera in cameras})
    file = folder / 'parameters.yaml'
    file.write_text(yaml.safe_dump({'/**': {'ros__parameters': values}}))
    remappings = {'__ns': namespace, '/clock': f'{namespace}/clock', '/diagnostics': f'{namespace}/diagnostics'}
    words = [word for name, to in remappings.items() for word in ('-r', f'{name}:={to}')]
    return ['--ros-args', *words, '--params-file', str(file)]


def copy_watches(file: Path, to: Path, names: Mapping[str, str]) -> None:
    """The same watches with the node's names of the cameras. Raises `FileError`."""
    for watch in read_watches(file).watches:
        if watch.camera and watch.camera not in names:
            raise FileError(f'{file}: watch {watch.name!r} is of {watch.camera}; played are: {", ".join(names)}')
    content = yaml.load(file.read_text(), yaml.BaseLoader)  # every value a text, as it stands there
    for watch in content['watches']:
        if watch.get('camera'):
            watch['camera'] = names[watch['camera'].strip()]
    to.write_text(yaml.safe_dump(content))


def wait_until_ready(process: Any, log: Path, player: Player, start: int) -> None:
    """Until the model is loaded and each hears the other; the clock stands at `start` meanwhile."""
    patience, met = time.monotonic() + LOAD_S, float('inf')
    knocks, knock_at = [], 0.0
    while time.monotonic() < met + MEET_S:
        check(process, log)
        if player.failure:
            raise NodeFailed(player.failure)
        if time.monotonic() > patience:
            raise NodeFailed(f'the node was not ready after {LOAD_S:.0f} s: see {log}')
        player.set_clock(start)
        if player.found and time.monotonic() > knock_at and met == float('inf'):
            knocks.append(player.knock())
            knock_at = time.monotonic() + KNOCK_S
        if any(knock.done() for knock in knocks):
            met = min(met, time.monotonic())
        time.sleep(0.05)


def _play(job: Job, bag: Bag, planned: Plan, player: Player, asks: list[Asked]) -> None:
    from tqdm import tqdm

    seconds = (bag.end_ns - bag.start_ns) / 1e9
    with tqdm(total=seconds, desc=f'{job.name}, played', unit='s', leave=False, disable=None) as bar:

        def progress(stamp: int) -> None:
            bar.update(max((stamp - bag.start_ns) / 1e9 - bar.n, 0.0))

        player.play(bag.start_ns, bag.end_ns, bag.frames(planned.topics), asks, progress)


def wait_for_the_last(process: Any, log: Path, player: Player, timeout: float, rate: float) -> None:
    """Until every question has its reply, and the last frames are processed or the node is silent."""
    from stc_ros.ros.heard import header_stamp

    patience = time.monotonic() + timeout + SETTLE_S
    while player.waiting and time.monotonic() < patience:
        check(process, log)
        time.sleep(0.02)

    def under_way() -> bool:
        heard = [each for each in player.heard.values() if each.sent]
        return not all(each.stats and header_stamp(each.stats[-1][1]) >= each.sent[-1][0] for each in heard)

    times = sorted(at / rate for each in player.heard.values() for at, _ in each.stats)
    silence = max((b - a for a, b in zip(times, times[1:])), default=FIRST_S)
    settle = max(SETTLE_S, SETTLE_STEPS * silence)
    count, since = len(times), time.monotonic()
    while under_way() and time.monotonic() - since < settle:
        check(process, log)
        if (now := sum(len(each.stats) for each in player.heard.values())) != count:
            count, since = now, time.monotonic()
        time.sleep(0.02)
