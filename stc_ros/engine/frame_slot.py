"""One frame waits, the newest; every frame is accounted for. Knows nothing of ROS."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

RATE_WINDOW_S = 4.0


@dataclass(slots=True)
class Counts:
    """Since the last `clear`; received is the sum of the others, plus the one that waits or is in work, if any."""

    received: int = 0
    processed: int = 0
    dropped: int = 0
    invalid: int = 0
    failed: int = 0
    invalid_in_row: int = 0


@dataclass(slots=True)
class Tally:
    """What else has happened since activation or reset."""

    scene_changes: int = 0
    narrations: int = 0
    answers: int = 0
    answers_failed: int = 0


class Rate:
    """Events per second over the last seconds of a clock that gives nanoseconds."""

    def __init__(self, times: Iterable[int] = ()) -> None:
        self.times: deque[int] = deque(times, maxlen=1024)

    def note(self, now: int) -> None:
        self.times.append(now)

    def hertz(self, now: int) -> float:
        while self.times and not 0 <= now - self.times[0] <= RATE_WINDOW_S * 1e9:
            self.times.popleft()
        span = (now - self.times[0]) / 1e9 if len(self.times) > 1 else 0.0
        return (len(self.times) - 1) / span if span > 0 else 0.0


class FrameSlot:
    """A slot for one frame between the thread that receives and the one that works; a newer frame replaces it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self, in_work: int = 0) -> None:
        """Forget the frame that waits, the counts and the rates; `in_work` frames have been taken and still count."""
        with self._lock:
            self._frame: tuple[Any, int] | None = None
            self._counts = Counts(received=in_work)
            self._input, self._output = Rate(), Rate()

    def put(self, frame: Any, now: int) -> None:
        """Receive a frame at time `now` (ns)."""
        with self._lock:
            self._counts.received += 1
            self._counts.dropped += self._frame is not None
            self._frame = frame, now
            self._input.note(now)

    def take(self) -> tuple[Any, int] | None:
        """The frame that waits and when it came; the slot is then empty. Then: `processed`, `invalid` or `failed`."""
        with self._lock:
            frame, self._frame = self._frame, None
            return frame

    def drop(self) -> None:
        """Give up the frame that waits."""
        with self._lock:
            self._counts.dropped += self._frame is not None
            self._frame = None

    @property
    def waits(self) -> bool:
        return self._frame is not None

    def processed(self, now: int) -> None:
        """The frame taken went through the model."""
        with self._lock:
            self._counts.processed += 1
            self._counts.invalid_in_row = 0
            self._output.note(now)

    def invalid(self) -> None:
        """The frame taken could not be used."""
        with self._lock:
            self._counts.invalid += 1
            self._counts.invalid_in_row += 1

    def failed(self) -> None:
        """The model failed at the frame taken."""
        with self._lock:
            self._counts.failed += 1
            self._counts.invalid_in_row = 0  # it is not the camera

    def refuse(self, now: int) -> None:
        """A frame came that cannot be used; the one that waits stays."""
        with self._lock:
            self._counts.received += 1
            self._counts.invalid += 1
            self._counts.invalid_in_row += 1
            self._input.note(now)

    def counts(self) -> Counts:
        with self._lock:
            return replace(self._counts)

    def rates(self, now: int) -> tuple[float, float]:
        """Frames received and processed per second."""
        with self._lock:
            return self._input.hertz(now), self._output.hertz(now)
