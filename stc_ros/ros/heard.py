"""The node's messages become again what an engine in this process would report."""

from __future__ import annotations

from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message

from stc_ros.engine.events import NarrationSpan
from stc_ros.engine.questions import Error, Reply
from stc_ros.io.serialized import Reader
from stc_ros.msg import Narration, StreamStats, WatchEvent
from stc_ros.report import FrameReport


def header_stamp(data: bytes) -> int:
    """ns, of a serialized message that begins with its header."""
    take = Reader(data)
    return take.number('i') * 1_000_000_000 + take.number('I')


def to_stats(data: bytes) -> StreamStats:
    return deserialize_message(data, StreamStats)


def to_report(stats: StreamStats) -> FrameReport:
    """What StreamStats says: how many patches and tokens, not which."""
    return FrameReport(
        stamp=to_ns(stats.header.stamp),
        grid=(0, 0),
        token_grid=(0, 0),
        recomputed=np.zeros(0, np.float32),
        kept=np.zeros(0, np.int64),
        patches=stats.patches,
        patches_recomputed=float(stats.patches_recomputed),
        similarity=stats.reused_similarity,
        visual_tokens=stats.visual_tokens,
        visual_tokens_kept=stats.visual_tokens_kept,
        ms={stage: getattr(stats, f'{stage}_ms') for stage in ('preprocess', 'vision', 'prune', 'prefill')},
        scene_change=stats.scene_change,
        first_stamp=0,
        memory_tokens=stats.memory_tokens,
        tokens_waiting=stats.tokens_waiting,
        memory_bytes=stats.memory_bytes,
    )


def to_narration(data: bytes) -> tuple[NarrationSpan, str]:
    """-> what it is about, and its text."""
    message = deserialize_message(data, Narration)
    first, last = to_ns(message.first_stamp), to_ns(message.header.stamp)
    return NarrationSpan(message.header, first, last, message.frames, message.scene_change), message.text


def to_event(data: bytes) -> tuple[int, str, str, str]:
    """Of a watch -> stamp in ns, the node's name of the camera, and name and text as `replay` gives them."""
    message = deserialize_message(data, WatchEvent)
    kind = {WatchEvent.RISING: 'rising', WatchEvent.FALLING: 'falling', WatchEvent.EXPIRED: 'expired'}[message.kind]
    text = f'{message.condition} (p {message.probability:.3f})'
    return to_ns(message.header.stamp), message.camera, f'{message.watch} {kind}', text


def to_reply(response: Any, rate: float) -> Reply:
    """An Ask.Response, of which None is one that never came. rate: seconds of the stream in one of the clock."""
    if response is None:
        return Reply(Error.TIMEOUT, 'no reply came')
    codes = {getattr(response, error.name): error for error in Error}
    return Reply(
        error=codes[response.error_code],
        message=response.error_msg,
        answer=response.answer,
        finished=response.finished,
        first_stamp=to_ns(response.first_stamp),
        last_stamp=to_ns(response.last_stamp),
        frames_processed=response.frames_processed,
        frames_dropped=response.frames_dropped,
        frame_age=response.frame_age,  # by the node's clock, which is the stream's
        time_to_first_token=response.time_to_first_token * rate,
        tokens_per_second=response.tokens_per_second / rate,
        tokens=response.tokens,
    )


def to_ns(time: Any) -> int:
    return time.sec * 1_000_000_000 + time.nanosec
