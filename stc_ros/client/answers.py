"""What a client gets: plain values, stamps in seconds, made of messages by the names of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and what it rests on; the comments of srv/Ask say what each figure means."""

    text: str  # of several cameras a line each, "NAME: words"
    finished: bool  # False: cut off at max_new_tokens
    first_stamp: float  # s: header.stamp of the oldest frame that the model could know
    last_stamp: float  # s: of the newest
    frame_age: float  # s: age of the newest frame when the answer began
    frames_processed: int
    time_to_first_token: float  # s
    tokens_per_second: float
    tokens: int
    cameras: Mapping[str, str]  # each camera's words, in the order of the parameter cameras

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Moment:
    """When a condition was found to be true."""

    condition: str
    camera: str
    stamp: float  # s: header.stamp of the frame that decided
    probability: float  # [0, 1] that it holds there; NaN: found by asking
    by: str  # 'watch', or 'asking' where the node offers no watches


@dataclass(frozen=True, slots=True)
class Look:
    """The newest frame, and the newest narration."""

    jpeg: bytes  # a JPEG file
    stamp: float  # s: header.stamp of the frame
    topic: str  # where it came from
    narration: str  # empty: none yet
    narration_stamp: float  # s: of the newest frame that the narration is about; 0: no narration


def answer_of(reply: Any) -> Answer:
    """An Ask.Response or AskStream.Result -> Answer."""
    return Answer(
        text=reply.answer,
        finished=reply.finished,
        first_stamp=seconds(reply.first_stamp),
        last_stamp=seconds(reply.last_stamp),
        frame_age=reply.frame_age,
        frames_processed=reply.frames_processed,
        time_to_first_token=reply.time_to_first_token,
        tokens_per_second=reply.tokens_per_second,
        tokens=reply.tokens,
        cameras={each.camera: each.answer for each in reply.answers},
    )


def seconds(stamp: Any) -> float:
    """A builtin_interfaces Time or Duration in seconds."""
    return stamp.sec + stamp.nanosec / 1e9
