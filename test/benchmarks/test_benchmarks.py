"""The benchmarks' figures: what a row says, and that the commands write what they promise."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
if not BENCHMARKS.is_dir():
    pytest.skip('the benchmarks are not installed', allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

from measure import Row, Times  # noqa: E402

FIELDS = {'model', 'input', 'mode', 'settings', 'share', 'median_ms', 'p99_ms', 'ratio_to_plain', 'ideal_ratio'}


def times(**modes):
    import torch

    found = Times(torch.device('cpu'))
    for mode, calls in modes.items():
        for share, ms in calls:
            found.add(mode, share, ms)
    return found


def test_the_ratio_counts_dear_and_cheap_frames_as_often_as_they_came():
    found = times(plain=[(1, 100)] * 4, stc=[(1, 100), (0.25, 30), (0.25, 30), (0.25, 30)])
    assert found.figures('stc')['ratio_to_plain'] == pytest.approx(0.475)
    assert found.figures('stc')['share'] == pytest.approx(1.75 / 4, abs=1e-3)


def test_a_hiccup_of_the_machine_is_in_the_p99_and_not_in_the_ratio():
    figures = times(plain=[(1, 100)] * 9, some=[(0.5, 50)] * 8 + [(0.5, 5000)]).figures('some')
    assert figures['ratio_to_plain'] == pytest.approx(0.5) and figures['p99_ms'] > 4000


def test_work_that_comes_in_bursts_is_counted_whole():
    import torch

    found = Times(torch.device('cpu'), bursts=True)
    for mode, calls in (('plain', [10, 10, 10, 10]), ('batches', [0, 0, 0, 20])):
        for ms in calls:
            found.add(mode, 1.0, ms)
    assert found.figures('batches')['ratio_to_plain'] == pytest.approx(0.5)


def test_faster_than_the_operations_allow_is_a_fault():
    row = Row('m', 'i', 'incremental', '', 0.25, 1, 1, ratio_to_plain=0.2, ideal_ratio=0.25, frames=9, machine='x')
    assert row.fault
    row.ratio_to_plain = 0.24
    assert not row.fault


@pytest.mark.parametrize('name', ['prefill', 'end_to_end'])
def test_a_benchmark_writes_its_rows(name, tmp_path):
    file = tmp_path / 'rows.json'
    done = subprocess.run(
        [
            sys.executable,
            str(BENCHMARKS / f'{name}.py'),
            '--model',
            'toy',
            '--frames',
            '4',
            '--profile',
            'static',  # a busy world changes nearly all of 36 patches in every frame
            '--threads',
            '1',
            '--json',
            str(file),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    rows = json.loads(file.read_text())
    assert all(set(row) >= FIELDS for row in rows) and 'plain' in done.stdout
    plain = [row for row in rows if row['mode'].startswith('plain')]
    assert all(row['ratio_to_plain'] == 1 and row['ideal_ratio'] == 1 for row in plain)
    assert all(0 < row['ideal_ratio'] < 1 for row in rows if row not in plain and 'batch' not in row['mode'])


def test_the_overlap_benchmark_writes_a_row_in_turn_and_one_overlapped(tmp_path):
    file = tmp_path / 'rows.json'
    subprocess.run(
        [
            sys.executable,
            str(BENCHMARKS / 'overlap.py'),
            '--model',
            'toy',
            '--frames',
            '8',
            '--round',
            '2',
            '--json',
            str(file),
        ],
        check=False,
        capture_output=True,
        timeout=120,
    )  # 1: too fast to believe
    rows = {row['mode']: row for row in json.loads(file.read_text())}
    for mode in ('plain', 'incremental'):
        assert rows[f'{mode} overlapped']['ideal_ratio'] < rows[mode]['ideal_ratio']
        assert rows[f'{mode} overlapped']['share'] == rows[mode]['share']


def test_the_answer_benchmark_says_where_the_newest_frame_was_read_whole(tmp_path):
    file = tmp_path / 'rows.json'
    subprocess.run(
        [
            sys.executable,
            str(BENCHMARKS / 'answer.py'),
            '--model',
            'toy',
            '--frames',
            '6',
            '--threads',
            '1',
            '--json',
            str(file),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    rows = {row['mode']: row for row in json.loads(file.read_text())}
    assert rows['plain']['share'] == 0 < rows['full latest frame']['share'] == rows['default']['share']  # it is small
    assert all(row['median_ms'] > 0 for row in rows.values())


def test_the_roofline_of_a_large_model_gains_by_batches_not_by_pruning_alone():
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / 'prefill.py'), '--model', '7b', '--roofline'],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    plain, pruned, _, four, ratio = map(float, done.stdout.splitlines()[2].split()[2:])
    assert pruned == plain and four == pytest.approx(pruned / 4, rel=0.05) and ratio == pytest.approx(0.25, abs=0.02)


def test_the_way_in_is_measured_against_the_exact_one(tmp_path):
    pytest.importorskip('rclpy')
    file = tmp_path / 'rows.json'
    subprocess.run(
        [sys.executable, str(BENCHMARKS / 'input.py'), '--frames', '4', '--json', str(file)],
        check=True,
        capture_output=True,
        timeout=120,
    )
    rows = {(row['size'], row['encoding']): row for row in json.loads(file.read_text())}
    assert all(row['off_p999'] == 0 for (_, encoding), row in rows.items() if encoding != 'jpeg')
    assert rows['4K', 'jpeg']['off_mean'] < 0.5 and all(row['node_ms'] > 0 for row in rows.values())


def test_a_table_at_real_size_charges_each_frame_for_its_work():
    from costs import Costs
    from decisions import to_text

    costs = Costs.__new__(Costs)
    costs.plain, costs.stc, costs.whole, costs.still = 100.0, (110.0, 40.0), 105.0, 1.0
    costs.rows = {100: 20.0, 200: 30.0}
    costs.prefill, costs.project = {0: 0.0, 98: 50.0, 196: 90.0}, {98: 5.0, 196: 9.0}
    assert costs.frame('plain', 729, 196) == 199.0
    assert costs.frame('stc', 729, 98) == 165.0 and costs.frame('stc', 182, 98) == 95.0
    assert costs.frame('ours', 729, 0) == 105.0 and costs.frame('ours', 0, 0) == 1.0
    assert costs.frame('ours', 150, 49) == 25.0 + 25.0 + 2.5
    decided = {'a': {'input': 'b', 'stc': [[1, 2]], 'ours': [[3, 4, 0]]}}
    assert json.loads(to_text(decided)) == decided


def test_a_missing_video_is_said_without_a_traceback():
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / 'end_to_end.py'), '--model', 'toy', '--video', '/none.mp4'],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and '/none.mp4' in done.stderr and 'Traceback' not in done.stderr
