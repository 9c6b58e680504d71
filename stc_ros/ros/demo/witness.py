"""What is told of a synthetic world, held against what its camera knows. Knows nothing of ROS."""

from __future__ import annotations

from collections import deque

from stc_ros.synthetic.narration import join

REMEMBERED = 4096       # pictures that may pass between two narrations


class Witness:
    """Collects what is true of each picture, and joins it for the span that a narration tells about."""

    def __init__(self):
        self._moments: deque[tuple[int, str]] = deque(maxlen=REMEMBERED)

    def saw(self, stamp: int, text: str) -> None:
        """text: of the picture taken at `stamp`, ns; see `tell_moment`."""
        self._moments.append((stamp, text))

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
