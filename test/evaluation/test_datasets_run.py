"""The runner: what it shows when, what it asks when, what it writes, and where it goes on."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from stc_ros.evaluation import run as runner
from stc_ros.evaluation.dataset_ask import VIEWS, ask_episode
from stc_ros.evaluation.dataset_rows import RowFile, RowsError
from stc_ros.evaluation.dataset_table import metrics, table
from stc_ros.evaluation.datasets.base import Episode, EpisodeError, Part, Poll, Question, timed
from stc_ros.evaluation.intervals import combined, wilson
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


class Ready(Seen):
    """Says yes when the newest frame is bright enough."""

    def ask(self, text):
        newest = self.shown[-1][1] if self.shown else 0
        return iter((('Yes' if newest >= 3 else 'no') if text == 'now?' else f'{text} {newest}',))


def frames(levels=(1, 2, 3, 4, 5)):
    """One shot: a video is read once."""
    return ((10 * t, np.full((2, 2, 3), level, np.uint8)) for t, level in enumerate(levels))


def asked(monkeypatch, *stamps, controls=True, stream=Seen, poll=None):
    monkeypatch.setattr('stc_ros.stream.open_stream', lambda model, settings: stream())
    questions = tuple(Question(stamp, f'q{stamp}', 'x', ('a',), poll=poll) for stamp in stamps)
    return [answers for _, answers in ask_episode(None, Episode('one', frames(), questions), Settings(), controls)]


def test_a_question_knows_every_frame_up_to_its_time_and_none_behind(monkeypatch):
    answers = [found['shown'] for found in asked(monkeypatch, 0, 9, 10, 10, 29, 30, 99)]
    assert answers == ['q0 1', 'q9 1', 'q10 1 2', 'q10 1 2', 'q29 1 2 3', 'q30 1 2 3 4', 'q99 1 2 3 4 5']


def test_the_controls_know_nothing_the_newest_frame_or_the_last_four(monkeypatch):
    found = asked(monkeypatch, 0, 25, 30, 40)
    assert [each['newest'] for each in found] == ['q0 1', 'q25 3', 'q30 4', 'q40 5']
    assert [each['last4'] for each in found] == ['q0 1', 'q25 1 2 3', 'q30 1 2 3 4', 'q40 2 3 4 5']
    assert [each['blank'] for each in found] == ['q0 128', 'q25 128', 'q30 128', 'q40 128']


def test_controls_can_be_left_out_and_a_question_before_the_first_frame_has_no_answer(monkeypatch):
    assert asked(monkeypatch, -1, 30, controls=False) == [{'shown': ''}, {'shown': 'q30 1 2 3 4'}]
    assert asked(monkeypatch, -1)[0] == {**dict.fromkeys(VIEWS, ''), 'blank': 'q-1 128'}


def test_frames_behind_the_last_question_are_not_read(monkeypatch):
    monkeypatch.setattr('stc_ros.stream.open_stream', lambda model, settings: Seen())
    read = []
    watched = (read.append(stamp) or (stamp, frame) for stamp, frame in frames())
    list(ask_episode(None, Episode('one', watched, (Question(10, 'q', 'x'),)), Settings(), False))
    assert read == [0, 10, 20]


def test_a_poll_is_answered_by_each_view_at_its_first_yes(monkeypatch):
    (found,) = asked(monkeypatch, 40, stream=Ready, poll=Poll('now?', 0, 10))
    assert found == {
        'shown': timed(20, 'q40 3'), 'newest': timed(20, 'q40 3'), 'last4': timed(20, 'q40 3'),
        'blank': timed(0, 'q40 128'),
    }  # fmt: skip


def test_a_poll_that_is_never_told_yes_has_no_answer_and_ends_at_its_time(monkeypatch):
    (found,) = asked(monkeypatch, 15, stream=Ready, poll=Poll('now?', 0, 10), controls=False)
    assert found == {'shown': ''}


class Data:
    """Two episodes; the first one's frames may end in an error."""

    def __init__(self, fails=False):
        self.fails = fails

    def episodes(self):
        for name in ('one', 'two'):
            yield Episode(name, self.frames(name), tuple(Question(t, f'{name}{t}', 'x', ('a',)) for t in (5, 15, 35)))

    def frames(self, name):
        yield from frames((1, 2))
        if name == 'one' and self.fails:
            raise EpisodeError('one.mp4 is broken')
        yield 20, np.full((2, 2, 3), 3, np.uint8)

    def score(self, question, answer):
        return {'strict': 0.0, 'lenient': float(bool(answer))}


def rows_of(monkeypatch, file, data, stop=None, run='r'):
    """Ask, ending behind `stop` rows as if killed -> rows, problems, and how many questions were asked."""
    count = []

    class Counted(Seen):
        def ask(self, text):
            count.append(text)
            return super().ask(text)

    monkeypatch.setattr('stc_ros.stream.open_stream', lambda model, settings: Counted())
    rows, problems = [], []
    for row in runner.run(None, data, Settings(), RowFile(file, run), problems, controls=False):
        rows.append(row)
        if len(rows) == stop:
            break
    return rows, problems, len(count)


def test_a_broken_episode_is_named_with_what_was_not_asked_and_the_rest_goes_on(monkeypatch):
    rows, problems, _ = rows_of(monkeypatch, None, Data(fails=True))
    assert [row['question'] for row in rows] == ['one5', 'two5', 'two15', 'two35']
    assert problems == ['one.mp4 is broken; 2 of 3 questions were not asked']


