"""What a data set is: episodes of frames with their times, questions with theirs, and how an answer is scored.

One class per data set, one file each. It is a dataclass whose `param` fields are its parameters, and registers itself:

    @datasets.register('mine', source='arXiv ...', scope='what it asks about')
    @dataclass
    class Mine:
        folder: str = param('', 'Where its videos are.')

Of a data set that lies on disk as annotations and videos, `VideoDataset` (videos.py) is the base.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from stc_ros.registry import Registry

datasets = Registry('dataset', 'stc_ros.evaluation.datasets')


class DatasetError(ValueError):
    """A data set cannot be read at all. The message names the file, and where it comes from."""


class EpisodeError(ValueError):
    """An episode cannot be shown, or not to its end. Its questions are not asked from there on; the others are."""


@dataclass(frozen=True, slots=True)
class Poll:
    """Waiting for the right moment: every `period` ns from `first` on, `text` is asked, until an answer says yes."""

    text: str
    first: int
    period: int


@dataclass(frozen=True, slots=True)
class Question:
    """Asked at `stamp`, in ns: when every frame up to that time has been shown, and none behind it.

    With a poll it is asked at the moment of the first yes, up to `stamp`; the answer is then `timed(moment, answer)`,
    and '' where no yes came.
    """

    stamp: int
    text: str
    expected: str
    tags: tuple[str, ...] = ()  # accuracy is reported for each
    id: str = ''
    options: tuple[str, ...] = ()  # of a multiple choice: the texts of A, B, ...; `expected` is a letter then
    poll: Poll | None = None


@dataclass(frozen=True, slots=True)
class Episode:
    """One stream. frames: (stamp in ns, uint8 RGB [H, W, 3]), stamps ascending; may be read once only.

    Reading the frames may raise `EpisodeError`. A question behind the last frame is asked when that has been shown.
    """

    name: str
    frames: Iterable[tuple[int, np.ndarray]]
    questions: tuple[Question, ...]  # stamps ascending, none before the first frame


class Scored(NamedTuple):
    """A question and how right its answer was, by one metric."""

    id: str
    tags: tuple[str, ...]
    score: float


class Part(NamedTuple):
    """What a figure is made of: weight * the mean of n scores, added up over its parts."""

    weight: float
    mean: float
    n: int


class Dataset(Protocol):
    """Episodes, the same ones every time for the same parameters.

    It may also have:
      problems: list[str], what of it could not be read, each named;
      notes: list[str], what is left out or done otherwise on purpose;
      total(): how many questions there are, where that is known without showing a frame;
      totals(scored): by name, the figures that its authors report beside the accuracy by tag and over all.
    """

    def episodes(self) -> Iterator[Episode]:
        """Raises `DatasetError`."""

    def score(self, question: Question, answer: str) -> float | Mapping[str, float]:
        """How right an answer is, 0 to 1: 1 for the expected one, 0 for an empty one. A number is called `strict`;
        by metric, the first one is `strict`."""


def timed(stamp: int, answer: str) -> str:
    """An answer and when it was given."""
    return f'{stamp / 1e9:g} s: {answer}'


def mean(weight: float, scores: Iterable[float]) -> Part:
    """The part of a figure that is the mean of these scores, at least one."""
    listed = list(scores)
    return Part(weight, sum(listed) / len(listed), len(listed))
