"""What a camera has done wrong of late: refusals by kind, who publishes, frames of several sources, sizes, floods."""

from __future__ import annotations

import threading
import time
from collections import Counter

from stc_ros.engine.frame_slot import Rate
from stc_ros.io.image_messages import FrameInvalid

MOST_KINDS = 32  # of refusals that are told apart; what comes beyond is counted together
MOST_FRAME_IDS = 4  # that are remembered
RECENT_S = 10.0  # how long a frame_id counts as in use
MANY_REFUSED = 0.1  # share of the last seconds' frames
FLOOD_HZ = 250.0  # frames per second that no camera of a robot sends on purpose


class CameraHealth:
    """Told of each frame by whichever thread has it; asked once a second. Counts since activation."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.begin()

    def begin(self) -> None:
        """Forget all, as at activation."""
        with self._lock:
            self.refused: Counter[str] = Counter()
            self.newest_refusal = ''
            self.waits_for_keyframe = False
            self.size = (0, 0)  # width, height of the newest picture
            self.size_changes = 0
            self._frame_ids: dict[str, float] = {}  # when each came last, s, monotonic; the newest stands last
            self._arrived, self._refused = Rate(), Rate()

    def arrived(self) -> None:
        with self._lock:
            self._arrived.note(time.monotonic_ns())

    def refuse(self, invalid: FrameInvalid) -> None:
        """A frame could not be used."""
        with self._lock:
            known = invalid.kind in self.refused or len(self.refused) < MOST_KINDS
            self.refused[invalid.kind if known else 'others'] += 1
            self.newest_refusal = str(invalid)
            self.waits_for_keyframe = invalid.kind == 'waits for keyframe'
            self._refused.note(time.monotonic_ns())

    def saw(self, frame_id: str, width: int, height: int) -> None:
        """A frame was read."""
        with self._lock:
            self.waits_for_keyframe = False
            self.size_changes += self.size not in ((0, 0), (width, height))
            self.size = width, height
            self._frame_ids.pop(frame_id, None)
            self._frame_ids[frame_id] = time.monotonic()
            if len(self._frame_ids) > MOST_FRAME_IDS:
                self._frame_ids.pop(next(iter(self._frame_ids)))

    def frame_ids(self) -> list[str]:
        """Those in use."""
        with self._lock:
            return sorted(name for name, at in self._frame_ids.items() if time.monotonic() - at < RECENT_S)

    def refused_share(self) -> float:
        """Of the frames of the last seconds."""
        now = time.monotonic_ns()
        with self._lock:
            arrived, refused = self._arrived.hertz(now), self._refused.hertz(now)
        return min(1.0, refused / arrived) if arrived else 0.0

    def trouble(self, publishers: list[str], doubted: bool) -> dict[str, str]:
        """What a person should look into, a sentence by its kind; empty if nothing.

        publishers: nodes on the topic. doubted: as `StampOrder.doubted` says.
        """
        found, frame_ids = {}, self.frame_ids()
        with self._lock:
            rate = self._arrived.hertz(time.monotonic_ns())
        if len(publishers) > 1:
            found['publishers'] = f'{len(publishers)} publishers on one topic: {", ".join(publishers)}'
        if len(frame_ids) > 1:
            found['frame_id'] = f'frame_id changes: {", ".join(map(repr, frame_ids))}'
        if doubted:
            found['order'] = 'header.stamp goes back and forth: do two cameras publish on this topic?'
        if (share := self.refused_share()) > MANY_REFUSED:
            found['refused'] = f'{share:.0%} of the frames are refused, the newest because {self.newest_refusal}'
        if rate > FLOOD_HZ:
            found['flood'] = f'{rate:.0f} frames/s flood the node: set a lower rate at the camera'
        return found
