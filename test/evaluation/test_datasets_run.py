"""The runner: what it shows when, what it asks when, and what it writes."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from stc_ros.evaluation import run as runner
from stc_ros.evaluation.datasets.base import Episode, Question
from stc_ros.models.random import random_model
from stc_ros.settings import Settings
from stc_ros.stream import NothingSeen


class Seen:
    """A stream whose answer names the frames that it was shown, by their brightness."""

    def __init__(self):
        self.shown = []

    def see(self, frame, stamp):
        assert not self.shown or stamp > self.shown[-1][0]
        self.shown.append((stamp, int(frame[0, 0, 0])))

    def ask(self, text):
        if not self.shown:
            raise NothingSeen('no frame')
        return iter((text, ' ', ' '.join(str(level) for _, level in self.shown)))

    def reset(self):
        self.shown = []


def frames(levels=(1, 2, 3, 4)):
    """One shot: a video is read once."""
    return ((10 * t, np.full((2, 2, 3), level, np.uint8)) for t, level in enumerate(levels))


def asked(monkeypatch, *stamps, views=runner.VIEWS):
    monkeypatch.setattr('stc_ros.stream.open_stream', lambda model, settings: Seen())
    episode = Episode('one', frames(), tuple(Question(stamp, f'q{stamp}', 'x', ('a',)) for stamp in stamps))
    return [answers for _, answers in runner.ask_episode(None, episode, Settings(), views)]


def test_a_question_knows_every_frame_up_to_its_time_and_none_behind(monkeypatch):
    answers = [found['shown'] for found in asked(monkeypatch, 0, 9, 10, 10, 29, 30)]
    assert answers == ['q0 1', 'q9 1', 'q10 1 2', 'q10 1 2', 'q29 1 2 3', 'q30 1 2 3 4']


def test_the_controls_know_nothing_or_the_newest_frame_alone(monkeypatch):
    found = asked(monkeypatch, 0, 25, 30)
    assert [each['newest'] for each in found] == ['q0 1', 'q25 3', 'q30 4']
    assert [each['blank'] for each in found] == ['q0 128', 'q25 128 128 128', 'q30 128 128 128 128']


def test_controls_can_be_left_out_and_a_question_before_the_first_frame_has_no_answer(monkeypatch):
    assert asked(monkeypatch, -1, 30, views=('shown',)) == [{'shown': ''}, {'shown': 'q30 1 2 3 4'}]
    assert asked(monkeypatch, -1)[0] == dict.fromkeys(runner.VIEWS, '')


def test_accuracy_is_by_tag_and_over_all():
    rows = [
        {'tags': ['a', 'x'], 'scores': {'shown': 1.0, 'blank': 0.0, 'newest': 1.0}},
        {'tags': ['b', 'x'], 'scores': {'shown': 0.5, 'blank': 0.0, 'newest': 0.0}},
    ]
    assert runner.accuracy(rows) == [
        ['tag', 'n', 'accuracy', 'blank', 'newest'],
        ['a', '1', '1.000', '0.000', '1.000'],
        ['x', '2', '0.750', '0.000', '0.500'],
        ['b', '1', '0.500', '0.000', '0.000'],
        ['all', '2', '0.750', '0.000', '0.500'],
    ]


def test_the_command_writes_a_line_for_every_question(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr('stc_ros.models.load_model', lambda settings: random_model(seed=5))
    file = tmp_path / 'folder' / 'rows.jsonl'
    options = ['--dataset.synthetic.streams', '1', '--dataset.synthetic.profile', 'night', '--json', str(file)]
    assert runner.main([*options, '--dataset.synthetic.frames', '6', '--query.max-new-tokens', '2']) == 0
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) > 5
    for row in rows:
        assert set(row) == {'episode', 'stamp', 'question', 'expected', 'tags', 'answers', 'scores'}
        assert set(row['answers']) == set(row['scores']) == set(runner.VIEWS) and row['tags'][1] == 'night'
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1].split()[:2] == ['all', str(len(rows))]


def test_help_and_list_name_every_data_set_with_its_parameters(capsys):
    assert runner.main(['--list']) == 0
    listed = capsys.readouterr().out
    with pytest.raises(SystemExit):
        runner.main(['--help'])
    helped = capsys.readouterr().out
    for part in runner.datasets:
        assert part.text in listed and f'data set {part.name}' in helped
        for name in part.parameters:
            assert f'`{name}`' in listed and f'--{name}' in helped


@pytest.mark.parametrize(
    'options, said',
    [
        (['--dataset', 'nowhere'], 'nowhere'),
        (['--dataset.synthetic.streams', '0'], 'dataset.synthetic.streams must lie in'),
        (['--dataset.synthetic.profile', 'dusk'], 'must be one of all, static'),
        (['--prune-ratio', '7'], 'prune_ratio must lie in'),
    ],
    ids=str,
)
def test_what_cannot_be_is_said_in_a_line(options, said, capsys):
    with pytest.raises(SystemExit) as ended:
        runner.main(options)
    assert ended.value.code == 2 and said in capsys.readouterr().err.splitlines()[-1]


def test_a_part_of_another_package_is_described_like_the_own(monkeypatch):
    spec = SimpleNamespace(default=3)
    part = SimpleNamespace(name='mine', text='Mine.', scope='me', source='x', parameters={'dataset.mine.n': spec})
    monkeypatch.setattr(runner, 'datasets', [part])
    assert runner.list_datasets().splitlines()[-1] == '| `mine` | Mine. | me | x | `dataset.mine.n` (3) |'
