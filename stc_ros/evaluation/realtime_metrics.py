"""What a robot would have had: frames that came, their ages, answers that came late.

Times are the stream's: at a rate of 0.5 two seconds of the clock are one, as if the computer were twice as fast. What
NVIDIA's ros2_benchmark measures, too, has its name and is counted as there (`BasicPerformanceMetrics`: a frame's
latency is the time from its publication until the result is heard).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

METRICS = 'metrics.json'
KEY = 'BasicPerformanceMetrics.'  # before each name in the files of ros2_benchmark
TITLES = {  # by name, as ros2_benchmark shows it
    'NUM_FRAMES_SENT': '# of Frames Sent',
    'NUM_MISSED_FRAMES': '# of Missed Frames',
    'MEAN_PLAYBACK_FRAME_RATE': 'Mean Playback Frame Rate (fps)',
    'MEAN_FRAME_RATE': 'Mean Frame Rate (fps)',
    'RECEIVED_DURATION': 'Delta between First & Last Received Frames (ms)',
    'FIRST_INPUT_LATENCY': 'First Frame End-to-end Latency (ms)',
    'LAST_INPUT_LATENCY': 'Last Frame End-to-end Latency (ms)',
    'MIN_LATENCY': 'Min. End-to-End Latency (ms)',
    'MEAN_LATENCY': 'Mean End-to-End Latency (ms)',
    'MAX_LATENCY': 'Max. End-to-End Latency (ms)',
    'MIN_JITTER': 'Min. Frame-to-Frame Jitter (ms)',
    'MEAN_JITTER': 'Mean Frame-to-Frame Jitter (ms)',
    'MAX_JITTER': 'Max. Frame-to-Frame Jitter (ms)',
    'STD_DEV_JITTER': 'Frame-to-Frame Jitter Std. Deviation (ms)',
}
COUNTS = ('received', 'dropped', 'invalid')  # of StreamStats: frames_received, ...


@dataclass(slots=True)
class CameraRecord:
    """What became of one camera's frames. Stamps in ns; times in s of the stream, since `start` (ns)."""

    start: int
    sent: list[tuple[int, float]] = field(default_factory=list)  # (stamp, when it was published)
    done: list[tuple[int, float]] = field(default_factory=list)  # (stamp, when it was heard that it is processed)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    _last: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))

    def count(self, **counters: int) -> None:
        """Take the node's counters, which begin anew at a reset."""
        for name, value in counters.items():
            self.counts[name] += value - self._last[name] if value >= self._last[name] else value
            self._last[name] = value

    def seconds(self, stamp: int) -> float:
        return (stamp - self.start) / 1e9


@dataclass(frozen=True, slots=True)
class AskRecord:
    """One question. Times in s of the stream."""

    seconds: float  # until the reply
    time_to_first_token: float
    error: str  # '' where it was answered
    behind: bool  # whether it did not know the newest frame that had been sent when it was asked
    deadline: float = 0.0  # 0: none

    @property
    def late(self) -> bool:
        return bool(self.deadline) and self.seconds > self.deadline


def camera_metrics(record: CameraRecord) -> dict[str, Any]:
    """Of one camera's frames."""
    sent = dict(record.sent)
    latencies = [1e3 * (at - sent[stamp]) for stamp, at in record.done if stamp in sent]
    return {
        **{KEY + name: value for name, value in _basic_metrics(record, latencies).items()},
        'frames_processed': len(record.done),
        'frames_received': record.counts['received'],
        'frames_lost': len(record.sent) - record.counts['received'],
        'frames_dropped': record.counts['dropped'],
        'frames_invalid': record.counts['invalid'],
        'latency_ms': spread(latencies),
        'age_ms': spread([1e3 * (at - record.seconds(stamp)) for stamp, at in record.done]),
        'sent_late_ms': spread([1e3 * (at - record.seconds(stamp)) for stamp, at in record.sent]),
    }


def _basic_metrics(record: CameraRecord, latencies: Sequence[float]) -> dict[str, float | int | None]:
    ends = np.array([at for _, at in record.done]) * 1e3
    published = np.array([at for _, at in record.sent]) * 1e3
    jitter = np.abs(np.diff(np.diff(ends)))
    return {
        'NUM_FRAMES_SENT': len(record.sent),
        'NUM_MISSED_FRAMES': len(record.sent) - len(record.done),
        'MEAN_PLAYBACK_FRAME_RATE': _rate(published),
        'MEAN_FRAME_RATE': _rate(ends),
        'RECEIVED_DURATION': _rounded(np.ptp(ends)) if len(ends) else None,
        'FIRST_INPUT_LATENCY': _rounded(latencies[0]) if latencies else None,
        'LAST_INPUT_LATENCY': _rounded(latencies[-1]) if latencies else None,
        **_of(latencies, 'LATENCY'),
        **_of(jitter, 'JITTER'),
        'STD_DEV_JITTER': _rounded(jitter.std()) if len(jitter) else None,
    }


def _of(values: Sequence[float], what: str) -> dict[str, float | None]:
    steps = {'MIN': np.min, 'MEAN': np.mean, 'MAX': np.max}
    return {f'{name}_{what}': _rounded(step(values)) if len(values) else None for name, step in steps.items()}


def _rate(times: np.ndarray) -> float | None:
    """Of times in ms, per second; as ros2_benchmark counts it, one more than there are intervals."""
    span = np.ptp(times) if len(times) else 0.0
    return _rounded(1e3 * len(times) / span) if span else None


def ask_metrics(records: Sequence[AskRecord]) -> dict[str, Any]:
    """Of the questions. Late is an answer behind its deadline; a deadline is also missed by what is no answer."""
    answered = [each for each in records if not each.error]
    due = [each for each in records if each.deadline]
    return {
        'questions': len(records),
        'answers': len(answered),
        'answers_late': sum(each.late for each in answered),
        'answers_behind': sum(each.behind for each in answered),
        'deadlines': len(due),
        'deadlines_missed': sum(each.late or bool(each.error) for each in due),
        'latency_ms': spread([1e3 * each.seconds for each in answered]),
        'first_token_ms': spread([1e3 * each.time_to_first_token for each in answered]),
    }


def spread(values: Iterable[float]) -> dict[str, float | None]:
    """Median, 90 %, 99 % and the largest; None where there is nothing."""
    values, parts = list(values), {'median': 50, 'p90': 90, 'p99': 99, 'max': 100}
    return {name: _rounded(np.percentile(values, part)) if values else None for name, part in parts.items()}


def _rounded(value: float) -> float:
    return round(float(value), 3)


def as_text(metrics: dict[str, Any]) -> str:
    """Two columns for each camera and for the questions."""
    lines = []
    for title, of in (*metrics['cameras'].items(), ('questions', metrics['questions'])):
        lines.append(title)
        for key, value in of.items():
            name = TITLES.get(key.removeprefix(KEY), key)
            if isinstance(value, dict):
                value = ', '.join(f'{part} {"-" if each is None else each}' for part, each in value.items())
            lines.append(f'  {name:<49}{"-" if value is None else value}')
    return '\n'.join(lines)
