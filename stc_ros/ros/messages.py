"""Reports become messages: every field of Narration, StreamStats and the answers is filled in here."""

from __future__ import annotations

from collections.abc import Mapping

from builtin_interfaces.msg import Time

from stc_ros.engine.events import FrameProcessed, NarrationSpan
from stc_ros.engine.questions import Reply
from stc_ros.engine.session import Session
from stc_ros.msg import CameraAnswer, Narration, StreamStats
from stc_ros.ros.ask_cameras import combine


def to_time(nanoseconds: int) -> Time:
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def fill_answer(result, replies: Mapping[str, Reply]):
    """Fill an Ask.Response or AskStream.Result, whose fields are the same, with the replies by camera."""
    reply = combine(replies)
    result.error_code = getattr(result, reply.error.name)
    result.error_msg = reply.message
    result.answer = reply.answer
    result.finished = reply.finished
    result.first_stamp, result.last_stamp = to_time(reply.first_stamp), to_time(reply.last_stamp)
    result.frames_processed, result.frames_dropped = reply.frames_processed, reply.frames_dropped
    result.frame_age = reply.frame_age
    result.time_to_first_token = reply.time_to_first_token
    result.tokens_per_second = reply.tokens_per_second
    result.tokens = reply.tokens
    result.answers = [
        CameraAnswer(
            camera=camera,
            error_code=getattr(result, each.error.name),
            error_msg=each.message,
            answer=each.answer,
            first_stamp=to_time(each.first_stamp),
            last_stamp=to_time(each.last_stamp),
        )
        for camera, each in replies.items()
    ]
    return result


def narration(span: NarrationSpan, reply: Reply, now: int) -> Narration:
    """now: the node's clock, in ns."""
    return Narration(
        header=span.header,
        text=reply.answer.strip(),
        first_stamp=to_time(span.first_stamp),
        frames=span.frames,
        scene_change=span.scene_change,
        finished=reply.finished,
        latency=(now - span.last_stamp) / 1e9,
        time_to_first_token=reply.time_to_first_token,
        tokens_per_second=reply.tokens_per_second,
    )


def stats(event: FrameProcessed, session: Session, queue_depth: int, now: int) -> StreamStats:
    """What became of a frame, with the counters of its session. now: the node's clock, in ns."""
    report, settings, tally, counts = event.report, event.settings, session.tally, session.slot.counts()
    input_rate, processing_rate = session.slot.rates(now)
    return StreamStats(
        header=event.frame.header,
        input_rate=input_rate,
        processing_rate=processing_rate,
        frames_received=counts.received,
        frames_processed=counts.processed,
        frames_dropped=counts.dropped,
        frames_invalid=counts.invalid + counts.failed,
        scene_changes=tally.scene_changes,
        narrations=tally.narrations,
        answers=tally.answers,
        answers_failed=tally.answers_failed,
        patches=report.patches,
        patches_recomputed=round(report.patches_recomputed),
        reused_similarity=report.similarity,
        visual_tokens=report.visual_tokens,
        visual_tokens_kept=report.visual_tokens_kept,
        scene_change=bool(report.scene_change),
        queue_ms=event.queue_ms,
        **{f'{stage}_ms': ms for stage, ms in report.ms.items()},
        total_ms=event.total_ms,
        frame_age=(now - event.frame.stamp) / 1e9,
        memory_tokens=report.memory_tokens,
        tokens_waiting=report.tokens_waiting,
        memory_bytes=report.memory_bytes,
        memory_budget=settings['memory.max_mib'] << 20,
        cacher=settings['cacher.method'],
        pruner=settings['pruner.method'],
        cache_similarity=settings['cache_similarity'],
        prune_ratio=settings['prune_ratio'],
        queue_depth=queue_depth,
    )
