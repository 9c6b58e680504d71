"""A question file: what is asked of a bag at what time, what is right, and when all of it has passed.

    questions:
      - at: 12.5                     # s from the bag's start, or a stamp: 1700000000.25 (s), 1700000000250000000 (ns)
        camera: /front/image_raw     # only needed where there are several
        question: is the door open ?
        expect: {yes/no: yes}        # or one of exact, choice, contains, number, pattern
        tags: [door]
        deadline: 2.0                # s; whether it was kept stands with the times, in timing.jsonl
        id: door-1                   # by default q1, q2, ...
      - on: {topic: /door/open, field: data, equals: true}   # when another topic says so: see question_events.py
        question: what came through the door ?
        expect: {contains: person}
    narration:
      - between: [3, 8]
        must_say: [red circle]       # by at least one narration of that span
        must_not_say: [person]       # by none
    events:
      - between: [0, 30]
        must_not_happen: [reset, failure]
    require:
      - accuracy >= 0.9 on tag:door

expect: `exact: red` (or a list, any of them), `contains: [red, circle]` (all of them), `choice: red` with `of: [red,
blue]` or `of: {A: red, B: blue}`, `number: 3` with `tolerance: 1`, `yes/no: yes`, `pattern: "red|orange"`. A question
with `proposed:` in its place, a robot's answer, is unlabelled: nobody has said yet what is right, and it is not asked.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stc_ros.engine.questions import MAX_CHARACTERS
from stc_ros.evaluation import expectations
from stc_ros.evaluation.question_events import Event, read_event
from stc_ros.evaluation.question_fields import Time, read_expectation, read_time
from stc_ros.evaluation.requirements import Requirement, read_requirement
from stc_ros.io.marked_yaml import FileError, MarkedFile
from stc_ros.parameter_spec import nearest

__all__ = ['Question', 'QuestionFile', 'QuestionFileError', 'SpanExpectation', 'Time', 'read_questions']

QuestionFileError = FileError
SECTIONS = ('questions', 'narration', 'events', 'require')
QUESTION = ('id', 'at', 'on', 'camera', 'question', 'expect', 'proposed', 'tags', 'deadline')
HAPPENS = ('reset', 'failure')  # what a replay writes down as an event, beside
OF_WATCHES = ('rising', 'falling', 'expired')  # 'door rising', say, of the watch called door
NAMED = 10  # questions that a message names


@dataclass(frozen=True, slots=True)
class Question:
    """Asked when the frames up to its time have been processed, and none behind it."""

    id: str
    line: int
    at: Time | None  # None: when an event happens
    camera: str  # '': the one there is
    text: str
    expect: expectations.Expectation
    tags: tuple[str, ...] = ()
    deadline: float = 0.0  # s; 0: none
    on: Event | None = None


@dataclass(frozen=True, slots=True)
class SpanExpectation:
    """What the narrations whose newest frame lies within a span have to say and not to say, or what has to happen."""

    line: int
    verb: str  # 'say' or 'happen'
    between: tuple[Time, Time]
    camera: str
    must: tuple[str, ...]
    must_not: tuple[str, ...]
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QuestionFile:
    """All that stands in one file; `digest` is of its bytes."""

    file: str = ''
    questions: tuple[Question, ...] = ()
    narration: tuple[SpanExpectation, ...] = ()
    events: tuple[SpanExpectation, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    digest: str = ''
    cameras: dict[str, int] = field(default_factory=dict)  # every camera that is named, and the first line that does
    unlabelled: tuple[Question, ...] = ()  # with what was proposed; no part of `questions`

    def check_order(self, start_ns: int) -> None:
        """Raises `QuestionFileError` where a question stands behind a later one. Events have an order of their own."""
        timed = [(each, each.at.stamp(start_ns)) for each in self.questions if each.at]
        for (before, first), (question, second) in zip(timed, timed[1:]):
            if second < first:
                raise QuestionFileError(
                    f'{self.file}:{question.line}: question {question.id!r}, at {(second - start_ns) / 1e9:g} s, '
                    f'stands behind {before.id!r} of line {before.line}, at {(first - start_ns) / 1e9:g} s: sort them '
                    'by time'
                )

    def out_of_range(self, question: Question, stamp: int, start_ns: int, end_ns: int) -> str:
        """Why it cannot be asked at that stamp of a bag of that span; '' where it can."""
        if start_ns <= stamp <= end_ns:
            return ''
        away = 'before its start' if stamp < start_ns else 'behind its end'
        return (
            f'{self.file}:{question.line}: question {question.id!r} is out of range: the bag is '
            f'{(end_ns - start_ns) / 1e9:g} s long, and {(stamp - start_ns) / 1e9:g} s lies {away}; it was not asked'
        )

    def not_labelled(self) -> str:
        """What to say of the questions that are unlabelled; '' where there are none."""
        if not self.unlabelled:
            return ''
        count, ids = len(self.unlabelled), [each.id for each in self.unlabelled]
        which = f'{", ".join(ids[:NAMED])}{", ..." if ids[NAMED:] else ""}'
        said = 'question is' if count == 1 else 'questions are'
        return (
            f'{self.file}:{self.unlabelled[0].line}: {count} {said} unlabelled ({which}) and cannot be scored: '
            f'run stc_ros questions label BAG --questions {self.file}'
        )


def read_questions(file: Path) -> QuestionFile:
    """Raises `QuestionFileError`, which names file and line."""
    marked = MarkedFile(file)
    top = marked.section(marked.content, 1, 'a question file', SECTIONS)
    everything = [_question(marked, line, value, i) for i, (line, value) in enumerate(marked.items(top, 'questions'))]
    narration = [_span(marked, line, value, 'say') for line, value in marked.items(top, 'narration')]
    events = [_span(marked, line, value, 'happen') for line, value in marked.items(top, 'events')]
    if not everything and not narration and not events:
        raise marked.error(1, 'there is neither a question nor a narration expectation nor an event: add questions:')
    ids: dict[str, int] = {}
    for each in everything:
        if each.id in ids:
            raise marked.error(each.line, f'the id {each.id!r} is taken by line {ids[each.id]}')
        ids[each.id] = each.line
    tags = {tag for each in (*everything, *narration, *events) for tag in each.tags}
    cameras: dict[str, int] = {}
    for each in (*everything, *narration, *events):
        if each.camera:
            cameras.setdefault(each.camera, each.line)
    require = [_requirement(marked, line, value, tags, cameras) for line, value in marked.items(top, 'require')]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    unlabelled = [each for each in everything if isinstance(each.expect, expectations.Proposed)]
    questions = [each for each in everything if each not in unlabelled]
    return QuestionFile(str(file), *map(tuple, (questions, narration, events, require)), digest, cameras,
                        tuple(unlabelled))  # fmt: skip


def _question(marked: MarkedFile, line: int, value: Any, index: int) -> Question:
    section = marked.section(value, line, 'a question', QUESTION, needed=('question',))
    text = marked.text(section, 'question').strip()
    if not text:
        raise marked.error(section.lines['question'], 'question is empty')
    if len(text) > MAX_CHARACTERS:
        raise marked.error(section.lines['question'], f'question has {len(text)} characters, at most {MAX_CHARACTERS}')
    for one, other in (('at', 'on'), ('expect', 'proposed')):
        if one in section and other in section:
            raise marked.error(
                max(section.lines[one], section.lines[other]), f'a question has {one} or {other}, not both'
            )
        if one not in section and other not in section:
            raise marked.error(line, f'a question lacks {one}')
    if 'expect' in section:
        expect = read_expectation(marked, section.lines['expect'], section['expect'])
    else:
        expect = expectations.Proposed(marked.text(section, 'proposed').strip())
    return Question(
        id=marked.text(section, 'id').strip() or f'q{index + 1}',
        line=line,
        at=read_time(marked, section.lines['at'], section['at'], 'at') if 'at' in section else None,
        camera=marked.text(section, 'camera').strip(),
        text=text,
        expect=expect,
        tags=marked.texts(section, 'tags'),
        deadline=marked.number(section, 'deadline'),
        on=read_event(marked, section.lines['on'], section['on']) if 'on' in section else None,
    )


def _span(marked: MarkedFile, line: int, value: Any, verb: str) -> SpanExpectation:
    what = 'a narration expectation' if verb == 'say' else 'an event expectation'
    fields = f'must_{verb}', f'must_not_{verb}'
    section = marked.section(value, line, what, ('between', 'camera', *fields, 'tags'), needed=('between',))
    ends = marked.items(section, 'between')
    if len(ends) != 2:
        raise marked.error(section.lines['between'], 'between has to be two times: [3, 8]')
    first, last = (read_time(marked, where, end, 'between') for where, end in ends)
    if first.absolute != last.absolute or last.ns < first.ns:
        raise marked.error(section.lines['between'], 'between has to be two times of one kind, the earlier one first')
    must, must_not = (marked.texts(section, name) for name in fields)
    if not must and not must_not:
        raise marked.error(line, f'{what} needs {fields[0]} or {fields[1]}')
    for name in fields if verb == 'happen' else ():
        for each in marked.texts(section, name):
            watch, _, change = each.rpartition(' ')
            if each not in HAPPENS and not (watch and change in OF_WATCHES):
                there = f'there is {" and ".join(HAPPENS)}, and of a watch called door, say, "door {OF_WATCHES[0]}"'
                said = f'no event is called {each!r}{nearest(each, HAPPENS)}; {there}'
                raise marked.error(section.lines[name], said)
    camera = marked.text(section, 'camera').strip()
    return SpanExpectation(line, verb, (first, last), camera, must, must_not, marked.texts(section, 'tags'))


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
