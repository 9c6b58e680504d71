"""What is asked repeats, and each condition shows and destroys what it claims to."""

import dataclasses

import numpy as np
import pytest
from memories import kept
from worlds import moving_square

from stc_ros.engine.narrator import Narrator
from stc_ros.evaluation import measure
from stc_ros.evaluation.conditions import Condition, conditions, show_reversed
from stc_ros.evaluation.episodes import FRAME_NS, Plan, draw_episode, draw_streams
from stc_ros.evaluation.measure import NAMES, TYPE_OF, ask_episode, count_asked, see
from stc_ros.evaluation.remember import remembering
from stc_ros.models.random import random_model
from stc_ros.settings import Settings
from stc_ros.stream import open_stream
from stc_ros.synthetic.seeds import TEST, TUNE

SETTINGS = Settings(
    {'cacher.method': 'stc', 'cacher.stc.cache_interval': 4, 'pruner.method': 'stc', 'prune_ratio': 0.5}
)
SMALL = Plan(frames=12, moments=2, questions=2)


@pytest.fixture(scope='module')
def model():
    return random_model(seed=5)


@pytest.fixture(scope='module')
def episode():
    return draw_episode('busy', TUNE[3], SMALL)


def named(name, settings=SETTINGS) -> Condition:
    return next(c for c in conditions(settings) if c.name == name)


# ---- episodes


def test_seeds_repeat_differ_and_stay_in_their_range():
    first = draw_streams('all', 5, seed=1)
    assert first == draw_streams('all', 5, seed=1) and len(set(first)) == 20
    assert not {s for _, s in first} & {s for _, s in draw_streams('all', 5, seed=2)}
    assert all(s in TEST for _, s in first)
    assert all(s in TUNE for _, s in draw_streams('night', 5, seed=1, tune=True))


def test_an_episode_is_the_same_every_time_and_balanced(episode):
    again = draw_episode('busy', TUNE[3], SMALL)
    assert episode.asked == again.asked and episode.stories == again.stories
    assert list(episode.asked) == list(episode.stories) == [5, 11]
    assert (count_asked(episode) @ TYPE_OF)[[0, 2, 3]].tolist() == [SMALL.moments * SMALL.questions] * 3


# ---- controls


def streams_of(model, condition, episode, monkeypatch):
    """A condition's tally of an episode, the frames that it showed, and frames and keys in memory at each moment."""
    seen, moments = [], []

    def show(stream, frames, narrator):
        seen.append(frames)
        return see(stream, frames, narrator)

    def answer(stream, questions, limit):
        moments.append((len(stream.memory.frames), kept(stream)[0]))
        return [''] * len(questions)

    monkeypatch.setattr(measure, 'see', show)
    monkeypatch.setattr(measure, 'answer_all', answer)
    return ask_episode(model, episode, dataclasses.replace(condition, narrates=False)), seen, moments


def test_plain_sees_every_frame_once(model, episode, monkeypatch):
    tally, seen, moments = streams_of(model, named('plain'), episode, monkeypatch)
    assert [n for n, _ in moments] == [6, 12] and tally.recomputed == tally.kept == 1
    assert np.array_equal(seen[-1], episode.clip.frames)


def test_newest_remembers_one_frame_and_only_that(model, episode, monkeypatch):
    _, seen, moments = streams_of(model, named('newest'), episode, monkeypatch)
    assert [n for n, _ in moments] == [1, 1]
    for t, frames in zip(episode.asked, seen):
        assert np.array_equal(frames, episode.clip.frames[t : t + 1])


def test_blank_shows_nothing_and_reversed_the_oldest_frame_last(model, episode, monkeypatch):
    _, seen, _ = streams_of(model, named('blank'), episode, monkeypatch)
    assert len(np.unique(np.concatenate(seen))) == 1
    _, seen, moments = streams_of(model, named('reversed'), episode, monkeypatch)
    assert [n for n, _ in moments] == [6, 12]
    assert all(np.array_equal(frames[-1], episode.clip.frames[0]) for frames in seen)
    assert np.array_equal(show_reversed(seen[-1]), episode.clip.frames)


