"""`evaluate --realtime`: a bag with its clock to the node itself, beside the evaluation without a clock."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

pytest.importorskip('rclpy', reason='rclpy is not installed: run ./dev test, or source a ROS 2')
pytest.importorskip('stc_ros.msg', reason='the interfaces are not built: run ./dev build')

sys.path.insert(0, str(ROOT / 'benchmarks'))
from realtime import differences, read  # noqa: E402
from small_bags import pixels, stamp  # noqa: E402

from stc_ros.__main__ import main  # noqa: E402
from stc_ros.evaluation.realtime_metrics import KEY  # noqa: E402
from stc_ros.io.bag_writer import BagWriter  # noqa: E402
from stc_ros.realtime.node_process import node_parameters  # noqa: E402
from stc_ros.settings import Settings  # noqa: E402

FRAMES, RATE = 12, 8.0
WHAT = 'frame', 'question'


def metrics(folder):
    return json.loads((folder / 'metrics.json').read_text())


def evaluate(folder, out, *more):
    words = ['evaluate', folder / 'bag', '--questions', folder / 'q.yaml', '--out', folder / out, *more]
    return main([str(word) for word in words]), folder / out / 'default'


def rests_on(lines):
    """By question the newest frame that its answer knows, and all frames."""
    return [(line.get('id'), line.get('last_stamp', line['stamp'])) for line in lines if line['kind'] in WHAT]


def test_slowly_enough_it_answers_as_without_a_clock(tmp_path):
    """The same questions, on the same frames, have the same answers; a control says that a difference is seen."""
    made = [
        'bag',
        'from-synthetic',
        '--seconds',
        FRAMES / RATE,
        '--rate',
        RATE,
        '--count',
        3,
    ]  # each at a time of its own
    made += ['--out', tmp_path / 'bag', '--questions', tmp_path / 'q.yaml']
    assert main([str(word) for word in made]) == 0
    (tmp_path / 'w.yaml').write_text('watches: [{name: circle, condition: "is there a white circle ?", looks: 1}]')
    watches = '--watches', tmp_path / 'w.yaml'
    code, exact = evaluate(tmp_path, 'exact', '--no-controls', '--no-bag', *watches)
    assert code == 0
    without = read(exact)
    for attempt in ('played', 'again'):  # where a machine does too much else, 0.2 is not slow enough
        code, played = evaluate(tmp_path, attempt, '--realtime', '0.2', *watches)
        assert code == 0
        with_clock = read(played)
        if rests_on(without) == rests_on(with_clock):
            break
    assert differences(without, with_clock) == {}
    events = [[each for each in lines if each['kind'] == 'event'] for lines in (without, with_clock)]
    assert events[0] == events[1] and events[0][0]['event'] == 'circle rising'
    (camera,), asked = metrics(played)['cameras'].values(), metrics(played)['questions']
    assert camera[KEY + 'NUM_FRAMES_SENT'] == camera['frames_received'] == FRAMES
    assert camera[KEY + 'NUM_MISSED_FRAMES'] == camera['frames_dropped'] == camera['frames_lost'] == 0
    assert sum(line['kind'] == 'question' for line in with_clock) == asked['answers'] == 3
    assert asked['answers_behind'] == 0

    other = copy.deepcopy(with_clock)
    (*_, last) = (line for line in other if line['kind'] == 'question')
    last['last_stamp'] -= round(1e9 / RATE)
    other.remove(next(line for line in other if line['kind'] == 'frame'))
    assert len(differences(without, other)) == 2

    assert with_clock[0]['realtime'] == 0.2 and without[0].keys() == with_clock[0].keys() - {'realtime'}
    assert [line['kind'] for line in without] == [line['kind'] for line in with_clock if line['kind'] != 'narration']
    for line in with_clock:
        if line['kind'] == 'question':
            assert (played / line['thumbnail']).stat().st_size and (played / line['overlay']).stat().st_size
    ages = [
        json.loads(line)['age_ms'] for line in (played / 'timing.jsonl').read_text().splitlines() if 'age_ms' in line
    ]
    assert len(ages) == FRAMES and min(ages) > 0
    assert (played / 'result.mcap').stat().st_size > 1000 and (played.parent / 'report.html').exists()
    before = (played / 'metrics.json').stat().st_mtime_ns
    assert evaluate(tmp_path, attempt, '--realtime', '0.2', *watches)[0] == 0  # it is finished: not played again
    assert (played / 'metrics.json').stat().st_mtime_ns == before


def test_in_haste_frames_are_missed_and_every_one_is_accounted_for(tmp_path):
    """Two cameras, one of them of JPEGs, much faster than the node can be."""
    with BagWriter(tmp_path / 'bag') as writer:
        for number in range(30):
            writer.image('/left/image_raw', stamp(number), pixels(number, 64), 'left', 'raw')
            writer.image('/right/image_raw', stamp(number), pixels(number, 64), 'right', 'jpeg')
    cameras = '/left/image_raw', '/right/image_raw/compressed'
    questions = [
        {'at': 2.85, 'camera': camera, 'question': 'what ?', 'expect': {'pattern': '.'}, 'deadline': 0.001}
        for camera in cameras
    ]
    (tmp_path / 'q.yaml').write_text(yaml.safe_dump({'questions': questions}))
    code, played = evaluate(tmp_path, 'out', '--no-narration', '--no-bag', '--realtime', '40')
    found, lines = metrics(played), read(played)
    assert code in (0, 1) and tuple(found['cameras']) == cameras
    for topic, camera in found['cameras'].items():
        assert camera[KEY + 'NUM_FRAMES_SENT'] == 30
        assert 0 < camera['frames_processed'] < 30 and camera['frames_dropped'] + camera['frames_lost'] > 0
        assert camera['frames_processed'] == sum(
            line['kind'] == 'frame' and line['camera'] == topic and not line['invalid'] for line in lines
        )
        assert camera['frames_received'] >= camera['frames_processed'] + camera['frames_dropped']
    asked = found['questions']
    assert asked['questions'] == asked['deadlines_missed'] == 2  # where no frame has been processed yet, too
    assert not [line for line in lines if line['kind'] == 'narration']
    assert [line['camera'] for line in lines if line['kind'] == 'question'] == [*cameras]


def test_a_model_that_cannot_be_loaded_is_said_at_once(tmp_path, capsys):
    with BagWriter(tmp_path / 'bag') as writer:
        writer.image('/camera/image_raw', stamp(0), pixels(0), 'lens', 'raw')
    (tmp_path / 'a.yaml').write_text(f'model: "{tmp_path}/nowhere"')
    words = ['evaluate', tmp_path / 'bag', '--settings', tmp_path / 'a.yaml', '--realtime', '--out', tmp_path / 'out']
    assert main([str(word) for word in words]) == 2
    assert f'there is no model folder {tmp_path}/nowhere' in capsys.readouterr().err.replace("'", '')
    assert not list(tmp_path.glob('out/*/result.jsonl'))


@pytest.mark.parametrize('given, said', [(['--jobs', '2'], '--jobs'), (['--questions', 'gain.yaml'], 'gain')])
def test_what_goes_only_without_a_clock_is_refused(tmp_path, capsys, monkeypatch, given, said):
    monkeypatch.chdir(tmp_path)
    question = {'at': 0, 'question': 'what ?', 'expect': {'exact': 'a'}}
    with BagWriter(Path('bag')) as writer:
        writer.image('/camera/image_raw', stamp(0), pixels(0), 'lens', 'raw')
    Path('gain.yaml').write_text(yaml.safe_dump({'questions': [question], 'require': ['gain >= 0.1']}))
    assert main(['evaluate', 'bag', '--realtime', '2', *given]) == 2
    assert said in capsys.readouterr().err


def test_without_ros_it_says_where_ros_comes_from(tmp_path):
    code = "import sys; sys.modules['rclpy'] = None; from stc_ros.__main__ import main; sys.exit(main())"
    words = ['evaluate', str(tmp_path), '--realtime']
    done = subprocess.run([sys.executable, '-c', code, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert 'source ROS 2' in done.stderr and './dev evaluate' in done.stderr


def test_a_rate_that_is_a_bag_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(['evaluate', '--realtime', str(tmp_path / 'bag')])
    assert 'behind the bags' in capsys.readouterr().err


def test_what_the_node_counts_by_the_computers_clock_becomes_the_streams():
    settings = Settings({'expert.prefill_wait': 0.5, 'input.max_rate': 4.0, 'prune_ratio': 0.5})
    slow = node_parameters(settings, 0.2)
    assert slow['expert.prefill_wait'] == pytest.approx(2.5) and slow['input.max_rate'] == pytest.approx(0.8)
    assert slow['prune_ratio'] == 0.5 and slow['use_sim_time'] is True
    fast = node_parameters(settings, 100.0)
    assert fast['input.max_rate'] == 60.0 and fast['expert.prefill_wait'] == pytest.approx(0.005)
    assert node_parameters(Settings(), 3.0)['input.max_rate'] == 0.0  # of all, as ever
