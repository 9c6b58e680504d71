"""Standing conditions ("tell me when ..."), looked up in every frame that shows something new, all in one pass."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stc_ros.engine.events import FrameProcessed
from stc_ros.engine.watch_rule import Change, Standing, Watch, forget, look


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """A watch has risen, fallen or ended. since: stamp in ns of the first of the frames in a row that decided."""

    watch: Watch
    change: Change
    frame: FrameProcessed
    probability: float
    since: int


class Watches:
    """Of all cameras of an engine. `add`, `remove` and `listed` may be called from any thread."""

    def __init__(self) -> None:
        self._watches: dict[str, tuple[Watch, Standing]] = {}
        self._conditions: dict[str, Any] = {}  # by their texts, in tokens
        self._bias: dict[str, float] = {}  # log odds that an empty frame gives to a condition
        self._lock = threading.Lock()

    def add(self, watch: Watch) -> None:
        """One of the same name is replaced."""
        with self._lock:
            self._watches[watch.name] = watch, Standing()

    def remove(self, name: str) -> bool:
        """Returns whether it was there."""
        with self._lock:
            return self._watches.pop(name, None) is not None

    def listed(self) -> list[tuple[Watch, Standing]]:
        with self._lock:
            return list(self._watches.values())

    def forget(self, camera: str) -> None:
        """Its stream has been reset."""
        with self._lock:
            for name, (watch, standing) in self._watches.items():
                if watch.camera == camera:
                    self._watches[name] = watch, forget(standing)

    def unload(self) -> None:
        """Another model may read conditions in other ways."""
        self._conditions, self._bias = {}, {}

    def look(
        self, camera: str, stream: Any, frame: FrameProcessed, blank: Callable[[Sequence[Any]], list[float]] | None
    ) -> list[WatchEvent]:
        """Look up the camera's watches in its newest frame -> what has happened.

        blank: log odds of conditions by an empty frame; None: not asked for. A frame that showed nothing new costs
        nothing: what was likely is so still.
        """
        mine = [(watch, standing) for watch, standing in self.listed() if watch.camera == camera]
        if not mine:
            return []
        same = not frame.report.visual_tokens_kept and all(standing.frames for _, standing in mine)
        chances = [s.probability for _, s in mine] if same else self._chances(stream, [w for w, _ in mine], blank)
        events = []
        for (watch, standing), chance in zip(mine, chances):
            now, change = look(watch, standing, chance, frame.frame.stamp)
            with self._lock:
                if self._watches.get(watch.name, (None,))[0] is not watch:
                    continue  # removed or replaced meanwhile
                if change is Change.EXPIRED or (watch.once and change is Change.RISING):
                    del self._watches[watch.name]
                else:
                    self._watches[watch.name] = watch, now
            if change:
                events.append(WatchEvent(watch, change, frame, chance, now.since))
        return events

    def _chances(self, stream: Any, watches: Sequence[Watch], blank: Callable | None) -> list[float]:
        from stc_ros.judge import read_condition  # here, because it imports torch

        texts = [watch.condition for watch in watches]
        for text in texts:
            if text not in self._conditions:
                self._conditions[text] = read_condition(stream.model, text)
        conditions = [self._conditions[text] for text in texts]
        if blank and (new := [text for text in dict.fromkeys(texts) if text not in self._bias]):
            self._bias |= zip(new, blank([self._conditions[text] for text in new]))
        odds = stream.judge(conditions)
        lean = [lean(self._bias.get(w.condition, 0.0), w.threshold) if blank else 0.0 for w in watches]
        return [1 / (1 + math.exp(min(50.0, bias - odd))) for odd, bias in zip(odds, lean)]


def lean(blank: float, threshold: float) -> float:
    """What to take from the log odds of a condition that has `blank` on an empty frame.

    Such a frame shows nothing: a model that calls a condition rather true of it leans that way by so much. One that it
    calls true without doubt is about emptiness ("no object is moving").
    """
    return blank if 0 < blank and 1 / (1 + math.exp(-blank)) < threshold else 0.0


def in_force(watch: Watch, **defaults: Any) -> Watch:
    """A watch with the defaults where it has 0 or nothing."""
    return replace(watch, **{name: value for name, value in defaults.items() if not getattr(watch, name)})
