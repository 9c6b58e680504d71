"""Questions with one right answer about what a clip has shown so far.

    questions = ask_about(clip, t=15, rng=random.Random(3), n=12)            # about frames 0..15
    questions = ask_about(clip, 15, rng, 12, types=("memory",), temporal=True)
    question.text, question.answer        # "what colour was the circle that left ?", "red"
    answer_to(clip, 16, question.text)    # what is right a frame later, or None

The wordings are in `forms.py`, what can be known for certain in `view.py`, all words in `vocabulary.py`.
Evidence lies within the last 32 frames and within the present scene. Answers are drawn towards uniform within
each form, so that the wording alone tells little.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from stc_ros.synthetic.forms import FORMS, TYPES, Form
from stc_ros.synthetic.truth import Clip
from stc_ros.synthetic.view import View

# How readily an answer is taken where the world offers it too often; 1 unless named.
_TAKE = {
    ('count_colour', 'zero'): 0.35,
    ('count_colour', 'one'): 0.6,
    ('count_shape', 'zero'): 0.4,
    ('count_shape', 'one'): 0.6,
    ('count_size', 'zero'): 0.6,
    ('count_size', 'one'): 0.7,
    ('count_moving', 'zero'): 0.6,
    ('count_moving', 'one'): 0.4,
    ('count_left', 'zero'): 0.2,
    ('count_left', 'one'): 0.6,
    ('count_entered', 'zero'): 0.4,
    ('count_entered', 'one'): 0.5,
    ('count_changed', 'zero'): 0.3,
    ('count_changed', 'one'): 0.4,
    ('was_there', 'no'): 0.65,
    ('did_leave', 'no'): 0.38,
    ('is_moving', 'no'): 0.7,
    ('left_before_entered', 'yes'): 0.45,
    ('which_way', 'still'): 0.15,
    ('which_way_shape', 'still'): 0.12,
    ('what_moves', 'nothing'): 0.3,
    ('what_left', 'nothing'): 0.06,
    ('what_changed', 'nothing'): 0.07,
}


@dataclass(frozen=True)
class Question:
    """A question about frames 0..t, its answer and what training needs to know about it."""

    type: str  # one of TYPES
    form: str  # the name of the wording in FORMS
    text: str
    answer: str
    temporal: bool  # cannot be answered from the newest frame alone
    objects: tuple[int, ...]  # ids of the objects that the answer rests on; empty when there are none
    evidence: int  # the frame that the answer rests on


def ask_about(
    clip: Clip, t: int, rng, n: int, types: Sequence[str] | None = None, temporal: bool | None = None
) -> list[Question]:
    """Up to n different questions about frames 0..t, spread over the types; fewer when the clip has no more to ask.

    `rng` is a random.Random or a numpy Generator; `temporal` True or False keeps only such forms.
    Raises ValueError for an unknown type and IndexError for a frame that the clip lacks.
    """
    if not 0 <= t < len(clip):
        raise IndexError(f'frame {t} is not in a clip of {len(clip)} frames')
    unknown = set(types or ()) - set(TYPES)
    if unknown:
        raise ValueError(f'no type of question is called {sorted(unknown)[0]!r}; choose from {", ".join(TYPES)}')
    draw = rng if isinstance(rng, random.Random) else random.Random(int(rng.integers(1 << 62)))
    view = View(clip, t)
    pools = {type: [f for f in _BY_TYPE[type] if temporal is None or f.temporal == temporal] for type in types or TYPES}
    cases: dict[str, dict[str, list]] = {}  # form -> answer -> cases not yet asked
    asked: list[Question] = []
    texts = set()
    turn = [type for type in pools if pools[type]]
    draw.shuffle(turn)
    while len(asked) < n and turn:
        for type in list(turn):
            question = _draw(view, pools[type], cases, draw, texts)
            if question is None:
                turn.remove(type)
            else:
                texts.add(question.text)
                asked.append(question)
                if len(asked) == n:
                    break
    return asked


def answer_to(clip: Clip, t: int, text: str) -> str | None:
    """The right answer to a question about frames 0..t; None where none is certain, or no form is worded so."""
    view, text = View(clip, t), ' '.join(text.lower().replace('?', ' ?').split())
    for form in FORMS.values():
        for slots, answer, _, _ in form.cases(view):
            if form.wording.format(**slots) == text:
                return answer
    return None


_BY_TYPE = {type: [f for f in FORMS.values() if f.type == type] for type in TYPES}


def _draw(view: View, forms: list[Form], cases: dict, draw: random.Random, texts: set) -> Question | None:
    """One question of any of the forms, which lose those that have nothing more to ask; None when all have."""
    while forms:
        form = forms[int(draw.random() * len(forms))]
        if form.name not in cases:
            by_answer: dict[str, list] = {}
            for case in form.cases(view):
                by_answer.setdefault(case[1], []).append(case)
            for answer in list(by_answer):
                if draw.random() >= _TAKE.get((form.name, answer), 1.0):
                    del by_answer[answer]
            cases[form.name] = by_answer
        by_answer = cases[form.name]
        if not by_answer:
            forms.remove(form)
            continue
        answers = list(by_answer)
        answer = answers[int(draw.random() * len(answers))]
        found = by_answer[answer]
        slots, _, ids, evidence = found.pop(int(draw.random() * len(found)))
        if not found:
            del by_answer[answer]
        text = form.wording.format(**slots)
        if text not in texts:
            return Question(form.type, form.name, text, answer, form.temporal, ids, evidence)
    return None