def test_held_shows_every_fourth_frame_four_times(model, episode, monkeypatch):
    tally, seen, moments = streams_of(model, named('held'), episode, monkeypatch)
    assert [n for n, _ in moments] == [6, 12] and tally.kept == 1
    assert all(np.array_equal(frame, episode.clip.frames[t // 4 * 4]) for t, frame in enumerate(seen[-1]))
    assert np.array_equal(seen[0], seen[-1][:6])  # the stream goes on from one moment to the next


def test_no_refresh_computes_the_first_frame_alone_even_after_a_cut(model):
    frames = np.array(moving_square(20) + [np.full((48, 48, 3), 255, np.uint8)] + moving_square(20, seed=9))
    frames[25:, 20:] = 0
    cut, never = open_stream(model, Settings({'input.scene_change': 0.05})), named('no_refresh').open(model)
    for stream in (cut, never):
        see(stream, frames, Narrator(model.narration))
    assert cut.stats().scene_changes > 0 and never.stats().scene_changes == 0
    assert never.stats().patches_recomputed == 36


@pytest.mark.parametrize('name', ['random', 'uniform'])
def test_other_choices_keep_as_many_tokens_but_others(model, name):
    frames = moving_square(6) + moving_square(3, seed=8)  # a cut, which renews the pruner
    settings = SETTINGS | {'input.scene_change': 0.05}
    ours, other = open_stream(model, settings), named(name, settings).open(model)
    pairs = [(ours.see(f, 0), other.see(f, 0)) for f in frames]
    assert [a.visual_tokens_kept for a, _ in pairs] == [b.visual_tokens_kept for _, b in pairs]
    assert any(a.kept.tolist() != b.kept.tolist() for a, b in pairs)
    for _, b in pairs:
        assert np.array_equal(np.unique(b.kept), b.kept) and b.kept.max() < 9
    choices = {tuple(b.kept) for _, b in pairs}
    assert len(choices) == 1 if name == 'uniform' else len(choices) > 1


def test_right_answers_are_counted_by_type_and_condition(model, episode, monkeypatch):
    answers = {q.text: q.answer for questions in episode.asked.values() for q in questions}

    def knows_when_it_has_seen(stream, questions, limit):
        return [answers[q].upper() if len(stream.memory.frames) > 1 else 'nothing ?' for q in questions]

    monkeypatch.setattr(measure, 'answer_all', knows_when_it_has_seen)
    stories = {t * FRAME_NS: story for t, story in episode.stories.items()}
    monkeypatch.setattr(measure, 'narrate', lambda stream, narrator, report: stories[report.stamp].upper())
    plain, newest = (ask_episode(model, episode, named(name)) for name in ('plain', 'newest'))
    wrong = [
        sum(q.form == name and q.answer != 'nothing' for qs in episode.asked.values() for q in qs) for name in NAMES
    ]
    assert np.array_equal(plain.right, count_asked(episode)) and plain.narration.clause_f1 == 1
    assert np.array_equal(count_asked(episode) - newest.right, wrong)


def test_what_a_tower_has_computed_is_remembered_and_nothing_changes_by_it(model, episode, monkeypatch):
    """Each condition gives the same tallies; plain frames pass the tower once, whoever shows them."""
    shown = [named(name) for name in ('plain', 'reversed', 'held', 'no_refresh')]
    shown.append(Condition('stc', (SETTINGS | {'cacher.method': 'stc', 'cacher.stc.update_ratio': 0.5})))
    each = [ask_episode(model, episode, condition) for condition in shown]
    with remembering(model.tower) as memory:
        again = [ask_episode(model, episode, condition) for condition in shown]
        dense = len(memory.known)
    assert model.tower.compiler is None
    assert all(np.array_equal(a.right, b.right) and a.recomputed == b.recomputed for a, b in zip(each, again))
    assert dense == len(model.tower.blocks) * len(episode.clip.frames)
