"""What is said of a synthetic world, held against what its camera knows. Knows nothing of ROS."""

from __future__ import annotations

import itertools
import random
from collections import deque

import numpy as np

from stc_ros.synthetic import Clip, World
from stc_ros.synthetic.forms import TYPES
from stc_ros.synthetic.narration import join
from stc_ros.synthetic.questions import answer_to, ask_about
from stc_ros.synthetic.world import counted_from

REMEMBERED = 4096  # pictures that may pass between two narrations
REACHED = 128  # pictures before the newest one about which a question may still be judged
NO_PIXELS = np.empty(0, np.uint8)


class GroundTruth:
    """Knows the pictures of a world by their stamps: what is true of them, what to ask, and what is right.

    world: one as the camera's is at its first picture; it is stepped as far as is asked for.
    `begin` once the stream has seen its first picture: what was before, it can't know.
    """

    def __init__(self, world: World | None = None):
        self._world = world
        self._truths = deque([world.truth()] if world else (), maxlen=REACHED)
        self._moments: deque[tuple[int, str]] = deque(maxlen=REMEMBERED)
        self._numbers: deque[tuple[int, int]] = deque(maxlen=REACHED)
        self._first = 0
        self._types, self._draw = itertools.cycle(TYPES), random.Random(0)

    def saw(self, stamp: int, text: str, number: int = 1) -> None:
        """text: of the `number`-th picture, taken at `stamp`, ns; see `tell_moment`."""
        self._moments.append((stamp, text))
        self._numbers.append((stamp, number - 1))

    def begin(self, stamp: int) -> None:
        """The first picture seen is that of `stamp`."""
        while self._moments and self._moments[0][0] < stamp:
            self._moments.popleft()
        self._first = dict(self._numbers).get(stamp, self._numbers[-1][1] if self._numbers else 0)

    def until(self, stamp: int) -> str:
        """What a perfect narrator would say at the picture of `stamp` of all since the last call; '' when not known.

        Earlier pictures are forgotten.
        """
        if stamp not in (at for at, _ in self._moments):
            return ''
        passed = []
        while self._moments and self._moments[0][0] <= stamp:
            passed.append(self._moments.popleft()[1])
        return join(passed)

    def question(self) -> str:
        """A question that has an answer at the newest picture, of one type after the other; '' when there is none."""
        if self._world and self._numbers:
            clip = self._until_picture(self._numbers[-1][1])
            for type in itertools.islice(self._types, len(TYPES)):
                for question in ask_about(clip, len(clip) - 1, self._draw, 1, (type,)):
                    return question.text
        return ''

    def answer(self, question: str, stamp: int) -> str:
        """What is right at the picture of `stamp`; '' when that is not known or not certain."""
        number = dict(self._numbers).get(stamp)
        if not self._world or number is None:
            return ''
        clip = self._until_picture(number)
        return (len(clip) and answer_to(clip, len(clip) - 1, question)) or ''

    def _until_picture(self, number: int) -> Clip:
        """The pictures until that one, from the first seen or the oldest known; empty when it is older."""
        while self._world.frame < number:
            self._world.step()
            self._truths.append(self._world.truth())
        first = max(self._truths[0].frame, self._first)
        truths = tuple(counted_from(truth, first) for truth in self._truths if first <= truth.frame <= number)
        return Clip(self._world.profile, self._world.seed, NO_PIXELS, NO_PIXELS, truths)
