"""10,000 malformed images and requests to a node in a process of its own: it stays, each is counted, memory stays.

Two cameras, one raw and one compressed. Images lie on the wire as bytes that no publisher of ROS would send: cut off,
of other lengths than they claim, of encodings, sizes and formats that do not exist, pictures of gigapixels in a few
bytes, bits turned over. Between them come questions and parameters that are out of every range; each must be replied
to, with the code that is due. A good image now and then keeps the model at work.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

from malformed_messages import good, malformed, requests, settings
from tqdm import tqdm

PATIENCE_S = 60.0
REPLY_S = 10.0  # for one malformed request
CAMERAS = {'front': 'image', 'rear': 'image/compressed'}
RELIABLE = {'reliability': 'reliable', 'depth': 1000}  # so that none is lost on the way: every one is to be counted
AHEAD = 400  # messages between two waits for the node to have taken all: DDS keeps `depth` of them for a reader
WARM = 0.2  # share of the messages before memory is looked at first
GROWTH = 0.05  # of the node's memory that may come in the rest
REQUEST_EVERY, GOOD_EVERY = 10, 100
PACE_S, GOOD_S = 0.006, 0.05  # s after a message; after one that the model works on
CODES = ('NONE', 'NO_FRAMES', 'EMPTY_QUESTION', 'QUESTION_TOO_LONG', 'INVALID_REQUEST', 'TIMEOUT', 'BUSY')


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where a bar is missed, and says which."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--count', type=int, default=10_000, help='images and requests (10000)')
    parser.add_argument('--quick', action='store_true', help='300 of them')
    parser.add_argument('--seed', type=int, default=1, help='which of them (1)')
    chosen = parser.parse_args(arguments)
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    from stc_ros.ros.fastdds import VARIABLE, profile

    os.environ.setdefault(VARIABLE, str(profile()))
    node = Node()
    try:
        return attack(node, 300 if chosen.quick else chosen.count, random.Random(chosen.seed))
    finally:
        node.close()


def attack(node: Node, count: int, rng: random.Random) -> int:
    """Send `count` of them, print what became of them -> the exit code."""
    asked, due = requests(node.ask.srv_type), 0
    sent, replies, wrong, memory = Counter(), Counter(), [], []
    for number in tqdm(range(count), disable=not sys.stderr.isatty()):
        if number in (0, round(WARM * count)):
            memory.append(node.memory_mib())
        if number % REQUEST_EVERY == 0:
            reply, expected = node.request(asked[due % len(asked)] if due % 2 else None, due)
            due += 1
            sent['requests'] += 1
            replies[reply] += 1
            if reply != expected:
                wrong.append(f'{expected} was due, and {reply} came')
            continue
        camera = rng.choice(list(CAMERAS))
        right = number % GOOD_EVERY == 1
        sent['good images' if right else 'malformed images'] += 1
        node.cameras[camera].publish(good(camera) if right else malformed(camera, rng))
        node.pause(GOOD_S if right else PACE_S)
        if number % AHEAD == AHEAD - 1:
            node.wait_for(sent['good images'] + sent['malformed images'])
    counts = node.counts()
    memory.append(node.memory_mib())
    answer = node.answer()
    images = sent['good images'] + sent['malformed images']
    grown = memory[-1] / memory[1] - 1
    print(f'sent: {dict(sent)}; replies: {dict(replies)}')
    print('counted: ' + ', '.join(f'{value} {name}' for name, value in sorted(counts.items())))
    print(f'memory: {", ".join(f"{m:.0f}" for m in memory)} MiB at start, after {WARM:.0%}, at the end ({grown:+.1%})')
    print(f'then it answers: {answer!r}')
    parts = counts['processed'] + counts['dropped'] + counts['invalid']
    looked_at = (images - counts['dropped']) / images
    print(f'looked at: {looked_at:.0%} of the images, the others came while the model worked')
    bars = {
        f'{images} images were sent, {counts["received"]} counted': counts['received'] == images,
        f'{counts["received"]} images came, {parts} are accounted for': counts['received'] == parts,
        f'{counts["failures"]} failures and {counts["resets"]} resets': not counts['failures'] + counts['resets'],
        f'memory grew by {grown:.1%}': grown < GROWTH,
        f'no answer at the end: {answer}': not answer.startswith('error'),
        **{line: False for line in wrong[:5]},
    }
    missed = [said for said, held in bars.items() if not held]
    print('\n'.join(['MISSED: ' + said for said in missed] or ['every bar is held']))
    return int(bool(missed))


class Node:
    """The node's process, and all that talks to it. Raises `SystemExit` where it does not come up, or dies."""

    def __init__(self):
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from rcl_interfaces.srv import SetParameters
        from rclpy.qos import QoSProfile
        from sensor_msgs.msg import CompressedImage, Image

        from stc_ros.srv import Ask

        self.space = f'/malformed_{os.getpid()}'  # other nodes may run in this domain
        parameters = {'cameras': 'front, rear', 'rear.input.transport': 'compressed'}
        for name, topic in CAMERAS.items():  # so that none is lost on the way: every one is to be counted
            parameters |= {
                f'qos_overrides.{self.space}/{name}/{topic}.subscription.{k}': v for k, v in RELIABLE.items()
            }
        words = [word for name, value in parameters.items() for word in ('-p', f'{name}:={value}')]
        command = [sys.executable, '-m', 'stc_ros.ros.main', '--ros-args', '-r', f'__ns:={self.space}', *words]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        rclpy.init()
        self.rclpy, self.node = rclpy, rclpy.create_node('malformed')
        self.status, self.at = {}, 0
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self.cameras = {
            name: self.node.create_publisher(
                Image if name == 'front' else CompressedImage, f'{self.space}/{name}/{topic}', QoSProfile(depth=1000)
            )
            for name, topic in CAMERAS.items()
        }
        self.ask = self.node.create_client(Ask, f'{self.space}/ask')
        self.set = self.node.create_client(SetParameters, f'{self.space}/stc_stream/set_parameters')
        self.until(lambda: self.ask.service_is_ready() and self.set.service_is_ready(), 'the node is not there')
        self.until(lambda: all(p.get_subscription_count() for p in self.cameras.values()), 'no camera is watched')

    def _on_diagnostics(self, message) -> None:
        ours = [status for status in message.status if status.name.startswith(self.space)]
        if ours:
            self.at = time.monotonic()
        for status in ours:
            self.status[status.name.split(': ')[1]] = {v.key: v.value for v in status.values}

    def until(self, condition, otherwise: str, patience: float = PATIENCE_S) -> None:
        end = time.monotonic() + patience
        while not condition():
            if self.process.poll() is not None:
                raise SystemExit(f'malformed.py: the node has ended with code {self.process.returncode}')
            if time.monotonic() > end:
                raise SystemExit(f'malformed.py: {otherwise}')
            self.rclpy.spin_once(self.node, timeout_sec=0.02)

    def call(self, client, request):
        future = client.call_async(request)
        self.until(future.done, 'a malformed request got no reply', REPLY_S)
        return future.result()

    def request(self, asked, number: int) -> tuple[str, str]:
        """Ask one of `requests`, or set one of `settings` -> what came, and what is due."""
        if asked:
            request, expected = asked
            code = self.call(self.ask, request).error_code
            names = {getattr(self.ask.srv_type.Response, n): n for n in CODES}
            return names[code], expected
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        name, value = list(settings().items())[number // 2 % len(settings())]
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        return ('set' if self.call(self.set, request).results[0].successful else 'refused'), 'refused'

    def answer(self) -> str:
        """To a question that is right, of a good image."""
        for name in CAMERAS:
            self.cameras[name].publish(good(name))
        self.pause(1.0)
        request = self.ask.srv_type.Request(question='what is moving ?')
        reply = self.call(self.ask, request)
        return reply.answer if reply.error_code == 0 else f'error {reply.error_code}: {reply.error_msg}'

    def pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.rclpy.spin_once(self.node, timeout_sec=left)
        if self.process.poll() is not None:
            raise SystemExit(f'malformed.py: the node has ended with code {self.process.returncode}')

    def wait_for(self, images: int) -> None:
        """Wait until so many were received, and no longer than the node goes on receiving."""
        before = -1
        while (received := self.newest_counts()['received']) not in (images, before):
            before = received

    def counts(self) -> Counter:
        """What the node says of both cameras, once it has nothing to do any more."""
        before = None
        while (found := self.newest_counts()) != before:
            before = found
        return found

    def newest_counts(self) -> Counter:
        """What the node says next of both cameras."""
        asked, found = time.monotonic(), Counter()
        self.until(lambda: self.at > asked, 'no diagnostics')
        for name in CAMERAS:
            for key, value in self.status[f'camera {name}'].items():
                if key in ('received', 'processed', 'dropped', 'invalid') or key.startswith('refused'):
                    found[key] += int(value)
        for key, value in self.status['model'].items():
            if key.endswith((': failures', ': resets')):
                found[key.split(': ')[1]] += int(value)
        return found

    def memory_mib(self) -> float:
        with open(f'/proc/{self.process.pid}/statm') as file:
            return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20

    def close(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.node.destroy_node()
        self.rclpy.shutdown()


if __name__ == '__main__':
    sys.exit(main())
