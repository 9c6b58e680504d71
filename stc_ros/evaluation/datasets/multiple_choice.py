"""Questions with lettered options: how they are written down, and how right an answer is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase

from stc_ros.evaluation.datasets.base import Question
from stc_ros.evaluation.expectations import Choice

_OWN_LETTER = re.compile(r'\s*([A-Z])\s*[.)]\s*(.*)', re.DOTALL)
_FIRST_LETTER = re.compile(r'\W*([A-Z])(?![A-Za-z])')
_LEAD_IN = re.compile(r'.*\b(?:answer|option|choice)\b(?:\s+is)?\s*:?', re.IGNORECASE | re.DOTALL)


def lettered(options: Sequence[str], form: str = '{}. {}') -> list[str]:
    """['red', 'blue'] -> ['A. red', 'B. blue']"""
    return [form.format(letter, text) for letter, text in zip(ascii_uppercase, options)]


def texts(options: Sequence[str], count: int = 0) -> tuple[str, ...]:
    """['A. red', 'B. blue'] -> ('red', 'blue'); options without letters of their own stay as they are.

    A piece without a letter among lettered ones belongs to the option before it. Options go by their letters, where
    these are all different, else by their places. count: how many there are, where that is known; of more, those whose
    letter has been there or is behind the last are dropped. Raises `ValueError` where there is no option.
    """
    if not options or not all(isinstance(option, str) for option in options):
        raise ValueError(f'its options are no list of texts: {options!r}')
    own = [_OWN_LETTER.match(option) for option in options]
    if not own[0] or sum(map(bool, own)) < 2:
        return tuple((match[2] if match and not n else options[n]).strip() for n, match in enumerate(own))
    found: list[tuple[str, str]] = []
    for option, match in zip(options, own):
        if match:
            found.append((match[1], match[2].strip()))
        else:
            found[-1] = found[-1][0], f'{found[-1][1]} {option.strip()}'.strip()
    if count and len(found) > count:
        by_letter = {name: text for name, text in reversed(found) if name in ascii_uppercase[:count]}
        found = list(by_letter.items())
    if sorted(name for name, _ in found) == list(ascii_uppercase[: len(found)]):
        found.sort(key=lambda option: option[0])
    return tuple(text for _, text in found)


def letter(index: int, options: Sequence[str]) -> str:
    """0 -> A. Raises `ValueError` for an option that there is not."""
    if type(index) is not int or not 0 <= index < len(options):
        raise ValueError(f'its answer is option {index!r} of {len(options)}')
    return ascii_uppercase[index]


def check_letter(given: str, options: Sequence[str]) -> str:
    """The letter, if it is one of the options'. Raises `ValueError`."""
    if given not in ascii_uppercase[: len(options)] or len(given) != 1:
        raise ValueError(f'its answer {given!r} is none of its {len(options)} options')
    return given


def first_letter(answer: str) -> str:
    """The letter that an answer begins with, or ''; brackets and quotes before it do not count."""
    found = _FIRST_LETTER.match(answer)
    return found[1] if found else ''


def begins_right(question: Question, answer: str) -> float:
    """1 where the answer begins with the right letter."""
    return float(first_letter(answer) == question.expected)


def lenient(question: Question, answer: str) -> float:
    """1 where the answer names the right option, by its letter or its text, and no other one.

    The letter counts where the answer, or what follows "the answer is" or the like, begins with it; the text counts
    anywhere, as whole words.
    """
    if re.sub(r'\W', '', answer) == question.expected:
        return 1.0
    right = question.options[ascii_uppercase.index(question.expected)]
    choice = Choice(right, tuple(zip(ascii_uppercase, question.options)))
    lead_in = _LEAD_IN.match(answer)
    ends = [answer, answer[lead_in.end() :]] if lead_in else [answer]
    named = choice.chosen(ends[0]) or choice.chosen(ends[-1])
    return float(named == {right})
