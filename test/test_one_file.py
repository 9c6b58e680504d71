"""A pruner, a memory and a data set of one's own: each is one new file on the path, and nothing else is edited."""

import json
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT

FILES = {
    'pruning/halves.py': '''
from dataclasses import dataclass
import torch
from stc_ros.parameter_spec import param
from stc_ros.parameters import pruners
from stc_ros.pruning.base import ScorePruner

@pruners.register('halves', scope='frame')
@dataclass
class Halves(ScorePruner):
    """Every `step`-th token first, then the others."""
    step: int = param(2, 'Every so-many-th token goes first.', low=1, high=16)

    def score(self, frame):
        return (torch.arange(len(frame.hidden)) % self.step == 0).float()
''',
    'memory/short.py': '''
from dataclasses import dataclass, replace
from stc_ros.memory.window import SlidingWindow
from stc_ros.parameter_spec import param
from stc_ros.parameters import memories

@memories.register('short', scope='newest frames')
@dataclass
class ShortWindow(SlidingWindow):
    """Keeps the newest frames, fewer of them."""
    share: float = param(0.5, 'How much of memory.max_tokens is used.', low=0.1, high=1.0)

    def create(self, decoder, prefix, limits):
        return super().create(decoder, prefix, replace(limits, tokens=round(self.share * limits.tokens)))
''',
    'evaluation/datasets/blink.py': '''
from dataclasses import dataclass
import numpy as np
from stc_ros.evaluation.datasets.base import Episode, Question, datasets
from stc_ros.parameter_spec import param

@datasets.register('blink', scope='light and dark')
@dataclass
class Blink:
    """Whether it is light now."""
    frames: int = param(4, 'How often it blinks.', unit='frames', low=2, high=100)

    def episodes(self):
        frames = ((t, np.full((48, 48, 3), 250 * (t % 2), np.uint8)) for t in range(self.frames))
        yield Episode('one', frames, (Question(self.frames - 1, 'is it light ?', 'yes', ('light',)),))

    def score(self, question, answer):
        return float(answer.strip() == question.expected)
''',
    'vision/cachers/idle.py': '',  # that it is found is all that is tested: what a cacher is takes more lines
    'models/families/mine.py': '',
}

USE = """
import contextlib, io, json, sys
from importlib.util import find_spec
from stc_ros.evaluation import quality, run
from stc_ros.models.random import random_model
from stc_ros.settings import Settings
from stc_ros.settings_export import to_markdown
from stc_ros.stream import open_stream
from worlds import moving_square

def printed(function, *arguments):
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        function(*arguments)
    return text.getvalue()

settings = Settings({'pruner': 'halves', 'pruner.halves.step': 3, 'memory': 'short', 'memory.short.share': 0.25})
stream = open_stream(random_model(), settings | {'prune_ratio': 0.6, 'cacher': 'none', 'memory.max_tokens': 200})
reports = [stream.see(frame, stamp) for stamp, frame in enumerate(moving_square(2))]
asked = ['--dataset', 'blink', '--dataset.blink.frames', '3', '--pruner', 'halves', '--memory', 'short', '--json']
print(json.dumps({
    'pruner': [type(stream.pruner).__name__, stream.pruner.step, reports[1].kept.tolist()],
    'memory': stream.memory.capacity,
    'answer': ''.join(stream.ask('what ?', 4)),
    'quality --help': printed(quality.main, ['--help']),
    'run --help': printed(run.main, ['--help']),
    'run --list': printed(run.main, ['--list']),
    'run': printed(run.main, [*asked, sys.argv[1]]),
    'parameters --markdown': to_markdown(),
    'found': [name for name in ('stc_ros.vision.cachers.idle', 'stc_ros.models.families.mine') if find_spec(name)],
}))
"""
NAMES = {'halves': 'pruner.halves.step', 'short': 'memory.short.share', 'blink': 'dataset.blink.frames'}


@pytest.fixture(scope='module')
def python(tmp_path_factory):
    """`python(argument, ...)` runs a Python that has the new files on its path -> what it printed."""
    folder = tmp_path_factory.mktemp('one_file')
    for name, code in FILES.items():
        file = folder / 'stc_ros' / name
        file.parent.mkdir(parents=True)
        file.write_text(code)
    paths = map(str, (folder, ROOT, ROOT / 'test', os.environ.get('PYTHONPATH', '')))
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(paths), 'OMP_NUM_THREADS': '1'}

    def run(*arguments, allowed=(0,)):
        done = subprocess.run(
            [sys.executable, *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.returncode in allowed, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope='module')
def used(python, tmp_path_factory):
    file = tmp_path_factory.mktemp('rows') / 'rows.json'
    found = json.loads(python('-c', USE, file))
    found['rows'] = [json.loads(line) for line in file.read_text().splitlines()]
    return found


def test_they_are_chosen_by_name_with_their_parameters(used):
    assert used['pruner'] == ['Halves', 3, [0, 1, 3, 6]]  # of nine tokens: three that go first, and one of the others
    assert used['memory'] == 50 and used['answer']


def test_cachers_and_model_families_may_lie_elsewhere_too(used):
    assert len(used['found']) == 2


@pytest.mark.parametrize('place', ['quality --help', 'run --help', 'parameters --markdown'])
def test_their_parameters_stand_in_every_table(used, place):
    parameters = [NAMES['halves'], NAMES['short'], *([NAMES['blink']] if place == 'run --help' else [])]
    assert all(name in used[place] for name in parameters)


def test_the_node_takes_them(python):
    pytest.importorskip('rclpy', reason='rclpy is not installed: run ./dev test, or source a ROS 2')
    pytest.importorskip('stc_ros.msg', reason='the interfaces are not built: run ./dev build')
    said = python('-m', 'stc_ros.ros.main', '--help')
    assert all(name in said for name in (NAMES['halves'], NAMES['short']))


def test_the_data_set_is_listed_and_asked(used):
    assert '`blink`' in used['run --list'] and '`dataset.blink.frames` (4)' in used['run --list']
    (row,) = used['rows']
    assert (row['question'], row['stamp'], row['tags']) == ('is it light ?', 2, ['light'])
    assert "'pruner.method': 'halves'" in used['run'] and 'light' in used['run']


def test_the_contract_tests_run_them(python):
    contracts = [f'test/{kind}_contract.py' for kind in (
        'pruning/test_pruners', 'memory/test_memories', 'evaluation/test_datasets')]  # fmt: skip
    said = python('-m', 'pytest', '-v', '-p', 'no:cacheprovider', '-k', ' or '.join(NAMES), *contracts)
    for name, fewest in (('halves', 10), ('short', 10), ('blink', 5)):
        assert len(re.findall(rf'\[.*\b{name}\b.*\] PASSED', said)) >= fewest, said


def test_the_benchmark_measures_the_pruner(python, tmp_path):
    python(
        'benchmarks/pruners.py',
        '--model',
        'embedded',
        '--frames',
        '2',
        '--threads',
        '1',
        '--json',
        tmp_path / 'rows',
        allowed=(0, 1),  # 1: a row of one frame was faster than can be believed, by chance
    )
    assert 'halves' in {row['mode'] for row in json.loads((tmp_path / 'rows').read_text())}