@pytest.mark.parametrize('stop', range(1, 7))
def test_a_killed_run_goes_on_by_episode_to_the_same_bytes(monkeypatch, tmp_path, stop):
    whole, killed = tmp_path / 'whole.jsonl', tmp_path / 'killed.jsonl'
    expected, _, _ = rows_of(monkeypatch, whole, Data())
    rows_of(monkeypatch, killed, Data(), stop)
    assert len(killed.read_text().splitlines()) == stop  # written as they come
    with killed.open('a') as file:
        file.write('{"run": "r", "episode": "tw')  # the line in which it was killed
    rows, _, count = rows_of(monkeypatch, killed, Data())
    assert rows == expected and killed.read_bytes() == whole.read_bytes()
    assert count == 6 - 3 * (stop // 3)  # finished episodes are not asked again


def test_an_episode_that_could_not_be_shown_is_asked_again_and_stands_in_its_place(monkeypatch, tmp_path):
    whole, mended = tmp_path / 'whole.jsonl', tmp_path / 'mended.jsonl'
    rows_of(monkeypatch, whole, Data())
    rows_of(monkeypatch, mended, Data(fails=True))
    _, problems, count = rows_of(monkeypatch, mended, Data())
    assert mended.read_bytes() == whole.read_bytes() and not problems and count == 3


@pytest.mark.parametrize('content, said', [('{"run": "another", "episode": "one"}\n', 'another run'),
                                           ('{"a": 1}\n', ':1 is no row'), ('[]\nx\n', ':1 is no row')])  # fmt: skip
def test_a_file_of_something_else_is_not_overwritten(tmp_path, content, said):
    file = tmp_path / 'rows.jsonl'
    file.write_text(content)
    with pytest.raises(RowsError, match=said):
        RowFile(file, 'r')
    assert file.read_text() == content


ROWS = [
    {'id': '1', 'tags': ['a', 'x'],
     'scores': {'shown': {'strict': 1.0, 'time': 1.0}, 'blank': {'strict': 0.0, 'time': 0.0}}},
    {'id': '2', 'tags': ['b', 'x'], 'scores': {'shown': {'strict': 0.5}, 'blank': {'strict': 0.0}}},
]  # fmt: skip


def test_a_table_is_by_tag_over_all_and_by_the_figures_of_the_authors():
    def totals(scored):
        return {'half of all': [Part(0.5, s.score, 1) for s in scored]}

    lines = table(ROWS, 'strict', totals)
    assert lines[0] == ['strict', 'n', 'shown', 'blank']
    assert [line[:2] for line in lines[1:]] == [['a', '1'], ['x', '2'], ['b', '1'], ['all', '2'], ['half of all', '2']]
    assert [line[2].split()[0] for line in lines[1:]] == ['1.000', '0.750', '0.500', '0.750', '0.750']
    low, high = wilson(0.75, 2)
    assert lines[4][2] == f'0.750 [{low:.2f}, {high:.2f}]'


def test_a_metric_that_only_some_questions_have_is_over_these():
    assert metrics(ROWS) == ['strict', 'time']
    assert [line[:2] for line in table(ROWS, 'time')] == [['time', 'n'], ['a', '1'], ['x', '1'], ['all', '1']]


def test_a_figure_of_one_part_has_the_interval_of_that_part_and_more_parts_make_it_surer():
    value, bounds = combined([Part(1.0, 0.3, 40)])
    assert value == 0.3 and bounds == pytest.approx(wilson(0.3, 40), abs=1e-5)
    value, (low, high) = combined([Part(0.25, 0.3, 40)] * 4)
    assert value == pytest.approx(0.3) and bounds[0] < low < 0.3 < high < bounds[1]
    assert combined([Part(0.5, 1.0, 10), Part(0.5, 1.0, 10)])[1][1] == 1.0


def test_the_command_writes_a_line_for_every_question(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr('stc_ros.models.load_model', lambda settings: random_model(seed=5))
    file = tmp_path / 'folder' / 'rows.jsonl'
    options = ['--dataset.synthetic.streams', '1', '--dataset.synthetic.profile', 'night', '--json', str(file)]
    assert runner.main([*options, '--dataset.synthetic.frames', '6', '--query.max-new-tokens', '2']) == 0
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) > 5
    for row in rows:
        assert {'episode', 'id', 'stamp', 'question', 'expected', 'tags', 'answers', 'scores'} < set(row)
        assert set(row['answers']) == set(row['scores']) == set(VIEWS) and row['tags'][1] == 'night'
    printed = capsys.readouterr().out.splitlines()
    assert next(line for line in printed if line.startswith('all ')).split()[1] == str(len(rows))
    assert runner.main([*options, '--dataset.synthetic.frames', '7', '--query.max-new-tokens', '2']) == 2
    assert 'another run' in capsys.readouterr().err


def test_help_and_list_name_every_data_set_with_its_parameters_and_source(capsys):
    assert runner.main(['--list']) == 0
    listed = capsys.readouterr().out
    with pytest.raises(SystemExit):
        runner.main(['--help'])
    helped = capsys.readouterr().out
    for part in runner.datasets:
        assert part.text in listed and part.source and part.source in listed and f'data set {part.name}' in helped
        for name in part.parameters:
            assert f'`{name}`' in listed and f'--{name}'.replace('_', '-') in helped


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
