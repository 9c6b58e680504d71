"""The node's long runs, in short: up and down again and again, and all faults at once."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run ./dev test, or source a ROS 2')
pytest.importorskip('stc_ros.msg', reason='the interfaces are not built: run ./dev build')
BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
if not BENCHMARKS.is_dir():
    pytest.skip('the benchmarks are not installed', allow_module_level=True)


def run(*command):
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=400, cwd=BENCHMARKS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_up_and_down():
    """Memory may grow by more here than in a thousand cycles, in which the first ones count for less."""
    out = run('cycles.py', '--cycles', '50', '--growth', '0.04')
    assert '50 cycles' in out and 'no failure' in out


def test_all_faults_at_once():
    out = run('endurance.py', '--quick')
    assert '200 frames' in out and 'every question was answered once, and the counters add up' in out
