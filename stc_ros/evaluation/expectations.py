"""What an answer has to be, and how right a given one is: one class for each kind, a text in, a score of 0 to 1 out.

Upper and lower case, spaces and punctuation at the ends do not count, except in a pattern.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol

from stc_ros.models.narration_filter import normalise

NUMBERS = (
    'zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen '
    'eighteen nineteen twenty'
).split()
_NUMBER = re.compile(r'(?<![\w.])[-+]?\d+(?:\.\d+)?(?!\w)|\b(?:' + '|'.join(NUMBERS) + r')\b', re.IGNORECASE)
YES = {'yes', 'true', 'yeah', 'yep'}
NO = {'no', 'false', 'nope', 'not'}


class Expectation(Protocol):
    """One kind of right answer."""

    def score(self, answer: str) -> float:
        """How right an answer is, 0 to 1; an empty one is 0."""

    def describe(self) -> dict[str, Any]:
        """What is expected, as it stands in a question file."""


@dataclass(frozen=True, slots=True)
class Exact:
    """One of these texts, word for word."""

    texts: tuple[str, ...]

    def score(self, answer: str) -> float:
        return float(bool(normalise(answer)) and normalise(answer) in map(normalise, self.texts))

    def describe(self) -> dict[str, Any]:
        return {'exact': _one_or_all(self.texts)}


@dataclass(frozen=True, slots=True)
class Contains:
    """All of these, as whole words; the score is the share that is found."""

    texts: tuple[str, ...]

    def score(self, answer: str) -> float:
        return sum(mentions(answer, text) for text in self.texts) / len(self.texts)

    def describe(self) -> dict[str, Any]:
        return {'contains': _one_or_all(self.texts)}


@dataclass(frozen=True, slots=True)
class Choice:
    """One option of several. An answer that names another one, too, is wrong: it has not chosen.

    options: text by letter ('' where they have none). The letter counts where the answer begins with it.
    """

    right: str
    options: tuple[tuple[str, str], ...]

    def score(self, answer: str) -> float:
        return float(self.chosen(answer) == {self.right})

    def chosen(self, answer: str) -> set[str]:
        """The texts of the options that an answer names."""
        given = re.match(r'\s*\(?([A-Za-z])(?:[).:,]|\s*$)', answer)
        by_letter = {text for letter, text in self.options if letter and given and letter == given[1].upper()}
        named = {text for _, text in self.options if mentions(answer, text)}
        # "red" is not chosen by "dark red" where that is an option of its own
        named -= {text for text in named for other in named if text != other and mentions(other, text)}
        return by_letter | named

    def describe(self) -> dict[str, Any]:
        lettered = any(letter for letter, _ in self.options)
        return {'choice': self.right, 'of': dict(self.options) if lettered else [text for _, text in self.options]}


@dataclass(frozen=True, slots=True)
class Number:
    """A number, in digits or as a word up to twenty; the first that an answer has counts."""

    value: float
    tolerance: float = 0.0

    def score(self, answer: str) -> float:
        found = _NUMBER.search(answer)
        if not found:
            return 0.0
        word = found[0].lower()
        number = NUMBERS.index(word) if word in NUMBERS else float(word)
        return float(abs(number - self.value) <= self.tolerance * (1 + 1e-12))

    def describe(self) -> dict[str, Any]:
        return {'number': self.value, 'tolerance': self.tolerance}


@dataclass(frozen=True, slots=True)
class YesNo:
    """Yes or no; the first word of an answer that is either counts."""

    yes: bool

    def score(self, answer: str) -> float:
        said = next((word in YES for word in re.findall(r'\w+', answer.lower()) if word in YES | NO), None)
        return float(said is self.yes)

    def describe(self) -> dict[str, Any]:
        return {'yes/no': 'yes' if self.yes else 'no'}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression that is found anywhere in the answer; (?i) in front ignores upper and lower case."""

    text: str

    def score(self, answer: str) -> float:
        return float(bool(answer) and re.search(self.text, answer) is not None)

    def describe(self) -> dict[str, Any]:
        return {'pattern': self.text}


@dataclass(frozen=True, slots=True)
class Proposed:
    """What a robot answered, of which nobody has said whether it is right: nothing can be scored by it."""

    text: str

    def score(self, answer: str) -> float:
        raise ValueError(f'nobody has said what is right; {self.text!r} is what a robot answered')

    def describe(self) -> dict[str, Any]:
        return {'proposed': self.text}


def mentions(answer: str, text: str) -> bool:
    """Whether `text` stands in `answer`, as whole words."""
    wanted, said = _words(text), _words(answer)
    return bool(wanted) and any(said[i : i + len(wanted)] == wanted for i in range(len(said)))


def _words(text: str) -> list[str]:
    return re.findall(r'\w+', text.casefold())


def _one_or_all(texts: tuple[str, ...]) -> str | list[str]:
    return texts[0] if len(texts) == 1 else list(texts)
