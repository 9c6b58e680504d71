"""What an engine reports: frames processed, narrations, failures. The node publishes them, a bag runner writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stc_ros.engine.questions import Reply
from stc_ros.io.picture import Picture
from stc_ros.settings import Settings

if TYPE_CHECKING:
    from stc_ros.engine.session import Session
    from stc_ros.io.image_messages import FrameInvalid
    from stc_ros.report import FrameReport


@dataclass(frozen=True, slots=True)
class Frame:
    """What a message holds: its header, header.stamp in ns, and the picture."""

    header: Any
    stamp: int
    picture: Picture


@dataclass(frozen=True, slots=True)
class FrameProcessed:
    """What became of a frame: the stream's report, the settings in force, and the milliseconds around the stream."""

    frame: Frame
    report: FrameReport
    settings: Settings
    queue_ms: float  # waited in the slot
    total_ms: float  # decoding and all stages


@dataclass(frozen=True, slots=True)
class NarrationSpan:
    """The frames that a narration is about: those since the narration before."""

    header: Any  # of the newest frame
    first_stamp: int  # ns: of the oldest that the memory still has
    last_stamp: int  # ns: of the newest
    frames: int
    scene_change: bool


class EventSink:
    """What an engine calls, on the thread that drives it. Whoever wants to hear of it overrides these."""

    def processed(self, session: Session, event: FrameProcessed) -> None: ...
    def narrated(self, session: Session, span: NarrationSpan, reply: Reply) -> None: ...
    def invalid(self, session: Session, frame: FrameInvalid) -> None: ...
    def failed(self, session: Session, where: str, error: BaseException) -> None: ...
    def was_reset(self, session: Session, reason: str) -> None: ...
    def died(self, error: BaseException) -> None: ...

    def wants_narration(self, camera: str) -> bool:
        """Whether somebody listens to it."""
        return True
