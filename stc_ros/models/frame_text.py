"""Text that a family writes around each frame's visual tokens: marks, and its time where it was trained with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

TIME = '{time}'  # in `before`: minutes and seconds since the stream began, MM:SS
SECONDS = '{seconds}'  # the same as seconds with one decimal
HOUR = 3600  # times go round, so that a stream of days shows none that training never did


@dataclass(frozen=True, slots=True)
class FrameText:
    """Empty for families that put frames side by side."""

    before: str = ''
    behind: str = ''
    encode: Callable[[str], list[int]] | None = None  # text with special tokens -> ids

    def ids(self, seconds: float) -> tuple[list[int], list[int]]:
        """Ids before and behind a frame `seconds` after the stream's first."""
        if self.encode is None:
            return [], []
        whole = int(seconds) % HOUR
        before = self.before.replace(TIME, f'{whole // 60:02d}:{whole % 60:02d}')
        before = before.replace(SECONDS, f'{seconds % HOUR:.1f}')
        return self.encode(before), self.encode(self.behind)

    @property
    def most(self) -> int:
        """Tokens that it takes, about."""
        return max(sum(map(len, self.ids(seconds))) for seconds in (0.0, HOUR - 1.0))
