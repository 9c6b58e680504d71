"""Many clients of one node at once: does each get the reply to its own question, how late, and what of parameters?

The node runs the embedded model on a synthetic camera, so that it is busy; beside each answer it says which question
it answers. Each client asks again as soon as it has a reply, after BUSY in up to a second. Meanwhile the node's
parameter services are called ten times a second. 64 clients for 5 minutes; --quick: 16 for 10 s. Lost is a question
without any reply, not even TIMEOUT. --depth 10 shows what clients of ROS's default depth lose.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import itertools
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from measure import command, write_rows

PROCESSES = 4  # that the clients are spread over
TOKENS = 8
PATIENCE_S = 45.0  # after which a reply counts as lost; the node's query.timeout is 30 s
BUSY_S = (0.1, 1.0)  # pause after BUSY
PROBE_S = 0.1
PROBE_BAR_MS = 100.0
START_S = 120.0
MARK = re.compile(r'#\w+#')


class Echoing:
    """A stream that says before each answer which question it answers, by the mark with which that begins."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def ask(self, question: str, max_new_tokens: int | None = None):
        mark = MARK.match(question)
        answer = self._stream.ask(question[mark.end() :] if mark else question, max_new_tokens)
        return Marked(answer, mark.group()) if mark else answer


class Marked:
    """An answer with a first piece of its own."""

    def __init__(self, answer, mark: str):
        self._answer, self._mark, self.report, self.close = answer, mark, answer.report, answer.close

    def __iter__(self):
        return self

    def __next__(self) -> str:
        mark, self._mark = self._mark, ''
        return mark or next(self._answer)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--clients', type=int, default=64, metavar='N', help='how many (64)')
    parser.add_argument('--seconds', type=float, default=300.0, metavar='S', help='for how long (300)')
    parser.add_argument('--quick', action='store_true', help='16 clients for 10 s')
    parser.add_argument(
        '--depth', type=int, default=0, metavar='N', help="of the clients' readers (stc_ros.client's own)"
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the row there, too')
    parser.add_argument('--part', choices=('node', 'clients'), help=argparse.SUPPRESS)
    parser.add_argument('--first', type=int, default=0, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        chosen.clients, chosen.seconds = 16, 10.0
    if chosen.part:
        return serve() if chosen.part == 'node' else ask_all(chosen)
    row = measure(chosen)
    print(
        f'{row["clients"]} clients for {row["seconds"]:g} s, depth {row["depth"]}; {row["machine"]}\n'
        f'replies {row["replies"]}; to another question {row["wrong"]}, lost {row["lost"]}\n'
        f'answers: median {row["answer_median_s"]:.2f} s, p99 {row["answer_p99_s"]:.2f} s\n'
        f'parameter services, {row["probes"]} calls: median {row["parameter_median_ms"]:.1f} ms, '
        f'p99 {row["parameter_p99_ms"]:.1f} ms (bar {PROBE_BAR_MS:g} ms)'
    )
    if chosen.json:
        write_rows(chosen.json, [row])
    good = row['replies'].get('answered') and not row['wrong'] and not row['lost']
    return 0 if good and row['parameter_p99_ms'] <= PROBE_BAR_MS else 1


def measure(chosen: argparse.Namespace) -> dict:
    """Start node, camera and clients, call the parameter services, gather -> one row."""
    os.environ['ROS_DOMAIN_ID'] = str(101 + os.getpid() % 100)
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    from stc_ros.ros import fastdds

    fastdds.set_default()
    started = [part('node'), subprocess.Popen([sys.executable, '-m', 'stc_ros.ros.camera'])]
    share = -(-chosen.clients // PROCESSES)
    firsts = range(0, chosen.clients, share)
    try:
        probe = Probe()
        workers = [part('clients', first, min(share, chosen.clients - first), chosen) for first in firsts]
        started += workers
        for worker in workers:
            assert worker.stdout.readline() == 'ready\n', 'clients did not find the node'
        probe.begin()
        for worker in workers:
            worker.stdin.write('go\n')
            worker.stdin.flush()
        found = [json.loads(worker.stdout.readline()) for worker in workers]
        probed = probe.end()
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(10)
    took = [each for one in found for each in one['took']]
    replies = sum((collections.Counter(one['replies']) for one in found), collections.Counter())
    return {
        'clients': chosen.clients,
        'seconds': chosen.seconds,
        'depth': chosen.depth or 'own',
        'wrong': sum(one['wrong'] for one in found),
        'lost': replies.pop('lost', 0),
        'replies': dict(replies),
        'answer_median_s': figure(took, 50),
        'answer_p99_s': figure(took, 99),
        'probes': len(probed),
        'parameter_median_ms': figure(probed, 50) * 1e3,
        'parameter_p99_ms': figure(probed, 99) * 1e3,
        'machine': f'{len(os.sched_getaffinity(0))} CPU cores',
        'command': command(),
    }


def figure(values: list[float], percentile: float) -> float:
    return float(np.percentile(values, percentile)) if values else float('nan')


def part(name: str, first: int = 0, count: int = 0, chosen: argparse.Namespace | None = None) -> subprocess.Popen:
    """A process of this benchmark's own."""
    line = [sys.executable, __file__, '--part', name]
    if chosen:
        line += ['--first', first, '--clients', count, '--seconds', chosen.seconds, '--depth', chosen.depth]
    return subprocess.Popen([str(word) for word in line], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def serve() -> int:
    """The node, until the process is ended."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    from stc_ros.ros.main import spin
    from stc_ros.ros.node import StreamNode
    from stc_ros.ros.real_parts import load, open_warm

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)  # a signal ends the process at once
    node = StreamNode(load, lambda model, settings: Echoing(open_warm(model, settings)))
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spin(executor, node, threading.Event())
    return 0


def ask_all(chosen: argparse.Namespace) -> int:
    """Some of the clients, each on a thread; their figures go to stdout as JSON."""
    import rclpy
    from rclpy.qos import QoSProfile
    from rclpy.signals import SignalHandlerOptions

    from stc_ros.ros import client as clients

    if chosen.depth:
        clients.DEPTH = QoSProfile(depth=chosen.depth)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)  # a signal ends the process at once
    node = rclpy.create_node(f'clients_{chosen.first}')
    robots = [clients.Client(node) for _ in range(chosen.clients)]
    for robot in robots:
        robot.ask('what is moving ?', timeout=START_S, max_new_tokens=1, retry=True)
    print('ready', flush=True)
    sys.stdin.readline()
    end = time.monotonic() + chosen.seconds
    figures = {'took': [], 'wrong': 0, 'replies': collections.Counter()}
    lock = threading.Lock()
    threads = [
        threading.Thread(target=ask_on, args=(robot, f'c{chosen.first + number}', end, figures, lock))
        for number, robot in enumerate(robots)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(figures), flush=True)
    sys.stdin.readline()  # what is slow to be taken apart is left to the end of the process
    return 0


def ask_on(robot, name: str, end: float, figures: dict, lock: threading.Lock) -> None:
    """Ask again and again, and judge what comes. No time limit on this side: the node's own ends each question."""
    from stc_ros.client import Busy, StcError

    for number in itertools.count():
        if time.monotonic() >= end:
            return
        mark, began, text, pause = f'#{name}n{number}#', time.monotonic(), '', 0.0
        future = robot.ask_later(f'{mark} what is moving ?', max_new_tokens=TOKENS)
        try:
            text, kind = future.result(PATIENCE_S).text, 'answered'
        except StcError as error:
            text, kind = error.reply.text if error.reply else '', type(error).__name__
            pause = random.uniform(*BUSY_S) if isinstance(error, Busy) else 0.0
        except concurrent.futures.TimeoutError:
            kind = 'lost'
            future.cancel()
        with lock:
            figures['replies'][kind] += 1
            figures['wrong'] += bool(text or kind == 'answered') and not is_own(text, mark)
            if kind == 'answered':
                figures['took'].append(time.monotonic() - began)
        time.sleep(pause)


def is_own(text: str, mark: str) -> bool:
    """Whether a reply answers the question of that mark."""
    return MARK.findall(text) == [mark]


class Probe:
    """Calls the node's parameter services at intervals, one after another."""

    def __init__(self):
        import rclpy
        from rcl_interfaces.srv import GetParameters, SetParameters
        from rclpy.parameter import Parameter

        rclpy.init(args=[])
        self._node = rclpy.create_node('probe')
        self._clients = [
            self._node.create_client(GetParameters, 'stc_stream/get_parameters'),
            self._node.create_client(SetParameters, 'stc_stream/set_parameters'),
        ]
        self._requests = [
            GetParameters.Request(names=['query.timeout']),
            SetParameters.Request(parameters=[Parameter('narration.period', value=5.0).to_parameter_msg()]),
        ]
        self._took: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def begin(self) -> None:
        assert all(client.wait_for_service(START_S) for client in self._clients), 'no node'
        self._thread.start()

    def end(self) -> list[float]:
        """Seconds of each call; one without a response counts as START_S."""
        self._ended.set()
        self._thread.join()
        return self._took

    def _run(self) -> None:
        import rclpy

        number = 0
        while not self._ended.wait(PROBE_S):
            number += 1
            began = time.monotonic()
            future = self._clients[number % 2].call_async(self._requests[number % 2])
            rclpy.spin_until_future_complete(self._node, future, timeout_sec=START_S)
            self._took.append(time.monotonic() - began)


if __name__ == '__main__':
    sys.exit(main())
