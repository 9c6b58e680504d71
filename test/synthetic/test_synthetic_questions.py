"""Questions have one right answer, rest on what was shown, and cannot be guessed from their wording."""

import random
import subprocess
import sys
from collections import Counter, defaultdict

import numpy as np
import pytest

from stc_ros.synthetic import PROFILES, record
from stc_ros.synthetic.forms import FORMS, NUMBERS, TYPES
from stc_ros.synthetic.questions import Question, ask_about
from stc_ros.synthetic.render import COLOURS, SHAPES
from stc_ros.synthetic.truth import PLACES
from stc_ros.synthetic.vocabulary import VOCABULARY, words_of

TIMES = (7, 15, 23, 27, 31, 40, 55)


@pytest.fixture(scope='module')
def asked():
    """Many questions about many clips: (clip, t, question)."""
    found = []
    for profile in PROFILES:
        for seed in range(2_000_000_000, 2_000_000_030):
            clip = record(profile, seed, 56, skip=seed % 2 * 30)
            for t in TIMES:
                found += [(clip, t, q) for q in ask_about(clip, t, random.Random(seed * 40 + t), 16)]
    return found


def answer_from_truths(clip, t, q):
    """The answer worked out afresh from the truths alone, for forms where that is simple; None for others."""
    now = clip.truths[t]
    first = next(f for f in range(max(0, t - 31), t + 1) if clip.truths[f].scene == now.scene)
    frames = [clip.truths[f] for f in range(first, t + 1)]
    words = q.text.split()
    colours, shapes = [w for w in words if w in COLOURS], [w for w in words if w in SHAPES]

    def named(o):
        return (not colours or o.colour == colours[0]) and (not shapes or o.shape == shapes[0])

    here = [o for o in now.objects if named(o)]
    if q.form == 'colour_of_shape':
        return here[0].colour if len(here) == 1 else 'ambiguous'
    if q.form == 'place_of_name':
        return PLACES[3 * int(here[0].y * 3) + int(here[0].x * 3)]
    if q.form in ('is_there', 'is_there_shape'):
        return 'yes' if here else 'no'
    if q.form in ('count_all', 'count_colour'):
        return NUMBERS[len(here)]
    if q.form == 'was_there':
        return 'yes' if any(named(o) for truth in frames for o in truth.objects) else 'no'
    if q.form == 'which_way':
        last = next(o for o in frames[-2].objects if o.id == here[0].id)
        dx = here[0].x - last.x - now.camera[0] * -1 - frames[-2].camera[0]
        dy = here[0].y - last.y - now.camera[1] * -1 - frames[-2].camera[1]
        if max(abs(dx), abs(dy)) < 1e-6:
            return 'still'
        return ('left' if dx < 0 else 'right') if abs(dx) > abs(dy) else ('up' if dy < 0 else 'down')
    if q.form in ('what_left', 'count_left'):
        known = {o.id: f'{o.colour} {o.shape}' for truth in frames for o in truth.objects if o.visible}
        gone = [name for id, name in known.items() if id not in {o.id for o in now.objects}]
        return NUMBERS[len(gone)] if q.form == 'count_left' else (gone or ['nothing'])[0]
    if q.form == 'colour_of_left':
        gone = {o.colour for f in frames for o in f.objects if named(o) and o.id not in {p.id for p in now.objects}}
        last = {c for c in gone if q.answer == c}
        return last.pop() if last else 'ambiguous'
    if q.form in ('left_first', 'entered_first'):
        names = [f'{c} {s}' for c, s in zip(colours, shapes)]
        shown = {n: [f.frame for f in frames for o in f.visible if f'{o.colour} {o.shape}' == n] for n in names}
        return min(shown, key=lambda n: shown[n][-1 if q.form == 'left_first' else 0])
    return None


def test_answers_agree_with_the_truths(asked):
    checked = Counter()
    for clip, t, q in asked:
        expected = answer_from_truths(clip, t, q)
        if expected is not None:
            assert q.answer == expected, (clip.profile, clip.seed, t, q)
            checked[q.form] += 1
    assert len(checked) == 13 and min(checked.values()) >= 20, checked


def test_evidence_lies_in_reach_and_in_the_scene(asked):
    for clip, t, q in asked:
        assert max(0, t - 31) <= q.evidence <= t
        assert clip.truths[q.evidence].scene == clip.truths[t].scene
        shown = {o.id for f in range(max(0, t - 31), t + 1) for o in clip.truths[f].objects}
        assert set(q.objects) <= shown
        if not q.temporal:
            assert q.evidence == t


