"""Every data set that is registered keeps what a runner relies on; one that lies in a folder is made there first."""

from itertools import islice

import numpy as np
import pytest
from made_datasets import MAKERS, parameters

from stc_ros.evaluation.datasets.base import datasets

EPISODES = 3


def by_metric(score):
    return score if isinstance(score, dict) else {'strict': score}


@pytest.fixture(scope='module', params=datasets.names())
def data(request, tmp_path_factory):
    name = request.param
    if name == 'video_mme':
        pytest.importorskip('pyarrow', reason="pyarrow is not installed: pip install 'stc_ros[datasets]'")
    if name not in MAKERS:
        return datasets.create(name)
    MAKERS[name](folder := tmp_path_factory.mktemp(name))
    return datasets.create(name, parameters(name, folder))


@pytest.fixture(scope='module')
def episodes(data):
    """The first episodes: name, stamps, frames, questions."""
    found = []
    for episode in islice(data.episodes(), EPISODES):
        stamps, frames = zip(*episode.frames)
        found.append((episode.name, stamps, frames, episode.questions))
    return found


def test_it_has_episodes_with_frames_and_questions_and_names_of_their_own(episodes):
    assert episodes and len({name for name, *_ in episodes}) == len(episodes)
    for _, _, frames, questions in episodes:
        assert frames and questions
        assert all(f.dtype == np.uint8 and f.ndim == 3 and f.shape[2] == 3 for f in frames)


def test_stamps_ascend(episodes):
    for _, stamps, _, questions in episodes:
        assert all(type(stamp) is int for stamp in stamps) and (np.diff(stamps) > 0).all()
        assert (np.diff([q.stamp for q in questions]) >= 0).all()


def test_no_question_is_asked_before_the_first_frame(episodes):
    for _, stamps, _, questions in episodes:
        assert all(stamps[0] <= q.stamp for q in questions)


def test_a_poll_begins_before_its_question(episodes):
    for _, stamps, _, questions in episodes:
        polls = [(q.poll.first, q.poll.period, q.stamp) for q in questions if q.poll]
        assert all(stamps[0] <= first <= last and period > 0 for first, period, last in polls)


def test_questions_have_a_text_an_answer_and_tags(episodes):
    for _, _, _, questions in episodes:
        assert all(q.text.strip() and q.expected.strip() and q.tags for q in questions)


def test_the_expected_answer_is_right_and_an_empty_one_is_not(data, episodes):
    for _, _, _, questions in episodes:
        for question in questions:
            assert set(by_metric(data.score(question, question.expected)).values()) == {1}
            assert set(by_metric(data.score(question, '')).values()) == {0}
            assert set(by_metric(data.score(question, ' ')).values()) == {0}


def test_its_first_metric_is_the_strict_one(data, episodes):
    for _, _, _, questions in episodes:
        assert all(next(iter(by_metric(data.score(q, 'x')))) == 'strict' for q in questions)


def test_it_is_the_same_every_time(data, episodes):
    again = next(data.episodes())
    stamps, frames = zip(*again.frames)
    name, before, shown, questions = episodes[0]
    assert (again.name, stamps, again.questions) == (name, before, questions)
    assert all(map(np.array_equal, frames, shown))


def test_its_parameters_are_described(data):
    part = next(part for part in datasets if part.cls is type(data))
    assert part.text.endswith('.')
    assert all(spec.text and spec.check(spec.default) == spec.default for spec in part.parameters.values())
