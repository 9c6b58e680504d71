"""Every data set that lies on disk, made in its published layout and asked of responders whose score is known."""

import json
import re
from collections import defaultdict

import pytest
from made_datasets import MAKERS, RATE, SECONDS, make_video, number_of, parameters

from stc_ros.evaluation import run as runner
from stc_ros.evaluation.dataset_rows import RowFile
from stc_ros.evaluation.dataset_table import table
from stc_ros.evaluation.datasets.base import DatasetError, datasets
from stc_ros.settings import Settings

VIDEOS = [name for name in MAKERS if name != 'bag']
SHARE_OF_A = {'ovo_bench': 2 / 11, 'streaming_bench': 1 / 6, 'rtv_bench': 4 / 7, 'mlvu': 1 / 6, 'video_mme': 1 / 3,
              'egoschema': 1 / 2}  # fmt: skip


class Responder:
    """A stream that answers by `say(text, newest stamp, numbers of the frames shown)`."""

    def __init__(self, say):
        self.say, self.shown, self.stamp = say, [], -1

    def see(self, picture, stamp):
        self.shown.append(number_of(picture))
        self.stamp = stamp

    def reset(self):
        self.shown = []

    def ask(self, text):
        return iter((self.say(text, self.stamp, self.shown),))


@pytest.fixture(scope='module', params=VIDEOS)
def made(request, tmp_path_factory):
    if request.param == 'video_mme':
        pytest.importorskip('pyarrow', reason="pyarrow is not installed: pip install 'stc_ros[datasets]'")
    MAKERS[request.param](folder := tmp_path_factory.mktemp(request.param))
    return request.param, folder


def create(name, folder, **values):
    own = {f'dataset.{name}.{field}': value for field, value in values.items()}
    return datasets.create(name, parameters(name, folder) | own)


def ask(monkeypatch, data, say, controls=False):
    """-> rows and problems."""
    monkeypatch.setattr('stc_ros.stream.open_stream', lambda model, settings: Responder(say))
    problems = []
    rows = list(runner.run(None, data, Settings(), RowFile(None, 'r'), problems, controls))
    return rows, data.problems + problems


def oracle(data):
    """Knows the right answers, and of a text that is asked several times which one is due."""
    known = defaultdict(list)
    for episode in data.episodes():
        for question in episode.questions:
            known[question.text].append((question.stamp, question))
    polls = {q.poll.text: q for asked in known.values() for _, q in asked if q.poll}

    def say(text, stamp, shown):
        if text in polls:
            due, _ = polls[text].expected.split(' s: ')
            return 'Yes.' if stamp >= float(due) * 1e9 else 'No.'
        _, question = min((each for each in known[text] if each[0] >= stamp), key=lambda each: each[0])
        return question.expected.split(' s: ')[-1]

    return say


def test_an_oracle_is_right_by_every_metric(monkeypatch, made):
    rows, problems = ask(monkeypatch, create(*made), oracle(create(*made)))
    assert rows and not problems
    assert {value for row in rows for value in row['scores']['shown'].values()} == {1.0}
    figures = table(rows, 'strict', getattr(create(*made), 'totals', None))
    assert all(line[2].startswith('1.000') for line in figures[1:])


def test_a_constant_answer_scores_its_share(monkeypatch, made):
    rows, _ = ask(monkeypatch, create(*made), lambda *_: 'A')
    right = sum(row['scores']['shown']['strict'] for row in rows)
    assert right / len(rows) == pytest.approx(SHARE_OF_A[made[0]])


@pytest.mark.parametrize('empty', ['', ' \n'])
def test_an_empty_answer_is_never_right(monkeypatch, made, empty):
    rows, _ = ask(monkeypatch, create(*made), lambda *_: empty)
    assert rows and not any(value for row in rows for value in row['scores']['shown'].values())


def test_no_answer_knows_a_frame_that_is_later_than_its_question(monkeypatch, made):
    """The reporter says yes to every poll, so that it is asked at the first moment."""
    data = create(*made, fps=60.0)
    rows, _ = ask(monkeypatch, data, lambda text, stamp, shown: f'yes {shown[-1]}', controls=True)
    for row in rows:
        for view in ('shown', 'newest', 'last4'):
            newest = int(row['answers'][view].split()[-1])
            polled = re.match(r'([\d.]+) s:', row['answers'][view])
            time = float(polled[1]) if polled else row['stamp'] / 1e9
            assert newest / RATE <= time < (newest + 1) / RATE or (newest + 1) / RATE == SECONDS == time


def test_frames_come_at_the_rate_that_is_asked_for_and_lazily(made):
    for fps, step in ((1.0, 4), (2.0, 2), (0.5, 8), (60.0, 1)):
        episode = next(create(*made, fps=fps).episodes())
        numbers = [number_of(picture) for _, picture in episode.frames]
        assert numbers == list(range(0, numbers[-1] + 1, step))
        assert numbers[-1] / RATE <= episode.questions[-1].stamp / 1e9
    assert not isinstance(next(create(*made).episodes()).frames, (list, tuple))


