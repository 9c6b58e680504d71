"""What is heard of a node that a bag is played to, written down as an evaluation's results."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from stc_ros.engine.events import FrameProcessed, NarrationSpan
from stc_ros.engine.questions import Error, Reply
from stc_ros.evaluation.evaluate import Job, Plan
from stc_ros.evaluation.realtime_metrics import AskRecord, CameraRecord
from stc_ros.evaluation.replay import Asked, Planned
from stc_ros.evaluation.results import ResultWriter
from stc_ros.report import FrameReport


class Listener:
    """Writes down what is heard, as `ResultWriter` takes it, and what the clock said."""

    def __init__(self, writer: ResultWriter, planned: Plan, job: Job):
        self._writer, self._job, self.lock = writer, job, threading.Lock()
        self.cameras = {topic: CameraRecord() for topic in planned.topics}
        self.asks: list[AskRecord] = []
        self.count = 0

    @property
    def all_done(self) -> bool:
        """Whether every frame that was sent has been processed or counted otherwise."""
        return all(len(c.sent) <= len(c.done) + c.dropped + c.invalid for c in self.cameras.values())

    def sent(self, topic: str, stamp: int, now: float) -> None:
        with self.lock:
            self.cameras[topic].sent.append((stamp, now))

    def hear(self, kind: str, of: Any, message: Any, seconds: float = 0.0) -> None:
        with self.lock:
            self.count += 1
            if kind == 'stats':
                self._stats(of, message)
            elif kind == 'narration':
                self._writer.narrated(of, narration_span(message), message.text)
            else:
                self._answer(of.of, message, seconds)

    def _stats(self, topic: str, message: Any) -> None:
        record, stamp = self.cameras[topic], to_ns(message.header.stamp)
        record.done.append((stamp, message.frame_age))
        record.received = message.frames_received
        record.dropped, record.invalid = message.frames_dropped, message.frames_invalid
        event = FrameProcessed(
            None, frame_report(message, stamp), self._job.settings, message.queue_ms, message.total_ms
        )
        self._writer.frame(topic, event)

    def _answer(self, planned: Planned, response: Any, seconds: float) -> None:
        reply = to_reply(response)
        error = '' if reply.error is Error.NONE else reply.error.name
        deadline = planned.question.deadline or None
        self.asks.append(AskRecord(seconds, reply.time_to_first_token, error, deadline))
        self._writer.asked(Asked(planned, reply, seconds, None))


def to_ns(stamp: Any) -> int:
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def to_reply(response: Any) -> Reply:
    """An Ask.Response, of which None is one that never came."""
    if response is None:
        return Reply(Error.TIMEOUT, 'no reply came')
    codes = {getattr(type(response), each.name): each for each in Error}
    return Reply(
        error=codes[response.error_code],
        message=response.error_msg,
        answer=response.answer,
        finished=response.finished,
        first_stamp=to_ns(response.first_stamp),
        last_stamp=to_ns(response.last_stamp),
        frames_processed=response.frames_processed,
        frames_dropped=response.frames_dropped,
        frame_age=response.frame_age,
        time_to_first_token=response.time_to_first_token,
        tokens_per_second=response.tokens_per_second,
        tokens=response.tokens,
    )


def narration_span(message: Any) -> NarrationSpan:
    """Of a Narration."""
    stamps = to_ns(message.first_stamp), to_ns(message.header.stamp)
    return NarrationSpan(message.header, *stamps, message.frames, message.scene_change)


def frame_report(message: Any, stamp: int) -> FrameReport:
    """Of a StreamStats, which says how many patches and tokens, not which."""
    ms = {name: getattr(message, f'{name}_ms') for name in ('preprocess', 'vision', 'prune', 'prefill')}
    return FrameReport(
        stamp=stamp,
        grid=(0, 0),
        token_grid=(0, 0),
        recomputed=np.zeros(0, np.float32),
        kept=np.zeros(0, np.int64),
        patches=message.patches,
        patches_recomputed=float(message.patches_recomputed),
        similarity=message.reused_similarity,
        visual_tokens=message.visual_tokens,
        visual_tokens_kept=message.visual_tokens_kept,
        ms=ms,
        scene_change=message.scene_change,
        first_stamp=0,
        memory_tokens=message.memory_tokens,
        tokens_waiting=message.tokens_waiting,
        memory_bytes=message.memory_bytes,
    )
