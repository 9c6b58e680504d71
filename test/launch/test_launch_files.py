"""Runs each launch test of this folder as `launch_test FILE` would, in a process of its own.

Through launch_testing's own runner, not its pytest plugin: that one crashes with pytest 9, and a launch wants the main
thread and a ROS domain for itself. Where launch_testing has its CMake part, `colcon test` runs the files without this.
"""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
FILES = sorted(path.stem for path in FOLDER.glob('*.py') if '\ndef generate_test_description' in path.read_text())
MISSING = [name for name in ('rclpy', 'launch_ros', 'launch_testing') if not importlib.util.find_spec(name)]
pytestmark = [
    pytest.mark.launch,
    pytest.mark.skipif(bool(MISSING), reason=f'no {MISSING}: source a ROS 2, or see tools/launch_sources.sh'),
]


@pytest.mark.parametrize('name', FILES)
def test_launch(name, tmp_path):
    process = subprocess.Popen(
        [sys.executable, '-m', 'launch_testing.launch_test', str(FOLDER / f'{name}.py')],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, 'ROS_LOG_DIR': str(tmp_path)},
    )
    try:
        said, _ = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # launch ends what it has started, and then itself
        said, _ = process.communicate(timeout=30)
        pytest.fail(f'not within 240 s: {said}')
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert 'Traceback' not in said, said
