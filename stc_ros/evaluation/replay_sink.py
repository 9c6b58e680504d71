"""What a replay reports, and to whom: questions asked, frames, narrations, events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stc_ros.engine.events import FrameProcessed, NarrationSpan
from stc_ros.engine.questions import Error, Reply
from stc_ros.evaluation.questions import Question


@dataclass(frozen=True, slots=True)
class Planned:
    """A question with its camera and its time, in ns as header.stamp counts."""

    question: Question
    camera: str
    stamp: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that has been replied to."""

    planned: Planned
    reply: Reply
    seconds: float  # until the answer was complete
    newest: FrameProcessed | None  # the newest frame of its camera
    controls: dict[str, str] = field(default_factory=dict)  # answers by control

    @property
    def score(self) -> float:
        """Of the answer, 0 to 1; 0 where there is none."""
        expect = self.planned.question.expect
        return expect.score(self.reply.answer.strip()) if self.reply.error is Error.NONE else 0.0


class ReplaySink:
    """What a replay calls, in order of the stream's time. Whoever wants to hear of it overrides these.

    Before all else but `progress` come `begin` or, where a killed replay goes on, `restore`; a restore that raises is
    followed by `begin`. So what a killed one wrote must lie there untouched until then.
    """

    def begin(self) -> None: ...
    def received(self, camera: str, stamp: int) -> None: ...
    def frame(self, camera: str, event: FrameProcessed) -> None: ...
    def invalid(self, camera: str, stamp: int, kind: str, text: str) -> None: ...
    def asked(self, asked: Asked) -> None: ...
    def narrated(self, camera: str, span: NarrationSpan, text: str) -> None: ...
    def event(self, camera: str, stamp: int, name: str, text: str) -> None: ...
    def progress(self, stamp: int) -> None: ...

    def checkpoint(self) -> Any:
        """What restores it, to be pickled at once; everything that came until now is on the disk."""

    def restore(self, state: Any) -> None:
        """Be as at that `checkpoint`; what was written behind it is forgotten. Raises whatever prevents that."""