def test_every_type_has_forms_that_need_more_than_the_newest_frame(asked):
    for type in TYPES:
        assert any(f.temporal for f in FORMS.values() if f.type == type)
    for profile in PROFILES:
        got = Counter(q.type for clip, _, q in asked if clip.profile == profile)
        assert set(got) == set(TYPES) and min(got.values()) > 40, (profile, got)
        temporal = Counter(q.type for clip, _, q in asked if clip.profile == profile and q.temporal)
        assert min(temporal[type] for type in TYPES) > 40, (profile, temporal)


def test_the_newest_frame_does_not_give_temporal_answers_away(asked):
    """Whoever names what the newest frame shows in place of what was before is wrong."""
    for clip, t, q in asked:
        names = {f'{o.colour} {o.shape}' for o in clip.truths[t].visible}
        if q.form in ('what_left', 'left_last', 'left_first'):
            assert q.answer not in names
        if q.form in ('place_at_first', 'colour_at_first'):
            o = next(o for o in clip.truths[t].objects if o.id == q.objects[0])
            assert q.answer not in (o.place, o.colour)
        if q.form == 'was_there':
            assert ' '.join(q.text.split()[3:5]) not in names


def test_the_wording_alone_tells_little(asked):
    answers = defaultdict(Counter)
    for _, _, q in asked:
        answers[q.form][q.answer] += 1
    assert set(answers) == set(FORMS)
    for form, counts in answers.items():
        total, kinds = sum(counts.values()), FORMS[form].answers
        limit = 0.7 if len(kinds) == 2 else 0.50
        if total >= 60:
            assert max(counts.values()) / total < limit, (form, counts)
    by_type = defaultdict(Counter)
    for _, _, q in asked:
        by_type[q.type][q.answer] += 1
    for type, counts in by_type.items():
        assert max(counts.values()) / sum(counts.values()) < 0.6, (type, counts)


def test_all_words_are_in_the_vocabulary_and_all_the_vocabulary_is_sorted(asked):
    known = set(VOCABULARY)
    for _, _, q in asked:
        assert set(words_of(f'{q.text} {q.answer}')) <= known
        assert set(q.answer.split()) <= {word for answer in FORMS[q.form].answers for word in answer.split()}
        assert 1 <= len(q.answer.split()) <= 2
    assert VOCABULARY == sorted(known) and len(VOCABULARY) <= 120


def test_questions_are_different_spread_over_the_types_and_as_many_as_asked_for():
    clip = record('busy', 2_000_000_001, 32)
    questions = ask_about(clip, 31, random.Random(1), 16)
    assert len(questions) == len({q.text for q in questions}) == 16
    assert min(Counter(q.type for q in questions).values()) >= 2
    assert ask_about(clip, 31, random.Random(1), 0) == []


def test_types_and_temporal_forms_can_be_chosen():
    clip = record('busy', 2_000_000_001, 32)
    some = ask_about(clip, 31, random.Random(2), 30, types=('place', 'count'))
    assert {q.type for q in some} == {'place', 'count'}
    assert {q.temporal for q in some} == {True, False}
    assert all(q.temporal for q in ask_about(clip, 31, random.Random(2), 30, temporal=True))
    assert not any(q.temporal for q in ask_about(clip, 31, random.Random(2), 30, temporal=False))


def test_both_kinds_of_generator_repeat_their_questions():
    clip = record('patrol', 2_000_000_002, 24)
    assert ask_about(clip, 23, random.Random(4), 12) == ask_about(clip, 23, random.Random(4), 12)
    first, second = (ask_about(clip, 23, np.random.default_rng(4), 12) for _ in range(2))
    assert first == second and isinstance(first[0], Question)
    assert ask_about(clip, 23, random.Random(5), 12) != ask_about(clip, 23, random.Random(4), 12)


def test_questions_do_not_depend_on_the_hash_seed_of_the_process():
    code = (
        'import random; from stc_ros.synthetic import record; from stc_ros.synthetic.questions import ask_about;'
        "print([ask_about(record('busy', 3, 32), t, random.Random(t), 30) for t in (15, 31)])"
    )
    said = {
        subprocess.run(
            [sys.executable, '-c', code],
            env={'PYTHONHASHSEED': seed, 'PYTHONPATH': ':'.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ('1', '2', '3')
    }
    assert len(said) == 1


def test_the_world_needs_no_torch():
    code = "import sys, stc_ros.synthetic.questions, stc_ros.synthetic.narration; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, '-c', code], env={'PYTHONPATH': ':'.join(sys.path)}).returncode == 0


def test_what_cannot_be_asked_is_refused():
    clip = record('static', 1, 4)
    with pytest.raises(ValueError, match='appearance, count'):
        ask_about(clip, 3, random.Random(1), 4, types=('colour',))
    with pytest.raises(IndexError, match='clip of 4 frames'):
        ask_about(clip, 4, random.Random(1), 4)
