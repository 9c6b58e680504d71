"""A question file: what is asked of a bag at what time, what is right, and when all of it has passed.

    questions:
      - at: 12.5                     # s from the bag's start, or a stamp: 1700000000.25 (s), 1700000000250000000 (ns)
        camera: /front/image_raw     # only needed where there are several
        question: is the door open ?
        expect: {yes/no: yes}        # or one of exact, choice, contains, number, pattern
        tags: [door]
        deadline: 2.0                # s; whether it was kept stands with the times, in timing.jsonl
        id: door-1                   # by default q1, q2, ...
    narration:
      - between: [3, 8]
        must_say: [red circle]       # by at least one narration of that span
        must_not_say: [person]       # by none
    require:
      - accuracy >= 0.9 on tag:door

expect: `exact: red` (or a list, any of them), `contains: [red, circle]` (all of them), `choice: red` with `of: [red,
blue]` or `of: {A: red, B: blue}`, `number: 3` with `tolerance: 1`, `yes/no: yes`, `pattern: "red|orange"`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from stc_ros.engine.questions import MAX_CHARACTERS
from stc_ros.evaluation import expectations
from stc_ros.evaluation.marked_yaml import FileError, MarkedFile, Section
from stc_ros.evaluation.requirements import Requirement, read_requirement
from stc_ros.parameter_spec import nearest

__all__ = ['NarrationExpectation', 'Question', 'QuestionFile', 'QuestionFileError', 'Time', 'read_questions']

QuestionFileError = FileError
KINDS = ('exact', 'choice', 'contains', 'number', 'yes/no', 'pattern')
BESIDE = {'choice': 'of', 'number': 'tolerance'}  # what may stand beside a kind
QUESTION = ('id', 'at', 'camera', 'question', 'expect', 'tags', 'deadline')
NARRATION = ('between', 'camera', 'must_say', 'must_not_say', 'tags')
STAMP_S = 100_000_000  # a time from here on is a stamp: three years of a bag, or the year 1973
STAMP_NS = 10_000_000_000  # a whole number from here on counts ns


@dataclass(frozen=True, slots=True)
class Time:
    """ns, from the bag's start or, `absolute`, as header.stamp counts."""

    ns: int
    absolute: bool = False

    def stamp(self, start_ns: int) -> int:
        return self.ns if self.absolute else start_ns + self.ns


@dataclass(frozen=True, slots=True)
class Question:
    """Asked when the frames up to its time have been processed, and none behind it."""

    id: str
    line: int
    at: Time
    camera: str  # '': the one there is
    text: str
    expect: expectations.Expectation
    tags: tuple[str, ...] = ()
    deadline: float = 0.0  # s; 0: none


