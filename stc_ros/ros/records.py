"""What passes between the worker's thread and the node: frames, what became of them, and what is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stc_ros.picture import Picture
from stc_ros.ros.frames import FrameRefused
from stc_ros.ros.questions import Reply
from stc_ros.settings import Settings


@dataclass(frozen=True, slots=True)
class Frame:
    """What a message holds: its header, header.stamp in ns, and the picture."""

    header: Any
    stamp: int
    picture: Picture


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of a frame: the stream's report, the settings in force, and the milliseconds around the stream."""

    frame: Frame
    report: Any  # stc_ros.stream.FrameReport
    settings: Settings
    queue_ms: float  # waited in the mailbox
    total_ms: float  # decoding and all stages


@dataclass(frozen=True, slots=True)
class Telling:
    """A narration and the frames that it tells about: those since the narration before."""

    header: Any  # of the newest frame
    first_stamp: int  # ns: of the oldest that the memory still has
    last_stamp: int  # ns: of the newest
    frames: int
    scene_change: bool


class Outputs:
    """What a session calls, on the worker's thread. The node fills these in."""

    def seen(self, seen: Seen) -> None: ...
    def told(self, telling: Telling, reply: Reply) -> None: ...
    def refused(self, refusal: FrameRefused) -> None: ...
    def failed(self, where: str, error: BaseException) -> None: ...
    def was_reset(self, reason: str) -> None: ...
    def died(self, error: BaseException) -> None: ...

    def listeners(self) -> bool:
        """Whether somebody wants narration."""
        return True
