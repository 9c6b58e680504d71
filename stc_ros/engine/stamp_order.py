"""What a stamp older than the newest means: a late frame, a bag that starts over, or two cameras on one topic."""

from __future__ import annotations

from stc_ros.io.image_messages import FrameInvalid

LATE_NS = 500_000_000  # a stamp this much older than the newest begins anew; less is a late frame, or a clock corrected
RETURN_S = 2.0  # stamps that go back, and within this time on from where they left, are of two sources
DOUBT_S = 10.0  # for this long two sources are remembered behind the last sign of them
QUIET_S = 1.0  # without a frame of the newer source the older one is taken up


class StampOrder:
    """Follows one topic's stamps; a topic on which two sources alternate is begun anew once, and not at each frame."""

    def __init__(self) -> None:
        self._left: int | None = None  # ns: the newest stamp before the last step back
        self._left_at = self._taken_at = self._doubted_at = float('-inf')  # s

    def doubted(self, now: float) -> bool:
        """Whether two sources have alternated of late. now: in s, as for `check`."""
        return now - self._doubted_at < DOUBT_S

    def check(self, stamp: int, newest: int | None, now: float) -> int:
        """By how many ns a stream that has seen `newest` must go back, 0 where it goes on.

        now: in s, never back. Raises `FrameInvalid` for a frame that comes too late.
        """
        late = 0 if newest is None else newest - stamp
        if late <= 0:
            if self._left is not None and stamp > self._left and now - self._left_at < RETURN_S:
                self._doubted_at = now
            self._taken_at = now
            return 0
        if late <= LATE_NS:
            raise FrameInvalid('order', f'the image is {late / 1e6:.0f} ms older than the one before')
        if self.doubted(now) and now - self._taken_at < QUIET_S:
            self._doubted_at = now
            raise FrameInvalid(
                'order',
                f'the image is {late / 1e9:.1f} s older than the one before, and newer ones go on: do two cameras '
                'publish on this topic?',
            )
        self._left, self._left_at, self._taken_at = newest, now, now
        return late
