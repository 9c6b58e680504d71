"""The measure of what compression costs: it asks what a stream is asked, its controls destroy what they claim, and its
figures follow its rules."""

import dataclasses
import json
import time

import numpy as np
import pytest
import torch
from memories import kept
from processes import children_of, gone
from worlds import moving_square

from stc_ros.engine.narration_filter import drop_repeated, normalise
from stc_ros.evaluation import measure, quality
from stc_ros.evaluation.answers import answer_all
from stc_ros.evaluation.conditions import CONTROLS, Condition, conditions, show_reversed
from stc_ros.evaluation.episodes import Plan, draw_episode, draw_streams
from stc_ros.evaluation.measure import NAMES, TYPE_OF, Outcome, Tally, ask_episode, count_asked, see
from stc_ros.evaluation.remember import remembering
from stc_ros.evaluation.summary import can_tell, summarise, to_json
from stc_ros.models.random import random_model
from stc_ros.settings import Settings
from stc_ros.stream import open_stream
from stc_ros.synthetic.forms import TYPES
from stc_ros.synthetic.seeds import TEST, TUNE

SETTINGS = Settings(
    {'cacher.method': 'stc', 'cacher.stc.cache_interval': 4, 'pruner.method': 'stc', 'prune_ratio': 0.5}
)
SMALL = Plan(frames=12, moments=2, questions=2)
QUESTIONS = ['what is moving ?', 'the red circle ?', 'a blue square is left . what is right ?', 'you', 'what ?']


@pytest.fixture(scope='module')
def model():
    return random_model(seed=5)


@pytest.fixture(scope='module')
def case():
    return draw_episode('busy', TUNE[3], SMALL)


def named(name, settings=SETTINGS) -> Condition:
    return next(c for c in conditions(settings) if c.name == name)


# ---- answers


@pytest.mark.parametrize(
    'settings',
    [
        Settings({'cacher.method': 'none', 'pruner.method': 'none'}),
        SETTINGS,
        (SETTINGS | {'expert.contiguous_positions': True}),
        (SETTINGS | {'cacher.method': 'incremental', 'pruner.method': 'delta'}),
    ],
    ids=['plain', 'stc', 'compacted', 'ours'],
)
@pytest.mark.parametrize('frames', [3, 60], ids=['growing', 'sliding'])
def test_all_at_once_is_what_a_stream_answers_one_by_one(settings, frames):
    texts = set()
    for seed in (5, 6, 7):
        stream = open_stream(random_model(seed=seed), settings)
        see(stream, np.array(moving_square(frames)))
        before = kept(stream)
        said = answer_all(stream, QUESTIONS, 6)
        assert said == [''.join(stream.ask(q, 6)) for q in QUESTIONS]
        assert all(map(torch.equal, kept(stream), before))
        texts.update(said)
    assert len(texts) > 2  # or equality would say little


def test_answers_are_compared_without_case_spaces_and_marks():
    assert normalise(' Top  left.') == normalise('top left') != normalise('left top')


# ---- cases


def test_seeds_repeat_differ_and_stay_in_their_range():
    first = draw_streams('all', 5, seed=1)
    assert first == draw_streams('all', 5, seed=1) and len(set(first)) == 20
    assert not {s for _, s in first} & {s for _, s in draw_streams('all', 5, seed=2)}
    assert all(s in TEST for _, s in first)
    assert all(s in TUNE for _, s in draw_streams('night', 5, seed=1, tune=True))


def test_a_case_is_the_same_every_time_and_balanced(case):
    again = draw_episode('busy', TUNE[3], SMALL)
    assert case.asked == again.asked and case.story == again.story
    assert list(case.asked) == [5, 11] and case.narrated == 11
    assert (count_asked(case) @ TYPE_OF)[[0, 2, 3]].tolist() == [SMALL.moments * SMALL.questions] * 3


# ---- controls


def streams_of(model, condition, case, monkeypatch):
    """A condition's tally of a case, the frames that it showed, and frames and keys in memory at each moment."""
    seen, moments = [], []

    def look(stream, frames, cuts=True):
        seen.append(frames)
        see(stream, frames, cuts)

    def answer(stream, questions, limit):
        moments.append((len(stream.memory.frames), kept(stream)[0]))
        return [''] * len(questions)

    monkeypatch.setattr(measure, 'see', look)
    monkeypatch.setattr(measure, 'answer_all', answer)
    return ask_episode(model, case, dataclasses.replace(condition, narrates=False)), seen, moments


