"""The conditions under which the same questions are asked: plain, with the settings, and the controls.

Three controls destroy what compression might destroy: `blank` shows nothing, `newest` forgets the past, `never` (a
cacher that never refreshes: every layer reuses the first frame's, only the patch embeddings are the frame's own) misses
what is new. A type of question that survives one of them cannot tell what compression costs. The others are there to
compare with: `reversed` destroys the order of time; `random` and `uniform` keep as many tokens as the settings' pruner,
but choose them without looking; `held` shows the plain model only every fourth frame, for as long as four last: what
compression must beat that costs a quarter or more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np

from stc_ros.compression.pruner import Pruner, Selection, make_pruner
from stc_ros.compression.vision import Sight
from stc_ros.models.base import VideoModel
from stc_ros.settings import KNOBS, Settings
from stc_ros.stream import Stream

GREY = 128
HOLD = 4  # frames for which `held` shows one
CONTROLS = ('blank', 'newest', 'never', 'reversed', 'random', 'uniform', 'held')
DESTROYERS = ('blank', 'newest', 'never')


def show_all(frames: np.ndarray) -> np.ndarray:
    return frames


def show_blank(frames: np.ndarray) -> np.ndarray:
    return np.full_like(frames, GREY)


def show_newest(frames: np.ndarray) -> np.ndarray:
    return frames[-1:]


def show_reversed(frames: np.ndarray) -> np.ndarray:
    return frames[::-1]


def show_held(frames: np.ndarray) -> np.ndarray:
    at = np.arange(len(frames))
    return frames[at - at % HOLD]


@dataclass(frozen=True, slots=True)
class Condition:
    """How a stream is shown and compressed.

    show: frames up to a moment [t + 1, H, W, 3] -> frames that the stream sees. anew: each moment gets a stream of its
    own, as what it is shown does not go on from the moment before. choice: the pruner that chooses as many tokens as
    the settings' would keep. cuts: the stream notices new scenes. narrates: the narration is asked for, too.
    """

    name: str
    settings: Settings
    show: Callable[[np.ndarray], np.ndarray] = show_all
    anew: bool = False
    choice: str = ''
    cuts: bool = True
    narrates: bool = False

    def open(self, model: VideoModel) -> Stream:
        """A fresh stream."""
        return Rechosen(model, self.settings, self.choice) if self.choice else Stream(model, self.settings)


class Rechosen(Stream):
    """A stream whose pruner decides how many tokens are kept, and the pruner called `choice` which."""

    def __init__(self, model: VideoModel, settings: Settings, choice: str):
        self.chooser = make_pruner(choice)
        super().__init__(model, settings)

    @property
    def pruner(self) -> Pruner:
        return self._pruner

    @pruner.setter
    def pruner(self, pruner: Pruner) -> None:
        self._pruner = Rechoice(pruner, self.chooser)  # a new scene renews the counting alone


@dataclass(slots=True)
class Rechoice:
    """A pruner that keeps as many tokens of every frame as `counter` would, but those that `chooser` names."""

    counter: Pruner
    chooser: Pruner

    def select(self, sight: Sight, settings: Settings) -> Selection:
        share = len(self.counter.select(sight, settings).index) / len(sight.tokens)
        return self.chooser.select(sight, SimpleNamespace(prune_ratio=1 - share))


def plain(settings: Settings) -> Settings:
    """The same model without any compression."""
    return replace(settings, cacher='off', pruner='off')


def controls(settings: Settings) -> list[Condition]:
    """One condition for each of `CONTROLS`."""
    off = plain(settings)
    never = replace(off, cacher='similarity', cache_similarity=0.0, cache_interval=KNOBS['cache_interval'].high)
    return [
        Condition('blank', off, show_blank),
        Condition('newest', off, show_newest, anew=True),
        Condition('never', never, cuts=False),
        Condition('reversed', off, show_reversed, anew=True),
        Condition('random', settings, choice='random'),
        Condition('uniform', settings, choice='uniform'),
        Condition('held', off, show_held),
    ]


def conditions(settings: Settings) -> list[Condition]:
    """Plain, with the settings, and the controls."""
    return [
        Condition('plain', plain(settings), narrates=True),
        Condition('settings', settings, narrates=True),
        *controls(settings),
    ]
