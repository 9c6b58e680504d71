"""What a data set is: episodes of frames with their times, questions with theirs, and how an answer is scored.

One class per data set, one file each. It is a dataclass whose `param` fields are its parameters, and registers itself:

    @datasets.register('mine', source='arXiv ...', scope='what it asks about')
    @dataclass
    class Mine:
        folder: str = param('', 'Where its videos are.')
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stc_ros.registry import Registry

datasets = Registry('dataset', 'stc_ros.evaluation.datasets')


@dataclass(frozen=True, slots=True)
class Question:
    """Asked at `stamp`, in ns: when every frame up to that time has been shown, and none behind it."""

    stamp: int
    text: str
    expected: str
    tags: tuple[str, ...] = ()  # accuracy is reported for each


@dataclass(frozen=True, slots=True)
class Episode:
    """One stream. frames: (stamp in ns, uint8 RGB [H, W, 3]), stamps ascending; may be read once only."""

    name: str
    frames: Iterable[tuple[int, np.ndarray]]
    questions: tuple[Question, ...]  # stamps ascending, none before the first frame or behind the last


class Dataset(Protocol):
    """Episodes, the same ones every time for the same parameters."""

    def episodes(self) -> Iterator[Episode]: ...

    def score(self, question: Question, answer: str) -> float:
        """How right an answer is, 0 to 1: 1 for the expected one, 0 for an empty one."""