def test_plain_sees_every_frame_once(model, case, monkeypatch):
    tally, seen, moments = streams_of(model, named('plain'), case, monkeypatch)
    assert [n for n, _ in moments] == [6, 12] and tally.recomputed == tally.kept == 1
    assert np.array_equal(seen[-1], case.clip.frames)


def test_newest_remembers_one_frame_and_only_that(model, case, monkeypatch):
    _, seen, moments = streams_of(model, named('newest'), case, monkeypatch)
    assert [n for n, _ in moments] == [1, 1]
    for t, frames in zip(case.asked, seen):
        assert np.array_equal(frames, case.clip.frames[t : t + 1])


def test_blank_shows_nothing_and_reversed_the_oldest_frame_last(model, case, monkeypatch):
    _, seen, _ = streams_of(model, named('blank'), case, monkeypatch)
    assert len(np.unique(np.concatenate(seen))) == 1
    _, seen, moments = streams_of(model, named('reversed'), case, monkeypatch)
    assert [n for n, _ in moments] == [6, 12]
    assert all(np.array_equal(frames[-1], case.clip.frames[0]) for frames in seen)
    assert np.array_equal(show_reversed(seen[-1]), case.clip.frames)


def test_held_shows_every_fourth_frame_four_times(model, case, monkeypatch):
    tally, seen, moments = streams_of(model, named('held'), case, monkeypatch)
    assert [n for n, _ in moments] == [6, 12] and tally.kept == 1
    assert all(np.array_equal(frame, case.clip.frames[t // 4 * 4]) for t, frame in enumerate(seen[-1]))
    assert np.array_equal(seen[0], seen[-1][:6])  # the stream goes on from one moment to the next


def test_never_recomputes_the_first_frame_alone_even_after_a_cut(model):
    frames = np.array(moving_square(20) + [np.full((48, 48, 3), 255, np.uint8)] + moving_square(20, seed=9))
    frames[25:, 20:] = 0
    cut, never = open_stream(model, Settings({'input.scene_change': 0.05})), named('never').open(model)
    see(cut, frames)
    see(never, frames, named('never').cuts)
    assert cut.stats().scene_changes > 0 and never.stats().scene_changes == 0
    assert never.stats().patches_recomputed == 36
    assert not named('never').cuts


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


def test_right_answers_are_counted_by_type_and_condition(model, case, monkeypatch):
    answers = {q.text: q.answer for questions in case.asked.values() for q in questions}

    def knows_when_it_has_seen(stream, questions, limit):
        return [answers[q].upper() if len(stream.memory.frames) > 1 else 'nothing ?' for q in questions]

    monkeypatch.setattr(measure, 'answer_all', knows_when_it_has_seen)
    monkeypatch.setattr(measure, 'narrate', lambda stream, prompt: case.story.upper())
    plain, newest = (ask_episode(model, case, named(name)) for name in ('plain', 'newest'))
    wrong = [sum(q.form == name and q.answer != 'nothing' for qs in case.asked.values() for q in qs) for name in NAMES]
    assert np.array_equal(plain.right, count_asked(case)) and plain.narration.clause_f1 == 1
    assert np.array_equal(count_asked(case) - newest.right, wrong)


def test_narration_is_what_would_be_published(model):
    stream = open_stream(model, (SETTINGS | {'narration.min_confidence': 0.0}))
    see(stream, moving_square(3))
    said = ''.join(stream.ask('what is moving ?'))
    assert said and measure.narrate(stream, 'what is moving ?') == drop_repeated(said)
    stream.configure(SETTINGS | {'narration.min_confidence': 1.0})
    assert measure.narrate(stream, 'what is moving ?') == ''


def test_what_a_tower_has_computed_is_remembered_and_nothing_changes_by_it(model, case, monkeypatch):
    """Each condition gives the same tallies; plain frames pass the tower once, whoever shows them."""
    shown = [named(name) for name in ('plain', 'reversed', 'held', 'never')]
    shown.append(Condition('stc', (SETTINGS | {'cacher.method': 'stc', 'cacher.stc.update_ratio': 0.5})))
    each = [ask_episode(model, case, condition) for condition in shown]
    with remembering(model.tower) as memory:
        again = [ask_episode(model, case, condition) for condition in shown]
        dense = len(memory.known)
    assert model.tower.compiler is None
    assert all(np.array_equal(a.right, b.right) and a.recomputed == b.recomputed for a, b in zip(each, again))
    assert dense == len(model.tower.blocks) * len(case.clip.frames)


# ---- figures


ONE_FORM = (TYPE_OF.T & (np.cumsum(TYPE_OF.T, axis=1) == 1)).astype(int)  # [types, forms]: each type's first form


def outcome(right: dict, streams: int = 30, each: int = 4, seed: int = 0) -> Outcome:
    """Streams in which `each` questions of every type are asked; `right`: accuracy by condition, for all types."""
    rng = np.random.default_rng(seed)
    tallies = {
        name: [Tally(rng.binomial(each, np.broadcast_to(p, len(TYPES))) @ ONE_FORM, 0.5, 0.25) for _ in range(streams)]
        for name, p in right.items()
    }
    return Outcome(['busy'] * streams, np.full((streams, len(TYPES)), each) @ ONE_FORM, tallies)


@pytest.mark.parametrize(
    'control, expected',
    [
        ({}, True),
        ({'blank': 0.86}, False),
        ({'newest': 0.86}, False),
        ({'never': 0.86}, False),
        ({'blank': 0.84}, True),
        ({'reversed': 0.9}, True),
        ({'random': 0.95}, True),
        ({'uniform': 0.95}, True),
        ({'held': 0.95}, True),
    ],
    ids=str,
)
def test_a_type_that_survives_destruction_does_not_test_compression(control, expected):
    assert can_tell(0.9, {**dict.fromkeys(CONTROLS, 0.3), **control}) is expected


def test_retention_is_over_the_types_that_test_it():
    easy = np.array([1.0] * 4 + [0.0] * 4)  # four types that a blank picture answers
    found = summarise(
        outcome({'plain': 1.0, 'settings': np.array([0.0] * 4 + [0.5] * 4), 'blank': easy, 'newest': 0.0, 'never': 0.0})
    )
    assert found.tested == list(TYPES[4:])
    assert found.retention == pytest.approx(0.5, abs=0.1)
    assert found.interval[0] < found.retention < found.interval[1]
    assert found.retention_all == pytest.approx(0.25, abs=0.05)
    assert found.recomputed == 0.5 and found.kept == 0.25
    assert [f.retention for f in found.types.values()][:4] == [0.0] * 4


def test_no_interval_is_of_no_width_and_each_holds_its_figure():
    for p in (0.0, 0.4, 1.0):
        found = summarise(outcome({'plain': 1.0, 'settings': p, 'blank': 0.0, 'newest': 0.0, 'never': 0.0}))
        for f in found.types.values():
            assert f.interval[0] <= f.retention <= f.interval[1] and 0.005 < f.interval[1] - f.interval[0] < 0.4
            assert f.plain_interval[0] < 1 and f.settings_interval[0] <= f.with_settings <= f.settings_interval[1]


def test_questions_of_one_stream_count_as_one():
    """Forty streams whose ten questions go right or wrong together tell no more than forty questions."""
    asked, together = np.full((40, len(TYPES)), 10) @ ONE_FORM, np.arange(40)[:, None] % 2 * 10

    def tallies(right):
        return [Tally(np.broadcast_to(r, len(TYPES)) @ ONE_FORM) for r in right]

    none = tallies(np.zeros(40, int))
    base = {'plain': tallies(np.full(40, 10)), 'blank': none, 'newest': none, 'never': none}
    clustered = summarise(Outcome(['busy'] * 40, asked, {**base, 'settings': tallies(together)}))
    spread = summarise(Outcome(['busy'] * 40, asked, {**base, 'settings': tallies(np.full(40, 5))}))
    width = [np.ptp(s.types['count'].settings_interval) for s in (clustered, spread)]
    assert 0.2 < width[0] < 0.4 and width[1] < 0.05


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    held, truth = 0, 0.7 / 0.9
    for seed in range(40):
        right = {'plain': 0.9, 'settings': 0.7, 'blank': 0.0, 'newest': 0.0, 'never': 0.0}
        found = summarise(outcome(right, 20, seed=seed))
        held += sum(low < truth < high for low, high in [f.interval for f in found.types.values()])
    assert 0.9 < held / (40 * len(TYPES)) < 0.99


def test_figures_that_do_not_exist_are_null(tmp_path):
    found = to_json(summarise(outcome(dict.fromkeys(('plain', 'settings', *CONTROLS), 0.0))), 'busy', SETTINGS, 4)
    assert found['retention'] is None and found['types']['order']['retention'] is None
    assert 'NaN' not in json.dumps(found)
    assert found['types']['order']['tests_it'] is False and found['types']['order']['interval'] == [None, None]


# ---- the command


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
                    '--max-new-tokens',
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
