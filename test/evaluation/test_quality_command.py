"""`./dev quality`: what it writes, what it says of mistakes, and that it leaves no processes behind."""

import json
import time

import pytest
from processes import children_of, gone

from stc_ros.evaluation import quality
from stc_ros.evaluation.conditions import CONTROLS
from stc_ros.models.random import random_model
from stc_ros.synthetic.forms import TYPES


@pytest.fixture(scope='module')
def model():
    return random_model(seed=5)


def test_the_command_writes_what_it_promises_and_repeats(model, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr('stc_ros.models.load_model', lambda settings: model)
    results = []
    for run, seed in enumerate((7, 7, 8)):
        file = tmp_path / f'{run}' / 'quality.json'
        assert (
            quality.main(
                [
                    '--profile',
                    'static',
                    '--streams',
                    '1',
                    '--seed',
                    str(seed),
                    '--jobs',
                    '1',
                    '--query.max-new-tokens',
                    '4',
                    '--prune-ratio',
                    '0.5',
                    '--json',
                    str(file),
                ]
            )
            == 0
        )
        results.append(json.loads(file.read_text()))
    printed = capsys.readouterr().out
    assert 'does not test this' in printed and 'retention' in printed
    one, two, other = results
    assert one == two and one['seed'] == 7 and other['seed'] == 8
    assert set(one) == {'types', 'retention', 'narration', 'profile', 'settings', 'seed'}
    assert set(one['types']) == set(TYPES) and set(one['narration']) == {'object_f1', 'clause_f1'}
    for figures in one['types'].values():
        assert set(figures) == {'n', 'plain', 'with_settings', 'retention', 'interval', 'controls', 'tests_it'}
        assert set(figures['controls']) == set(CONTROLS) and len(figures['interval']) == 2
    assert one['profile'] == 'static' and one['settings']['prune_ratio'] == 0.5


def test_the_command_says_what_is_wrong(capsys):
    with pytest.raises(SystemExit):
        quality.main(['--prune-ratio', '7'])
    assert 'prune_ratio must lie in' in capsys.readouterr().err
    assert quality.main(['--model', '/nowhere/model']) == 1
    assert 'there is no model folder' in capsys.readouterr().err


def test_the_workers_of_a_killed_measurement_end(launch_process):
    process = launch_process('stc_ros.evaluation.quality', '--streams', '40', '--jobs', '2')
    end = time.monotonic() + 60
    while len(workers := children_of(process.pid)) < 3 and time.monotonic() < end:  # and what tracks resources
        time.sleep(0.05)
    time.sleep(3)
    process.kill()
    process.wait()
    end = time.monotonic() + 20
    while not gone(workers) and time.monotonic() < end:
        time.sleep(0.05)
    assert len(workers) == 3 and gone(workers)
