"""What stands in the fields of a question file that needs reading: a time, and what is expected."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from stc_ros.evaluation import expectations
from stc_ros.io.marked_yaml import MarkedFile, Section
from stc_ros.parameter_spec import nearest

KINDS = ('exact', 'choice', 'contains', 'number', 'yes/no', 'pattern')
BESIDE = {'choice': 'of', 'number': 'tolerance'}  # what may stand beside a kind
STAMP_S = 100_000_000  # a time from here on is a stamp: three years of a bag, or the year 1973
STAMP_NS = 10_000_000_000  # a whole number from here on counts ns


@dataclass(frozen=True, slots=True)
class Time:
    """ns, from the bag's start or, `absolute`, as header.stamp counts."""

    ns: int
    absolute: bool = False

    def stamp(self, start_ns: int) -> int:
        return self.ns if self.absolute else start_ns + self.ns


def read_time(marked: MarkedFile, line: int, text: Any, what: str) -> Time:
    """Raises `FileError` for what is no time."""
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


def read_expectation(marked: MarkedFile, line: int, value: Any) -> expectations.Expectation:
    """Of one of KINDS. Raises `FileError`."""
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
