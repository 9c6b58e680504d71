"""Which recordings are given, what they are called, which questions are theirs, and what is said of all together."""

import json

import numpy as np
import pytest
from evaluation.fake_bag import FakeBag, FakeModel, open_seen

from stc_ros.__main__ import main
from stc_ros.evaluation import cli_evaluate, results
from stc_ros.evaluation.intervals import wilson
from stc_ros.evaluation.overall import over_recordings, pooled, tables
from stc_ros.evaluation.recordings import choose_questions, find_recordings
from stc_ros.io.bags import BagError


@pytest.fixture
def place(tmp_path):
    """Makes folders (names that end in /) and files, a rosbag2 folder of a name that ends in //."""

    def make(*names):
        for name in names:
            path = tmp_path / name
            (path if name.endswith('/') else path.parent).mkdir(parents=True, exist_ok=True)
            if name.endswith('//'):
                (path / 'metadata.yaml').write_text('')
            elif not name.endswith('/'):
                path.write_bytes(b'x')
        return tmp_path

    return make


def found(root, *names, **options):
    """Names and files of the recordings of these paths."""
    return {
        each.name: [str(path.relative_to(root)) for path in each.paths]
        for each in find_recordings([root / name for name in names], **options)
    }


def test_each_path_is_a_recording_and_split_files_of_one_are_one(place):
    root = place('kitchen//', 'hall.mcap', 'run_0.mcap', 'run_1.mcap', 'run_10.mcap', 'old.db3.zstd')
    assert found(root, 'kitchen', 'hall.mcap', 'old.db3.zstd') == {
        'kitchen': ['kitchen'], 'hall': ['hall.mcap'], 'old': ['old.db3.zstd'],
    }  # fmt: skip
    assert found(root, 'run_1.mcap', 'hall.mcap', 'run_0.mcap') == {
        'run': ['run_0.mcap', 'run_1.mcap'], 'hall': ['hall.mcap'],
    }  # fmt: skip
    assert list(found(root, 'run_0.mcap', 'run_1.mcap', 'run_10.mcap')) == ['run_0', 'run_1', 'run_10']  # 2 is missing
    assert list(found(root, 'run_1.mcap')) == ['run_1']
    everything = ['kitchen', 'hall.mcap', 'run_1.mcap']
    assert found(root, *everything, one=True) == {'kitchen': everything}


def test_a_folder_stands_for_the_recordings_in_it(place):
    root = place('day/kitchen//', 'day/hall//', 'day/more/x_0.mcap', 'day/more/x_1.mcap', 'split/a_0.db3',
                 'split/a_1.db3', 'none/')  # fmt: skip
    assert found(root, 'day') == {
        'hall': ['day/hall'], 'kitchen': ['day/kitchen'], 'x': ['day/more/x_0.mcap', 'day/more/x_1.mcap'],
    }  # fmt: skip
    assert found(root, 'split') == {'split': ['split']}  # of one recording alone: it is called as the folder
    with pytest.raises(BagError, match='holds no bag'):
        find_recordings([root / 'none'])


def test_names_are_unique_by_as_many_folders_as_it_takes(place):
    root = place('a/mon/run//', 'b/mon/run//', 'b/tue/run//', 'hall//', 'hall.mcap')
    given = 'a/mon/run', 'b/tue/run', 'b/mon/run', 'hall', 'hall.mcap'
    assert list(found(root, *given)) == ['a-mon-run', 'tue-run', 'b-mon-run', 'hall', 'hall-2']
    assert found(root, 'hall', 'b/tue/run', 'hall') == {'hall': ['hall'], 'run': ['b/tue/run']}  # given twice: once


def test_questions_are_one_file_for_all_or_one_for_each_or_lie_beside(place):
    root = place('kitchen//', 'hall.mcap', 'kitchen.questions.yaml', 'day/x_0.mcap', 'day/x_1.mcap',
                 'day/x.questions.yaml')  # fmt: skip
    given = find_recordings([root / 'kitchen', root / 'hall.mcap', root / 'day/x_0.mcap', root / 'day/x_1.mcap'])
    beside = [root / 'kitchen.questions.yaml', None, root / 'day/x.questions.yaml']
    assert choose_questions(given, []) == beside
    assert choose_questions(given, ['q']) == ['q'] * 3
    assert choose_questions(given, ['a', 'b', 'c']) == ['a', 'b', 'c']
    with pytest.raises(ValueError, match=r'2 times, and there are 3 recordings \(kitchen, hall, x\)'):
        choose_questions(given, ['a', 'b'])


def summary(right, n, tag='door'):
    figures = {'accuracy': right / n if n else None, 'n': n, 'interval': [0, 1], 'controls': {'blank': 0.5}}
    none = {'n': 0}
    return {**figures, 'by_tag': {tag: figures}, 'narration': none, 'events': none, 'requirements': [], 'passed': True}


def test_pooled_figures_are_those_of_all_questions_together():
    both = pooled([summary(9, 10), summary(1, 30), summary(0, 0)])
    assert both['accuracy'] == 0.25 and both['n'] == 40 and both['interval'] == wilson(0.25, 40)
    assert both['controls'] == {'blank': 0.5} and pooled([])['accuracy'] is None


