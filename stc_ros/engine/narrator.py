"""When and about what a stream is narrated, and what of the model's words is published.

The same one serves the node, the demonstration and the evaluation, so that what is published is what is measured.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stc_ros.engine.events import NarrationSpan
from stc_ros.models.narration_filter import drop_reported, tidy
from stc_ros.models.narration_style import NarrationStyle
from stc_ros.parameters import NarrationParameters

MOST_PENDING = 4096  # frames that a narration may be about
PATIENCE_S = 1.0  # after which a narration that is due goes before the next question


@dataclass(slots=True)
class Narrator:
    """Remembers which frames no narration was about yet, and what the last one said."""

    style: NarrationStyle
    parameters: NarrationParameters = field(default_factory=NarrationParameters)
    _pending: deque[int] = field(default_factory=lambda: deque(maxlen=MOST_PENDING))  # stamps of those frames
    _last: str = ''  # the last narration, before what had been reported was dropped
    due: bool | None = None  # True: because the scene changed
    _due_since: float | None = None  # s: since when it is due, in work, or put off

    def want(self, now: float, scene_change: bool = False) -> None:
        """It is due at time `now` in s, because the scene changed or because it is time."""
        self.due = bool(self.due) or scene_change
        self._due_since = now if self._due_since is None else self._due_since

    def late(self, now: float) -> bool:
        """Whether questions have kept it waiting for too long."""
        return self._due_since is not None and now - self._due_since >= PATIENCE_S

    def done(self, now: float) -> None:
        """It has ended, well or not; another may be due already."""
        self._due_since = None if self.due is None else now

    def give_up(self) -> None:
        """It is not due any more."""
        self.due = self._due_since = None

    def note(self, stamp: int) -> None:
        """A frame of that time has been processed."""
        self._pending.append(stamp)

    def begin(self, header: Any, stamp: int, oldest: int, scene_change: bool = False) -> NarrationSpan | None:
        """What the next narration is about, at the newest frame; None when there is nothing new.

        header, stamp: of the newest frame. oldest: stamp of the oldest frame that the memory still has.
        """
        if not self._pending:
            return None
        first = max(self._pending[0], oldest)  # what the memory has evicted is not narrated
        frames = sum(each >= first for each in self._pending)
        return NarrationSpan(header, first, stamp, frames, scene_change)

    def question(self, span: NarrationSpan) -> str:
        """What to ask the model."""
        seconds = max(1, round((span.last_stamp - span.first_stamp) / 1e9))
        return self.style.ask(self.parameters.prompt, span.frames, seconds)

    def finish(self, span: NarrationSpan, answer: str, token_probs: Sequence[tuple[int, float]] = ()) -> str:
        """The model's answer -> what is published: '' when nothing is left.

        Clauses of too little probability, repetitions, and events that the last narration has reported are dropped.
        """
        while self._pending and self._pending[0] <= span.last_stamp:
            self._pending.popleft()
        before = '' if span.scene_change else self._last
        wanted = self.parameters.min_confidence
        self._last = tidy(answer, token_probs, self.style.min_confidence if wanted < 0 else wanted)
        return drop_reported(self._last, before, self.style.event)

    def reset(self) -> None:
        """Forget everything."""
        self.give_up()
        self._pending.clear()
        self._last = ''
