"""Reports become messages: every field of Narration, StreamStats and the answers is filled in here."""

from __future__ import annotations

from builtin_interfaces.msg import Time

from stc_ros.msg import Narration, StreamStats
from stc_ros.ros.questions import Reply
from stc_ros.ros.records import Seen, Telling


def to_time(nanoseconds: int) -> Time:
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def fill_answer(result, reply: Reply):
    """Fill an Ask.Response or AskStream.Result, whose fields are the same."""
    result.error_code = getattr(result, reply.error.name)
    result.error_msg = reply.message
    result.answer = reply.answer
    result.finished = reply.finished
    result.first_stamp, result.last_stamp = to_time(reply.first_stamp), to_time(reply.last_stamp)
    result.frames_seen, result.frames_dropped = reply.frames_seen, reply.frames_dropped
    result.frame_age = reply.frame_age
    result.time_to_first_token = reply.time_to_first_token
    result.tokens_per_second = reply.tokens_per_second
    result.tokens = reply.tokens
    return result


def narration(telling: Telling, reply: Reply, now: int) -> Narration:
    """now: the node's clock, in ns."""
    return Narration(
        header=telling.header,
        text=reply.answer.strip(),
        first_stamp=to_time(telling.first_stamp),
        frames=telling.frames,
        scene_change=telling.scene_change,
        finished=reply.finished,
        latency=(now - telling.last_stamp) / 1e9,
        time_to_first_token=reply.time_to_first_token,
        tokens_per_second=reply.tokens_per_second,
    )


def stats(seen: Seen, worker, now: int) -> StreamStats:
    """What became of a frame, with the counters of the `Worker` that saw it. now: the node's clock, in ns."""
    report, settings = seen.report, seen.settings
    counts, tally = worker.mailbox.counts(), worker.session.tally
    input_rate, seen_rate = worker.mailbox.rates(now)
    return StreamStats(
        header=seen.frame.header,
        input_rate=input_rate,
        seen_rate=seen_rate,
        frames_received=counts.received,
        frames_seen=counts.seen,
        frames_dropped=counts.dropped,
        frames_refused=counts.refused,
        scene_changes=tally.scene_changes,
        narrations=tally.narrations,
        answers=tally.answers,
        answers_failed=tally.answers_failed,
        tokens=report.tokens,
        tokens_recomputed=round(report.tokens_recomputed),
        reused_similarity=report.similarity,
        visual_tokens=report.visual_tokens,
        tokens_kept=report.tokens_kept,
        scene_change=bool(report.scene_change),
        queue_ms=seen.queue_ms,
        gate_ms=report.ms['gate'],
        vision_ms=report.ms['vision'],
        prune_ms=report.ms['prune'],
        prefill_ms=report.ms['prefill'],
        total_ms=seen.total_ms,
        frame_age=(now - seen.frame.stamp) / 1e9,
        memory_tokens=report.memory_tokens,
        tokens_waiting=report.tokens_waiting,
        memory_bytes=report.memory_bytes,
        memory_budget=settings.memory_mib << 20,
        cacher=settings.cacher,
        pruner=settings.pruner,
        cache_similarity=settings.cache_similarity,
        prune_ratio=settings.prune_ratio,
        asks_waiting=worker.waiting,
    )