@dataclass(frozen=True, slots=True)
class NarrationExpectation:
    """What the narrations whose newest frame lies within a span have to say, and have not to say."""

    line: int
    between: tuple[Time, Time]
    camera: str
    must_say: tuple[str, ...]
    must_not_say: tuple[str, ...]
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QuestionFile:
    """All that stands in one file; `digest` is of its bytes."""

    file: str = ''
    questions: tuple[Question, ...] = ()
    narration: tuple[NarrationExpectation, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    digest: str = ''
    cameras: dict[str, int] = field(default_factory=dict)  # every camera that is named, and the first line that does

    def check_order(self, start_ns: int) -> None:
        """Raises `QuestionFileError` where a question stands behind a later one."""
        for before, question in zip(self.questions, self.questions[1:]):
            first, second = before.at.stamp(start_ns), question.at.stamp(start_ns)
            if second < first:
                raise QuestionFileError(
                    f'{self.file}:{question.line}: question {question.id!r}, at {(second - start_ns) / 1e9:g} s, '
                    f'stands behind {before.id!r} of line {before.line}, at {(first - start_ns) / 1e9:g} s: sort them '
                    'by time'
                )

    def out_of_range(self, question: Question, start_ns: int, end_ns: int) -> str:
        """Why it cannot be asked of a bag of that span; '' where it can."""
        stamp, seconds = question.at.stamp(start_ns), (end_ns - start_ns) / 1e9
        if start_ns <= stamp <= end_ns:
            return ''
        away = 'before its start' if stamp < start_ns else 'behind its end'
        return (
            f'{self.file}:{question.line}: question {question.id!r} is out of range: the bag is {seconds:g} s long, '
            f'and {(stamp - start_ns) / 1e9:g} s lies {away}; it was not asked'
        )


def read_questions(file: Path) -> QuestionFile:
    """Raises `QuestionFileError`, which names file and line."""
    marked = MarkedFile(file)
    top = marked.section(marked.content, 1, 'a question file', ('questions', 'narration', 'require'))
    questions = [_question(marked, line, value, i) for i, (line, value) in enumerate(marked.items(top, 'questions'))]
    narration = [_narration(marked, line, value) for line, value in marked.items(top, 'narration')]
    if not questions and not narration:
        raise marked.error(1, 'there is neither a question nor a narration expectation: add questions:')
    ids: dict[str, int] = {}
    for each in questions:
        if each.id in ids:
            raise marked.error(each.line, f'the id {each.id!r} is taken by line {ids[each.id]}')
        ids[each.id] = each.line
    tags = {tag for each in (*questions, *narration) for tag in each.tags}
    cameras: dict[str, int] = {}
    for each in (*questions, *narration):
        if each.camera:
            cameras.setdefault(each.camera, each.line)
    require = [_requirement(marked, line, value, tags, cameras) for line, value in marked.items(top, 'require')]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return QuestionFile(str(file), tuple(questions), tuple(narration), tuple(require), digest, cameras)


def _question(marked: MarkedFile, line: int, value: Any, index: int) -> Question:
    section = marked.section(value, line, 'a question', QUESTION, needed=('at', 'question', 'expect'))
    text = marked.text(section, 'question').strip()
    if not text:
        raise marked.error(section.lines['question'], 'question is empty')
    if len(text) > MAX_CHARACTERS:
        raise marked.error(section.lines['question'], f'question has {len(text)} characters, at most {MAX_CHARACTERS}')
    return Question(
        id=marked.text(section, 'id').strip() or f'q{index + 1}',
        line=line,
        at=_time(marked, section.lines['at'], section['at'], 'at'),
        camera=marked.text(section, 'camera').strip(),
        text=text,
        expect=_expectation(marked, section.lines['expect'], section['expect']),
        tags=marked.texts(section, 'tags'),
        deadline=marked.number(section, 'deadline'),
    )


def _narration(marked: MarkedFile, line: int, value: Any) -> NarrationExpectation:
    section = marked.section(value, line, 'a narration expectation', NARRATION, needed=('between',))
    ends = marked.items(section, 'between')
    if len(ends) != 2:
        raise marked.error(section.lines['between'], 'between has to be two times: [3, 8]')
    first, last = (_time(marked, where, end, 'between') for where, end in ends)
    if first.absolute != last.absolute or last.ns < first.ns:
        raise marked.error(section.lines['between'], 'between has to be two times of one kind, the earlier one first')
    must, must_not = marked.texts(section, 'must_say'), marked.texts(section, 'must_not_say')
    if not must and not must_not:
        raise marked.error(line, 'a narration expectation needs must_say or must_not_say')
    camera = marked.text(section, 'camera').strip()
    return NarrationExpectation(line, (first, last), camera, must, must_not, marked.texts(section, 'tags'))


def _time(marked: MarkedFile, line: int, text: Any, what: str) -> Time:
    try:
        value = Decimal(text)
        if not value.is_finite() or value < 0:
            raise InvalidOperation
    except (InvalidOperation, TypeError, ValueError):
        raise marked.error(
            line, f'{what} has to be s from the start of the bag, or a stamp in s or ns, not {text!r}'
        ) from None
    if value >= STAMP_NS and value == int(value):
        return Time(int(value), absolute=True)
    return Time(int(round(value * 1_000_000_000)), absolute=value >= STAMP_S)


def _expectation(marked: MarkedFile, line: int, value: Any) -> expectations.Expectation:
    section = marked.section(value, line, 'expect', (*KINDS, *BESIDE.values()))
    given = [kind for kind in KINDS if kind in section]
    if len(given) != 1:
        raise marked.error(
            line, f'expect needs exactly one of {", ".join(KINDS)}; there is {" and ".join(given) or "none"}'
        )
    kind = given[0]
    for name, beside in BESIDE.items():
        if beside in section and name != kind:
            raise marked.error(section.lines[beside], f'{beside} belongs to {name}, not to {kind}')
    line = section.lines[kind]
    if kind in ('exact', 'contains'):
        texts = marked.texts(section, kind)
        if not texts:
            raise marked.error(line, f'{kind} has to be a text or a list of texts')
        return (expectations.Exact if kind == 'exact' else expectations.Contains)(texts)
    text = marked.text(section, kind).strip()
    if kind == 'choice':
        return _choice(marked, section, text)
    if kind == 'number':
        try:
            number = float(text)
        except ValueError:
            number = float('nan')
        if not abs(number) < float('inf'):
            raise marked.error(line, f'number has to be a number, not {text!r}')
        return expectations.Number(number, marked.number(section, 'tolerance'))
    if kind == 'yes/no':
        if text.lower() not in ('yes', 'no', 'true', 'false'):
            raise marked.error(line, f'yes/no has to be yes or no, not {text!r}')
        return expectations.YesNo(text.lower() in ('yes', 'true'))
    try:
        re.compile(text)
    except re.error as error:
        raise marked.error(line, f'pattern {text!r} is no regular expression: {error}') from None
    if not text:
        raise marked.error(line, 'pattern is empty, and found everywhere')
    return expectations.Pattern(text)


def _choice(marked: MarkedFile, section: Section, right: str) -> expectations.Choice:
    of, line = section.get('of'), section.lines['choice']
    if isinstance(of, Section):
        options = tuple((letter.strip().upper(), text) for letter, text in of.items())
    else:
        options = tuple(('', text) for text in marked.texts(section, 'of'))
    if len(options) < 2 or not all(isinstance(text, str) and text.strip() for _, text in options):
        raise marked.error(line, 'choice needs the options beside it: of: [red, blue], or of: {A: red, B: blue}')
    chosen = [text for letter, text in options if text == right or (letter and letter == right.upper())]
    if len(chosen) != 1:
        raise marked.error(line, f'choice {right!r} is none of the options{nearest(right, [t for _, t in options])}')
    return expectations.Choice(chosen[0], options)


def _requirement(marked: MarkedFile, line: int, value: Any, tags: set[str], cameras: dict[str, int]) -> Requirement:
    try:
        requirement = read_requirement(value if isinstance(value, str) else '')
    except ValueError as error:
        raise marked.error(line, str(error)) from None
    known = tags if requirement.where == 'tag' else cameras
    if requirement.where and requirement.name not in known:
        raise marked.error(
            line, f'no question names the {requirement.where} {requirement.name!r}{nearest(requirement.name, known)}'
        )
    return requirement
