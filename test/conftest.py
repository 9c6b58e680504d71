"""Fixtures for all tests. ROS runs in a domain of this test run's own, on this machine only."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Before any import of rclpy: a context reads these once, and the processes that tests start inherit them.
os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ.setdefault('FASTDDS_DEFAULT_PROFILES_FILE', str(ROOT / 'config' / 'fastdds.xml'))


class Ros:
    """A node of the test's own, in a context of its own, spun by hand."""

    def __init__(self):
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self.context = rclpy.Context()
        self.context.init()
        self.node = rclpy.create_node(f'test_{os.getpid()}', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def spin_until(self, condition, timeout: float = 20.0) -> bool:
        """Spin until `condition()` is true; return whether it was within `timeout` seconds."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                return False
            self.executor.spin_once(timeout_sec=0.05)
        return True

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.shutdown()


@pytest.fixture
def ros():
    """A `Ros`. Skips where rclpy or this package's interfaces are missing."""
    pytest.importorskip('rclpy', reason='rclpy is not installed: run ./dev test, or source a ROS 2')
    pytest.importorskip('stc_ros.msg', reason='the interfaces are not built: run ./dev build')
    one = Ros()
    yield one
    one.close()


@pytest.fixture
def launch_process(tmp_path):
    """`launch_process('stc_ros.ros.camera', ...)` starts `python -m` with its output in a file (`.log`).

    Whatever still runs when the test ends is ended.
    """
    started = []

    def start(module: str, *arguments: str, **environment: str) -> subprocess.Popen:
        log = tmp_path / f'{module}.{len(started)}.log'
        paths = [str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])]
        with log.open('wb') as output:
            process = subprocess.Popen(
                [sys.executable, '-m', module, *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=tmp_path,
                env={**os.environ, 'PYTHONPATH': os.pathsep.join(paths), **environment},
            )
        process.log = log
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope='session')
def toy(tmp_path_factory):
    """A model folder with random weights, which loads and answers quickly."""
    from stc_ros.models.random import random_tokenizer, random_weights

    folder = tmp_path_factory.mktemp('toy')
    random_weights('toy').save_pretrained(folder)
    random_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def bench():
    """Makes benches for the worker; at the end their threads must end."""
    from worker_bench import Bench

    benches = []

    def make(**stream):
        benches.append(Bench(**stream))
        return benches[-1]

    yield make
    for one in benches:
        one.worker.stop()
        assert one.worker.join(5), 'the worker thread did not end'
