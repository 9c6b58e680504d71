"""The conditions under which the same questions are asked: plain, with the settings, and the controls.

Three are ablations of what compression might destroy: `blank` shows nothing, `newest` forgets the past, `no_refresh` (a
cacher that never refreshes: every layer reuses the first frame's, only the patch embeddings are the frame's own) misses
what is new. A type of question that survives one of them cannot tell what compression costs. The others are there to
compare with: `reversed` destroys the order of time; `random` and `uniform` keep as many tokens as the settings' pruner,
but choose them without looking; `held` shows the plain model only every fourth frame, for as long as four last: what
compression must beat that costs a quarter or more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stc_ros.evaluation.controls import GREY
from stc_ros.models.base import VideoModel
from stc_ros.parameters import parameters, pruners
from stc_ros.pruning.base import Pruner, Selection
from stc_ros.settings import Settings
from stc_ros.stream import Stream, open_stream
from stc_ros.vision.encode import FrameFeatures

HOLD = 4  # frames for which `held` shows one
CONTROLS = ('blank', 'newest', 'no_refresh', 'reversed', 'random', 'uniform', 'held')
ABLATIONS = ('blank', 'newest', 'no_refresh')


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
    the settings' would keep. narrates: the narration is asked for, too.
    """

    name: str
    settings: Settings
    show: Callable[[np.ndarray], np.ndarray] = show_all
    anew: bool = False
    choice: str = ''
    narrates: bool = False

    def open(self, model: VideoModel) -> Stream:
        """A fresh stream."""
        stream = open_stream(model, self.settings)
        if not self.choice:
            return stream
        pruner = MatchedBudget(stream.pruner, pruners.create(self.choice))
        return Stream(model, stream.cacher, pruner, stream.memory, stream.parameters)


@dataclass(slots=True)
class MatchedBudget(Pruner):
    """Keeps as many tokens of every frame as `counter` would, but those that `chooser` names."""

    counter: Pruner
    chooser: Pruner

    def select(self, frame: FrameFeatures, prune_ratio: float) -> Selection:
        share = len(self.counter.select(frame, prune_ratio).index) / len(frame.tokens)
        return self.chooser.select(frame, 1 - share)

    def reset(self) -> None:
        """A new scene renews the counting alone."""
        self.counter.reset()


def plain(settings: Settings) -> Settings:
    """The same model without any compression."""
    return settings | {'cacher.method': 'none', 'pruner.method': 'none'}


def controls(settings: Settings) -> list[Condition]:
    """One condition for each of `CONTROLS`."""
    off = plain(settings)
    interval = parameters()['cacher.threshold.cache_interval'].high
    change = {'cacher': 'threshold', 'cache_similarity': 0.0, 'cacher.threshold.cache_interval': interval}
    no_refresh = off | change | {'input.scene_change': 2.0}
    return [
        Condition('blank', off, show_blank),
        Condition('newest', off, show_newest, anew=True),
        Condition('no_refresh', no_refresh),
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
