"""Four cameras at 10 Hz, and one of 1080p at 30 Hz: how old the frame in work is, what is missed while it speaks.

    ./dev bench cameras [--seconds 30] [--json FILE]
    ./dev bench cameras --kind hd

The node runs in a process of its own, another publishes raw images of synthetic scenes. First nobody asks, then one
question follows another, each with an answer as long as it may be. A frame may wait one period of its camera until the
node begins with it; what its way through DDS takes (age at its start, less that wait) is told beside it. With the toy
(random weights) the model would keep up with the cameras, so that 98 % of the frames have to be processed while it
speaks; with the embedded model and two cores it would not, and newer frames replace those that wait. The CPU time of
the node goes by thread: that of the model, and the rest, which is ROS: executor, DDS, Python's own.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from measure import command, write_rows
from toy_node import MEMORY

KINDS = {'four': (4, 10.0, (640, 480)), 'hd': (1, 30.0, (1920, 1080))}  # cameras, Hz, width and height
WARM_S, START_S, ANSWER_S = 5.0, 120.0, 60.0
MODELS = ('toy', 'embedded')
KEPT = 0.98  # of the frames, while an answer is spoken, with the toy
PICTURES = 40
TOKENS = 200


def main(arguments: list[str] | None = None) -> int:
    """Ends with 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kind', choices=KINDS, help='only this one')
    parser.add_argument('--model', choices=MODELS, help='only this one')
    parser.add_argument('--seconds', type=float, default=20.0, metavar='S', help='of each of the two phases (20)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the rows there, too')
    parser.add_argument('--part', choices=('node', 'camera'), help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.part:
        count, rate, size = KINDS[chosen.kind]
        return serve(count, chosen.model) if chosen.part == 'node' else publish(count, rate, size)
    kinds, models = ([chosen.kind] if chosen.kind else KINDS), ([chosen.model] if chosen.model else MODELS)
    rows = [row for kind in kinds for model in models for row in measure(kind, model, chosen.seconds)]
    for row in rows:
        print(
            f'{row["cameras"]} x {row["size"]} at {row["rate"]:g} Hz, {row["model"]}, {row["phase"]}: '
            f'{row["processed"]} of {row["received"]} frames ({row["share"]:.1%}), {row["frame_ms_median"]:.1f} ms; '
            f'wait {row["wait_ms_median"]:.1f} ms, p99 {row["wait_ms_p99"]:.0f} (bar {1e3 / row["rate"]:.0f}); age at '
            f'its start {row["age_ms_median"]:.0f} ms, p99 {row["age_ms_p99"]:.0f}; '
            f'{row["cpu_cores"]:.2f} cores, {row["ros_share"]:.0%} of them for ROS; {row["answers"]} answers'
        )
    if chosen.json:
        write_rows(chosen.json, rows)
    missed = [row for row in rows if row['wait_ms_p99'] > 1e3 / row['rate'] or row['kept_up'] and row['share'] < KEPT]
    print(f'{len(missed)} of {len(rows)} rows miss a bar' if missed else 'every bar is held')
    return int(bool(missed))


def measure(kind: str, model: str, seconds: float) -> list[dict]:
    """Start node and cameras, listen -> a row without questions, a row with."""
    os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    from stc_ros.ros import fastdds

    fastdds.set_default()
    count, rate, (width, height) = KINDS[kind]
    parts = [
        subprocess.Popen(
            [sys.executable, __file__, '--kind', kind, '--model', model, '--part', name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ('node', 'camera')
    ]
    listener = Listener(names(count))
    try:
        listener.until(lambda: all(listener.heard.values()), 'no statistics of every camera')
        listener.spin(WARM_S)
        rows = []
        for phase in ('nobody asks', 'it speaks'):
            listener.clear()
            before, began = cpu(parts[0]), time.monotonic()
            answers = listener.ask_for(seconds) if phase == 'it speaks' else listener.spin(seconds)
            took, after = time.monotonic() - began, cpu(parts[0])
            used = {name: after[name] - before[name] for name in after}
            rows.append(
                {'cameras': count, 'size': f'{width}x{height}', 'rate': rate, 'model': model, 'phase': phase}
                | {'kept_up': model == 'toy', 'answers': answers}
                | figures(listener.heard)
                | {
                    'cpu_cores': sum(used.values()) / took,
                    'ros_share': used['ros'] / sum(used.values()),
                    'machine': f'{len(os.sched_getaffinity(0))} CPU cores',
                    'command': command(),
                }
            )
        return rows
    finally:
        for part in parts:
            part.kill()
            part.wait()
        listener.close()


def figures(heard: dict[str, list]) -> dict:
    """Of all cameras together. heard: camera -> StreamStats of every frame, in order."""
    received = sum(stats[-1].frames_received - stats[0].frames_received for stats in heard.values())
    processed = sum(stats[-1].frames_processed - stats[0].frames_processed for stats in heard.values())
    every = [each for stats in heard.values() for each in stats]
    frame = np.array([each.total_ms for each in every])
    age = np.array([1e3 * each.frame_age for each in every]) - frame
    return {
        'received': int(received),
        'processed': int(processed),
        'share': processed / received,
        'frame_ms_median': float(np.median(frame)),
        'frame_ms_p99': float(np.percentile(frame, 99)),
        'stages_ms_median': {
            stage: float(np.median([getattr(each, f'{stage}_ms') for each in every]))
            for stage in ('preprocess', 'vision', 'prune', 'prefill')
        },
        'wait_ms_median': float(np.median([each.queue_ms for each in every])),
        'wait_ms_p99': float(np.percentile([each.queue_ms for each in every], 99)),
        'recomputed': float(np.mean([each.patches_recomputed / each.patches for each in every])),
        'age_ms_median': float(np.median(age)),
        'age_ms_p99': float(np.percentile(age, 99)),
    }


class Listener:
    """Hears the statistics of all cameras, and asks. Raises `SystemExit` where the node does not come up."""

    def __init__(self, cameras: list[str]):
        import rclpy
        from rclpy.qos import QoSProfile

        from stc_ros.msg import StreamStats
        from stc_ros.srv import Ask

        rclpy.init(args=[])
        self._rclpy, self._kind, self.node = rclpy, Ask, rclpy.create_node('listener')
        self.heard: dict[str, list] = {camera: [] for camera in cameras}
        for camera in cameras:
            topic = f'stc_stream/{camera}/stats' if len(cameras) > 1 else 'stc_stream/stats'
            self.node.create_subscription(StreamStats, topic, self.heard[camera].append, QoSProfile(depth=1000))
        self.client = self.node.create_client(Ask, 'ask')

    def until(self, condition, otherwise: str, patience: float = START_S) -> None:
        end = time.monotonic() + patience
        while not condition():
            if time.monotonic() > end:
                raise SystemExit(f'cameras: {otherwise} in {patience:g} s')
            self._rclpy.spin_once(self.node, timeout_sec=0.05)

    def spin(self, seconds: float) -> int:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._rclpy.spin_once(self.node, timeout_sec=left)
        return 0

    def ask_for(self, seconds: float) -> int:
        """Ask again and again for so long -> how many answers came."""
        end, answers = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            request = self._kind.Request(question='what is in the scene , and what is moving ?', max_new_tokens=TOKENS)
            future = self.client.call_async(request)
            self.until(future.done, 'no answer', ANSWER_S)
            answers += not future.result().error_code
        return answers

    def clear(self) -> None:
        for stats in self.heard.values():
            stats.clear()

    def close(self) -> None:
        self.node.destroy_node()
        self._rclpy.shutdown()


def names(count: int) -> list[str]:
    return [f'camera{number}' for number in range(count)] if count > 1 else ['camera']


def cpu(part: subprocess.Popen) -> dict[str, float]:
    """Seconds of CPU that the node's model and the rest of it have used."""
    part.stdin.write('\n')
    part.stdin.flush()
    return json.loads(part.stdout.readline())


def serve(count: int, model: str) -> int:
    """The node; for each line on stdin it tells its threads' CPU time, until the process is ended."""
    import rclpy
    import torch
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.parameter import Parameter
    from rclpy.signals import SignalHandlerOptions

    from stc_ros.models.random import random_model
    from stc_ros.ros.main import spin
    from stc_ros.ros.node import StreamNode
    from stc_ros.stream import open_stream

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    overrides = [Parameter('cameras', value=', '.join(names(count)))] if count > 1 else []
    parts = (lambda settings: random_model('toy'), open_stream) if model == 'toy' else ()
    if model == 'toy':
        torch.set_num_threads(1)  # as the embedded model does: two threads on two busy cores wait for each other
        overrides += [Parameter(name, value=value) for name, value in MEMORY.items()]
    node = StreamNode(*parts, parameter_overrides=overrides)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinning = threading.Thread(target=spin, args=(executor, node, threading.Event()), daemon=True)
    spinning.start()
    for _ in sys.stdin:
        of_threads = {int(task.name): seconds(task) for task in Path('/proc/self/task').iterdir()}
        dds = [thread for thread in of_threads if is_of_dds(thread)]
        ros = [spinning.native_id, threading.main_thread().native_id, *dds]
        told = {'ros': sum(of_threads[thread] for thread in ros)}
        print(json.dumps(told | {'model': sum(of_threads.values()) - told['ros']}), flush=True)
    return 0


def seconds(task: Path) -> float:
    """Of CPU that a thread has used (Linux)."""
    fields = (task / 'stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def is_of_dds(thread: int) -> bool:
    return Path(f'/proc/self/task/{thread}/comm').read_text().startswith('dds.')


def publish(count: int, rate: float, size: tuple[int, int]) -> int:
    """Raw images of `count` synthetic worlds, one camera after another within a period."""
    import rclpy
    from PIL import Image as Picture
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image

    from stc_ros.ros.camera import create_world, scenes

    rclpy.init(args=[])
    node, (width, height) = rclpy.create_node('cameras'), size
    publishers, pictures = [], []
    for number, name in enumerate(names(count)):
        topic = f'{name}/image' if count > 1 else 'image'
        publishers.append(node.create_publisher(Image, topic, qos_profile_sensor_data))
        shown = scenes(create_world('busy', 100 + number), 336)
        large = [Picture.fromarray(next(shown)).resize(size).tobytes() for _ in range(PICTURES)]
        pictures.append([array.array('B', data) for data in large])  # a message takes these as they are
    began, sent = time.monotonic(), 0
    while True:
        at, number = divmod(sent, count)
        time.sleep(max(0.0, began + sent / (rate * count) - time.monotonic()))
        message = Image(height=height, width=width, encoding='rgb8', step=3 * width)
        turn = at % (2 * PICTURES - 2)  # there and back: no cut in it
        message.data = pictures[number][min(turn, 2 * PICTURES - 2 - turn)]
        message.header.stamp = node.get_clock().now().to_msg()
        publishers[number].publish(message)
        sent += 1


if __name__ == '__main__':
    sys.exit(main())
