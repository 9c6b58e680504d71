"""`evaluate --realtime`: a bag with the clock to the node itself, beside the evaluation without a clock."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run ./dev test, or source a ROS 2')
pytest.importorskip('stc_ros.msg', reason='the interfaces are not built: run ./dev build')

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / 'benchmarks'))
from realtime import compare  # noqa: E402


def test_slowly_enough_it_answers_as_without_a_clock(tmp_path):
    found = compare(seconds=2.0, rate=0.2, profile='busy', folder=tmp_path, count=4)
    assert found['questions'] >= 3 and found['missed_frames'] == 0 and not found['differ']
    camera, asked = *found['metrics']['cameras'].values(), found['metrics']['questions']
    assert camera['Number of Frames Sent'] == 16 == camera['Number of Frames Received']
    assert 0 < camera['Mean End-to-End Latency (ms)'] < 5000
    assert asked['Number of Answers'] == found['questions'] and asked['Mean Time to First Token (ms)'] > 0
    lines = [json.loads(line) for line in (tmp_path / 'played/default/result.jsonl').read_text().splitlines()]
    assert lines[0]['realtime'] == 0.2 and lines[-1]['kind'] == 'summary'
    assert sum(line['kind'] == 'frame' for line in lines) == 16


def test_without_ros_it_says_where_ros_comes_from(tmp_path):
    code = "import sys; sys.modules['rclpy'] = None; from stc_ros.__main__ import main; sys.exit(main())"
    words = ['evaluate', str(tmp_path), '--realtime']
    done = subprocess.run([sys.executable, '-c', code, *words], capture_output=True, text=True)
    assert done.returncode == 2 and './dev evaluate' in done.stderr and 'Traceback' not in done.stderr
