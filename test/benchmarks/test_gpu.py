"""gpu.py without a GPU: the whole script on tiny models, its bars, its clocks and its end when time is over."""

import json
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from fake_gpu import CUDA, fake_gpu, moved

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
if not BENCHMARKS.is_dir():
    pytest.skip('the benchmarks are not installed', allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

import gpu  # noqa: E402
import gpu_models  # noqa: E402
import gpu_streams  # noqa: E402
from gpu_bars import FOUR, PARTS, bars  # noqa: E402
from gpu_one_model import OneModel  # noqa: E402
from gpu_parts import MODES, PLAIN, figures  # noqa: E402
from gpu_streams import Camera, Plan, Seen, Watched  # noqa: E402

from stc_ros.models.families import llava_onevision  # noqa: E402
from stc_ros.models.memory_needed import reckon  # noqa: E402
from stc_ros.models.random import random_tokenizer, random_weights  # noqa: E402
from stc_ros.settings import Settings  # noqa: E402


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    """The finished process, and its rows by what, model, mode and cameras."""
    file = tmp_path_factory.mktemp('gpu') / 'rows.json'
    script = [sys.executable, str(BENCHMARKS / 'gpu.py'), '--device', 'cpu', '--size', 'toy', '--json', str(file)]
    done = subprocess.run([*script, '--profile', 'static'], capture_output=True, text=True, timeout=240)
    rows = json.loads(file.read_text())
    return done, {(row['what'], row['name'], row['mode'], row['cameras']): row for row in rows}


@pytest.mark.parametrize('name', gpu_models.MODELS)
def test_every_mode_of_a_model_is_measured_against_the_best_plain_one(toy, name):
    rows = {mode: toy[1]['frames', name, mode, 1] for mode in MODES}
    best = rows['default']['best_plain']
    assert best in PLAIN and rows[best]['ratio_to_plain'] == 1
    assert all(rows[mode]['ratio_to_plain'] >= 1 and rows[mode]['ideal_ratio'] == 1 for mode in PLAIN)
    assert all(rows[mode]['share'] == rows[mode]['kept'] == 1 for mode in PLAIN)
    for mode in set(MODES) - set(PLAIN):  # a static world: little changes
        assert 0 < rows[mode]['share'] < 0.6 and rows[mode]['kept'] < 0.6 and rows[mode]['ideal_ratio'] < 0.6
    assert rows['default']['share'] == rows['default, frame by frame']['share']  # both saw the same frames
    for row in rows.values():
        parts = sum(row[f'{stage}_ms'] for stage in ('vision', 'prune', 'prefill'))
        assert row['mean_ms'] == pytest.approx(parts, abs=0.01) and 0 < row['clocks'] < 1.05
        assert row['first_token_ms'] > 0 and row['frames'] == 8 and row['first_tokens'] == 2


@pytest.mark.parametrize('name', gpu_models.MODELS)
def test_four_cameras_are_measured_on_one_model(toy, name):
    best = toy[1]['frames', name, 'default', 1]['best_plain']
    four = {key[2]: row for key, row in toy[1].items() if key[:2] == ('frames', name) and key[3] == FOUR}
    assert set(four) == {best, 'default'} and four[best]['ratio_to_plain'] == 1
    assert four['default']['frames'] == 8 and four['default']['ideal_ratio'] < 0.6


@pytest.mark.parametrize('name', gpu_models.MODELS)
def test_what_memory_is_needed_is_what_the_package_reckons(toy, name):
    for cameras in (1, FOUR):
        needed = reckon(gpu_models.sizes_of(name, 'toy'), Settings(), 'float32', 'cpu', cameras)
        row = toy[1]['memory', name, 'default', cameras]
        assert row['needed_mib'] == pytest.approx(needed.total / 2**20, abs=0.1) and row['peak_mib'] is None


def test_the_exit_code_is_what_the_bars_say(toy):
    done, _ = toy
    assert done.returncode == int('MISSED' in done.stdout or 'not measured' in done.stdout), done.stderr
    assert ('every bar is held' in done.stdout) == (done.returncode == 0)
    for name in gpu_models.MODELS:
        assert f'left out: {name}, memory: the peak is read of a GPU only' in done.stdout
        assert f'{name}, frames: ' not in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_without_a_gpu_one_line_names_the_remedy(capsys):
    assert gpu.main([]) == 2
    out, err = capsys.readouterr()
    assert not out and err.count('\n') == 1 and './dev doctor' in err and '--device cpu --size toy' in err


@pytest.mark.parametrize('name', gpu_models.MODELS)
def test_a_model_of_full_size_has_the_weights_that_are_reckoned(name):
    if name == 'llava':
        weights = random_weights(gpu_models.LLAVA_SIZES['full'], device='meta')
    else:
        weights = gpu_models.qwen_weights('full', 'meta', torch.bfloat16)
    count = sum(p.numel() for p in weights.parameters())
    assert gpu_models.sizes_of(name, 'full').weights == pytest.approx(count, rel=0.01)
    assert count == pytest.approx({'llava': 8.03e9, 'qwen3_vl': 8.77e9}[name], rel=0.002)  # as published


GOOD = {
    'mean_ms': 6.0,
    'first_token_ms': 30.0,
    'p99_to_p50': 1.1,
    'ratio_to_plain': 0.5,
    'clocks': 0.95,
    'peak_mib': 10_500.0,
    'needed_mib': 10_000.0,
}


def rows_with(**changes):
    common = {'name': 'llava', 'mode': 'default'} | GOOD | changes
    return [common | {'what': what, 'cameras': n} for what in ('frames', 'memory') for n in (1, FOUR)]


def test_good_rows_hold_every_bar_and_no_rows_none():
    assert [held for *_, held in bars(rows_with(), ['llava'], gpu=True)] == [True] * 7
    assert [held for *_, held in bars([], ['llava'], gpu=True)] == [None] * 7
    assert len(bars([], ['llava'], gpu=False)) == 5


@pytest.mark.parametrize(
    ('changes', 'missed'),
    [
        ({'mean_ms': 7.6}, 'vision + pruner + prefill'),
        ({'first_token_ms': 33.0}, 'first token'),
        ({'p99_to_p50': 1.2}, 'p99 / p50'),
        ({'ratio_to_plain': 1.01}, 'gain'),
        ({'peak_mib': 8_900.0}, 'peak memory'),
        ({'peak_mib': 11_100.0}, 'peak memory'),
        ({'clocks': 0.3}, 'wall clock'),
        ({'clocks': 1.2}, 'wall clock'),
    ],
    ids=str,
)
def test_each_bar_can_be_missed(changes, missed):
    found = [what for what, _, held in bars(rows_with(**changes), ['llava'], gpu=True) if held is False]
    assert found and all(missed in what for what in found)


def test_a_gain_that_four_cameras_lose_is_missed():
    rows = rows_with()
    rows[1]['ratio_to_plain'] = 0.6
    assert [what for what, _, held in bars(rows, ['llava'], gpu=True) if held is False] == [
        'llava, gain with one camera and with four'
    ]


def seen(ms, recomputed=0.25, passed=False):
    return Seen({'preprocess': 0.0, 'vision': ms, 'prune': 0.0, 'prefill': 0.0}, ms, recomputed, 0.25, passed)


def test_dense_frames_do_not_count_against_steadiness_and_passes_are_told_apart():
    stream = Namespace(memory=Namespace(tokens=0))
    frames = [seen(4.0) for _ in range(40)] + [seen(50.0, recomputed=1) for _ in range(5)]
    assert figures(Watched([stream], [], frames))['p99_to_p50'] == 1
    found = figures(Watched([stream], [], frames + [seen(9.0, passed=True) for _ in range(20)]))
    assert found['p99_to_p50'] == 9 / 4 and found['dense'] == 5
    assert found['p99_to_p50_without_pass'] == found['p99_to_p50_with_pass'] == 1


def test_the_wall_clock_counts_what_a_gpu_still_does_and_not_what_it_did_before():
    clock, queued = [0.0], [0.0]

    def synchronise(_device):
        clock[0] += queued[0]
        queued[0] = 0.0

    with mock.patch('torch.cuda.synchronize', synchronise), mock.patch('stc_ros.timing.now', lambda: clock[0]):
        queued[0] = 5.0  # of before
        began = gpu_streams.start(CUDA)
        queued[0] = 0.25
        assert gpu_streams.end(CUDA, began) == 250


def test_a_camera_goes_there_and_back_without_a_cut():
    camera = Camera([np.full(1, value) for value in range(4)], fps=10.0, first=2)
    shown = [camera.next() for _ in range(8)]
    assert [int(picture[0]) for picture, _ in shown] == [2, 3, 2, 1, 0, 1, 2, 3]
    assert [stamp for _, stamp in shown[:3]] == [0, 100_000_000, 200_000_000]


def test_a_file_of_rows_is_named_after_its_gpu():
    assert gpu.results_file('NVIDIA GeForce RTX 4090 (24 GB)').name == 'gpu-nvidia-geforce-rtx-4090-24-gb.json'


def record_of(names=('llava',)):
    chosen = Namespace(size='toy', fps=10.0, json=None, video=None, profile='static', threads=1, cpu_time=False)
    return gpu.Record(chosen, list(names), gpu=True)


def test_parts_for_which_no_time_is_left_are_named(capsys):
    record = record_of()
    OneModel('llava', record, [], torch.device('cpu'), time.monotonic() - 1).measure()
    with mock.patch('os._exit') as ended:
        record.cut_off()
    ended.assert_called_once_with(1)
    out = capsys.readouterr().out
    assert all(f'left out: llava, {part}: no time was left' in out for part in PARTS)
    assert out.count('not measured ') == 7


def test_a_part_that_is_cut_short_says_by_how_much_and_one_that_fails_why():
    record = record_of()
    noise = np.random.default_rng(0).integers(0, 256, (4, 24, 24, 3), np.uint8)
    one = OneModel('llava', record, list(noise), torch.device('cpu'), time.monotonic() + 60)
    one.attempt('frames', 0.0, one.see)
    one.attempt('memory', 0.5, mock.Mock(side_effect=torch.OutOfMemoryError('CUDA out of memory.\nTried to')))
    assert record.to_come['llava', 'frames'] == '8 of 8 frames' and not record.rows
    assert record.to_come['llava', 'memory'] == 'OutOfMemoryError: CUDA out of memory.'


@pytest.mark.parametrize('name', gpu_models.MODELS)
def test_all_parts_run_on_tensors_that_say_they_are_on_a_gpu(name):
    """That nothing mixes devices or calls what is not there; figures of a GPU it cannot give."""
    if name == 'llava':
        stand_in = mock.patch.object(
            gpu_models,
            'random_model',
            lambda *_, **__: llava_onevision.build(moved(random_weights()), random_tokenizer(), name='toy'),
        )
    else:
        weights = gpu_models.qwen_weights('toy', 'cpu', torch.float32)
        stand_in = mock.patch.object(gpu_models, 'qwen_weights', lambda *_: moved(weights))
    memory = {'mem_get_info': (5 << 30, 20 << 30), 'memory_reserved': 14 << 30, 'max_memory_reserved': 16 << 30}
    memory |= {'max_memory_allocated': 15 << 30, 'reset_peak_memory_stats': None, 'synchronize': None}
    record = record_of([name])
    noise = np.random.default_rng(0).integers(0, 256, (4, 24, 24, 3), np.uint8)
    fewer = {'MODES': {mode: MODES[mode] for mode in ('plain', 'default')}, 'PLAIN': ['plain'], 'FOUR': 2}
    with (
        fake_gpu(),
        stand_in,
        mock.patch.multiple('torch.cuda', **{key: mock.Mock(return_value=value) for key, value in memory.items()}),
        mock.patch('torch.cuda.get_device_name', lambda *_: 'none'),
        mock.patch('stc_ros.stream.Stream.warm_up'),  # the same once more, for each stream
        mock.patch('gc.collect'),  # half a second, for each part
        mock.patch.multiple('gpu_one_model', **fewer),
    ):
        one = OneModel(name, record, list(noise), CUDA, time.monotonic() + 120)
        one.plan = Plan(frames=4, fill=1, asks=1)
        one.measure()
        assert torch.cuda.synchronize.call_count > 2 * 4 * 2
    assert not record.to_come
    rows = {(row['what'], row['mode'], row['cameras']): row for row in record.rows}
    assert set(rows) == {
        *(('memory', 'default', cameras) for cameras in (1, 2)),
        *(('frames', mode, cameras) for mode in ('plain', 'default') for cameras in (1, 2)),
    }
    assert rows['memory', 'default', 1]['peak_mib'] == 17 << 10  # 16 GiB, and 1 GiB of context
    assert rows['memory', 'default', 1]['context_mib'] == 1 << 10
    assert rows['frames', 'default', 1]['mean_ms'] >= 3  # each stage takes 1 ms by events that are none
    assert rows['frames', 'default', 2]['frames'] == 4 and rows['frames', 'plain', 1]['first_token_ms'] > 0