def test_the_interval_over_recordings_knows_that_questions_of_one_are_not_independent():
    alike, apart = [summary(5, 10)] * 8, [summary(10, 10), summary(0, 10)] * 4
    low, high = over_recordings(alike)
    assert low == high == 0.5
    low, high = over_recordings(apart)
    narrow = wilson(0.5, 80)
    assert high - low > 2 * (narrow[1] - narrow[0])
    rng = np.random.default_rng(1)  # eight draws of 0 or 1: the exact binomial's middle 95 %
    exact = np.quantile(rng.binomial(8, 0.5, 100_000) / 8, (0.025, 0.975))
    assert abs(low - exact[0]) <= 0.125 and abs(high - exact[1]) <= 0.125
    assert over_recordings(alike[:4]) is None


def test_a_table_for_each_recording_and_one_over_all():
    runs = {name: {'A': summary(right, 10, name), 'B': summary(0, 10)} for name, right in (('x', 9), ('y', 1))}
    said = tables(runs)
    parts = said.split('all recordings')
    assert len(parts) == 2 and parts[0].startswith('x\n') and '\ny\n' in parts[0]
    rows = {line.split()[0]: line.split() for line in parts[1].splitlines() if line.strip()}
    assert rows['A'][1:4] == ['2', '20', '0.500'] and rows['B'][1:4] == ['2', '20', '0.000']
    assert rows['y'][1:4] == ['1', '10', '0.100']  # a tag that one recording alone has
    assert 'all recordings' not in tables({'': runs['x']})


# The command

QUESTIONS = 'questions:\n  - {at: 1, question: what, expect: {contains: "%d"}, tags: [t]}\n'


@pytest.fixture
def evaluate(place, monkeypatch):
    """`stc_ros evaluate` on recordings of a fake stream: each shows frames of its own level at 0, 0.5, 1 s."""
    root, levels = place('kitchen//', 'hall//'), {'kitchen': 7, 'hall': 8}
    opened = []

    def open_stream(model, settings):
        opened.append(settings['prune_ratio'])
        return open_seen(model, settings)

    def read(paths):
        if paths[0].name not in levels:
            raise BagError(f'{paths[0]} is broken')
        return FakeBag([('/a', t / 2, levels[paths[0].name]) for t in range(3)])

    monkeypatch.setattr('stc_ros.io.bags.Bag', read)
    monkeypatch.setattr('stc_ros.stream.open_stream', open_stream)
    monkeypatch.setattr('stc_ros.evaluation.evaluate._model', lambda settings: FakeModel(opened=[]))
    monkeypatch.setattr(cli_evaluate, 'write_html', lambda folders, file: file.write_text(str(len(folders))))
    monkeypatch.chdir(root)

    def run(*options):
        return main(['evaluate', '--no-controls', '--no-narration', *options])

    run.root, run.opened = root, opened
    return run


def test_every_recording_is_evaluated_under_every_settings_file(evaluate, capsys):
    (evaluate.root / 'A.yaml').write_text('prune_ratio: 0.25')
    (evaluate.root / 'B.yaml').write_text('prune_ratio: 0.75')
    (evaluate.root / 'kitchen.questions.yaml').write_text(QUESTIONS % 7)
    (evaluate.root / 'hall.questions.yaml').write_text(QUESTIONS % 7)  # wrong: the hall's level is 8
    both = '--settings', 'A.yaml', '--settings', 'B.yaml', '--out', 'out'
    assert evaluate('kitchen', 'hall', *both) == 0
    assert evaluate.opened == [0.25, 0.75, 0.25, 0.75]
    accuracy = {
        f'{bag}/{name}': results.read_summary(evaluate.root / 'out' / bag / name)['accuracy']
        for bag in ('kitchen', 'hall')
        for name in 'AB'
    }
    assert accuracy == {'kitchen/A': 1, 'kitchen/B': 1, 'hall/A': 0, 'hall/B': 0}
    overall = json.loads((evaluate.root / 'out' / 'overall.json').read_text())
    assert overall['A']['accuracy'] == 0.5 and overall['A']['recordings'] == overall['A']['n'] == 2
    assert (evaluate.root / 'out' / 'report.html').read_text() == '4'
    said = capsys.readouterr()
    assert 'all recordings' in said.out and 'questions: kitchen.questions.yaml' in said.err
    assert evaluate('kitchen', 'hall', *both) == 0 and len(evaluate.opened) == 4  # finished: nothing is done anew
    assert evaluate('kitchen', *both) == 0 and (evaluate.root / 'out' / 'A' / 'result.jsonl').exists()


def test_recordings_that_cannot_be_read_are_named_and_the_others_evaluated(evaluate, capsys, place):
    place('broken//')
    (evaluate.root / 'q.yaml').write_text(QUESTIONS % 8)
    assert evaluate('broken', 'hall', '--questions', 'q.yaml', '--out', 'out') == 2
    assert 'broken is broken' in capsys.readouterr().err
    assert results.read_summary(evaluate.root / 'out' / 'hall' / 'default')['accuracy'] == 1
    assert evaluate('kitchen', 'hall', '--questions', 'q.yaml', '--questions', 'q.yaml', '--out', 'o') == 0
    assert evaluate('kitchen', 'hall', '--one', '--questions', 'q.yaml', '--questions', 'q.yaml', '--out', 'o') == 2
    assert 'there are 1 recordings' in capsys.readouterr().err


def test_of_very_many_runs_each_recording_has_its_own_report(evaluate, monkeypatch):
    monkeypatch.setattr(cli_evaluate, 'MOST_RUNS', 1)
    assert evaluate('kitchen', 'hall', '--out', 'out') == 0
    assert {str(f.relative_to(evaluate.root / 'out')) for f in evaluate.root.glob('out/**/*.html')} == {
        'kitchen/report.html', 'hall/report.html',
    }  # fmt: skip