def test_questions_of_one_video_are_one_episode(made):
    episodes = list(create(*made).episodes())
    assert sum(len(episode.questions) for episode in episodes) == create(*made).total()
    assert (
        len({episode.name for episode in episodes}) == len(episodes) < create(*made).total() or made[0] == 'egoschema'
    )


def test_a_missing_video_is_named_and_counted_and_the_rest_goes_on(monkeypatch, made, tmp_path):
    name, _ = made
    MAKERS[name](tmp_path)
    first = next(create(name, tmp_path).episodes())
    (tmp_path / first.name).unlink()
    rows, problems = ask(monkeypatch, create(name, tmp_path), lambda *_: 'A')
    (said,) = problems
    count = len(first.questions)
    assert first.name in said and 'https://' in said and f'{count} of {count} questions were not asked' in said
    assert len(rows) == create(name, tmp_path).total() - count > 0


def test_a_video_that_is_broken_off_is_named(monkeypatch, made, tmp_path):
    name, _ = made
    MAKERS[name](tmp_path)
    video = tmp_path / next(create(name, tmp_path).episodes()).name
    video.write_bytes(video.read_bytes()[:300])
    rows, problems = ask(monkeypatch, create(name, tmp_path), lambda *_: 'A')
    assert len(problems) == 1 and video.name in problems[0] and rows


def test_a_video_that_ends_before_a_question_is_spoken_of(monkeypatch, tmp_path):
    MAKERS['ovo_bench'](tmp_path)
    make_video(tmp_path / 'src_videos' / 'AutoEvalMetaData' / '3.mp4', 1)
    data = create('ovo_bench', tmp_path)
    rows, problems = ask(monkeypatch, data, lambda text, stamp, shown: f'{stamp}')
    (note,) = [note for note in data.notes if '3.mp4' in note]
    assert 'last frame is of 0.0 s' in note and '4.0 s' in note and not problems


ANNOTATIONS = {'ovo_bench': 'ovo_bench_new.json', 'streaming_bench': 'questions_real.json', 'rtv_bench': 'QA.json',
               'mlvu': 'json/1_plotQA.json', 'egoschema': 'questions.json'}  # fmt: skip


@pytest.mark.parametrize('name', ANNOTATIONS)
@pytest.mark.parametrize('damage', [{}, None, 'cut off'], ids=str)
def test_a_damaged_record_is_named_and_the_rest_goes_on(tmp_path, name, damage):
    MAKERS[name](tmp_path)
    before = create(name, tmp_path).total()
    file = tmp_path / ANNOTATIONS[name]
    records = json.loads(file.read_text())
    file.write_text(json.dumps([records[0], damage, *records[1:]]))
    data = create(name, tmp_path)
    assert data.total() == before and len(data.problems) == 1
    assert f'{file.name}: record 1' in data.problems[0] and 'left out' in data.problems[0]


@pytest.mark.parametrize('name', ANNOTATIONS)
def test_a_file_that_is_no_json_is_named_with_its_line(tmp_path, name):
    MAKERS[name](tmp_path)
    (tmp_path / ANNOTATIONS[name]).write_text('[\n{"id": 1},\n{')
    data = create(name, tmp_path)
    with pytest.raises(DatasetError, match=rf'{ANNOTATIONS[name]}:3: no JSON'):
        data.total()


@pytest.mark.parametrize('name', VIDEOS)
@pytest.mark.parametrize('folder', ['', 'there'])
def test_without_its_files_it_says_which_and_where_they_come_from(tmp_path, name, folder, capsys):
    option = [f'--dataset.{name.replace("_", "-")}.folder', str(tmp_path)] if folder else []
    assert runner.main(['--dataset', name, *option]) == 2
    said = capsys.readouterr().err
    assert 'https://' in said and re.search(r'\.(json|parquet)', said)
    assert (str(tmp_path) if folder else f'--dataset.{name.replace("_", "-")}.folder') in said


def test_a_bag_says_what_it_lacks(tmp_path, capsys):
    assert runner.main(['--dataset', 'bag']) == 2
    assert '--dataset.bag.path BAG --dataset.bag.questions FILE.yaml' in capsys.readouterr().err


def test_a_bag_is_asked_like_the_others(monkeypatch, tmp_path):
    MAKERS['bag'](tmp_path)
    data = datasets.create('bag', parameters('bag', tmp_path))
    rows, problems = ask(monkeypatch, data, lambda text, stamp, shown: f'grey, no, {shown[-1]}')
    assert not problems and [row['answers']['shown'].split()[-1] for row in rows] == ['4', '8', '12']
    assert [row['scores']['shown'] for row in rows] == [
        {'strict': 0.0, 'lenient': 1.0}, {'strict': 1.0, 'lenient': 1.0}, {'strict': 1.0, 'lenient': 1.0}
    ]  # fmt: skip
