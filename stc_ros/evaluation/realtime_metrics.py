"""What a robot would have had: frames that came, their ages, answers that came late.

Names are those of NVIDIA's ros2_benchmark (BasicPerformanceMetrics) where it has one for the thing. Times are those of
the stream: at a rate of 0.5 a second of the clock is half a second, as if the computer were twice as fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(slots=True)
class CameraRecord:
    """What happened to one camera's frames. Stamps in ns, the rest in s of the stream's time."""

    sent: list[tuple[int, float]] = field(default_factory=list)  # (stamp, when it was published)
    done: list[tuple[int, float]] = field(default_factory=list)  # (stamp, when its work ended), since header.stamp
    received: int = 0  # by the node's own counters
    dropped: int = 0
    invalid: int = 0


@dataclass(frozen=True, slots=True)
class AskRecord:
    """One question. seconds: until its reply came; deadline: s, or None."""

    seconds: float
    time_to_first_token: float
    error: str
    deadline: float | None = None


def camera_metrics(record: CameraRecord) -> dict[str, Any]:
    """Of one camera's frames."""
    ages = [1e3 * age for _, age in record.done]
    ends = sorted(stamp / 1e9 + age for stamp, age in record.done)
    jitter = np.abs(np.diff(np.diff(ends))) * 1e3 if len(ends) > 2 else np.zeros(0)
    span = (record.sent[-1][1] - record.sent[0][1]) if len(record.sent) > 1 else 0.0
    return {
        'Number of Frames Sent': len(record.sent),
        'Number of Frames Received': len(record.done),
        'Number of Missed Frames': len(record.sent) - len(record.done),
        'Frames Lost on the Way': len(record.sent) - record.received,
        'Frames Dropped for Newer Ones': record.dropped,
        'Frames Invalid': record.invalid,
        'Mean Playback Frame Rate (fps)': rate(len(record.sent), span),
        'Mean Frame Rate (fps)': rate(len(ends), ends[-1] - ends[0] if len(ends) > 1 else 0.0),
        **{f'{name} End-to-End Latency (ms)': value for name, value in spread(ages).items()},
        'Max. Frame-to-Frame Jitter (ms)': _round(jitter.max() if len(jitter) else 0.0),
        'Mean Frame-to-Frame Jitter (ms)': _round(jitter.mean() if len(jitter) else 0.0),
    }


def ask_metrics(records: Sequence[AskRecord]) -> dict[str, Any]:
    """Of the questions."""
    answered = [1e3 * each.seconds for each in records if not each.error]
    first = [1e3 * each.time_to_first_token for each in records if not each.error]
    with_deadline = [each for each in records if each.deadline]
    return {
        'Number of Questions': len(records),
        'Number of Answers': len(answered),
        'Number of Deadlines': len(with_deadline),
        'Number of Missed Deadlines': sum(bool(e.error) or e.seconds > e.deadline for e in with_deadline),
        **{f'{name} Answer Latency (ms)': value for name, value in spread(answered).items()},
        **{f'{name} Time to First Token (ms)': value for name, value in spread(first).items()},
    }


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Smallest, mean, median, p99 and largest; None where there is none."""
    names = ('Min.', 'Mean', 'Median', 'P99', 'Max.')
    if not values:
        return dict.fromkeys(names)
    found = (min(values), np.mean(values), np.median(values), np.percentile(values, 99), max(values))
    return dict(zip(names, map(_round, found)))


def rate(count: int, seconds: float) -> float | None:
    """Per second, of `count` things of which the first and the last are `seconds` apart."""
    return _round((count - 1) / seconds) if seconds > 0 else None


def _round(value: float) -> float:
    return round(float(value), 3)
