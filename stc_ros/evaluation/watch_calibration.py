"""Levels for watches from a recording in which somebody has marked when each condition was true.

Each watch's log odds are computed once, at every frame that shows something new; all candidates are then tried on them
by the watch's own rule. Those that keep to the wished rate of false alarms are compared by event F1. A running watch
looks less often (watch.max_rate), which gives it fewer chances to be wrong, and a little more delay.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from stc_ros.evaluation.watch_measures import Tally, count
from stc_ros.io.image_messages import FrameInvalid
from stc_ros.io.marked_yaml import Items, MarkedFile
from stc_ros.settings import Settings
from stc_ros.watches.checks import in_force
from stc_ros.watches.lookup import GREY, lean
from stc_ros.watches.rule import Change, Standing, Watch, look

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
REARMS = (0.05, 0.2)
LOOKS = (1, 2, 3)
HOLDS_S = (0.0, 0.5, 1.0, 2.0)

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Labels:
    """When a condition was true, and when nobody knows: spans in s from the recording's start; else it was false."""

    true: tuple[Span, ...] = ()
    unknown: tuple[Span, ...] = ()

    def at(self, second: float) -> bool | None:
        if any(a <= second < b for a, b in self.unknown):
            return None
        return any(a <= second < b for a, b in self.true)


@dataclass(slots=True)
class Trace:
    """How likely a condition was, frame by frame. blank: its log odds by an empty frame."""

    blank: float
    stamps: list[int] = field(default_factory=list)  # ns
    odds: list[float] = field(default_factory=list)  # log odds


@dataclass(frozen=True, slots=True)
class Fitted:
    """A watch with the levels that did best, how it does with them and how it did before. kept: the wished rate."""

    watch: Watch
    after: Tally
    before: Tally
    kept: bool


def read_labels(file: Path, names: Sequence[str]) -> dict[str, Labels]:
    """Labels by watch, of a file `labels: [{watch: door, true: [[12, 14.5]], unknown: [[3, 4]]}]`, times in s.

    Raises `FileError`, also where one of the watches has none: "true: []" says that it is never true.
    """
    marked = MarkedFile(file)
    top = marked.section(marked.content, 1, 'a file of labels', ('labels',), needed=('labels',))
    found: dict[str, Labels] = {}
    for line, value in marked.items(top, 'labels'):
        section = marked.section(value, line, 'a label', ('watch', 'true', 'unknown'), needed=('watch', 'true'))
        name = marked.text(section, 'watch').strip()
        if name not in names or name in found:
            why = 'is labelled twice' if name in found else f'is none of the watches: {", ".join(names)}'
            raise marked.error(section.lines['watch'], f'{name!r} {why}')
        found[name] = Labels(*(tuple(_spans(marked, section, key)) for key in ('true', 'unknown')))
    if missing := [name for name in names if name not in found]:
        raise marked.error(1, f'there are no labels of {", ".join(missing)}; "true: []" says that it is never true')
    return found


def trace(
    stream: Any, blank_stream: Any, frames: Iterator[Any], texts: Sequence[str], whole_frame: bool
) -> list[Trace]:
    """Show frames (`BagFrame`) to a stream -> a trace of each condition. Frames that cannot be read are left out."""
    from stc_ros.watches.judge import judge, read_condition  # here, because it imports torch

    conditions = [read_condition(stream.model, text) for text in texts]
    blank_stream.see(np.full((64, 64, 3), GREY, np.uint8), 1)
    traces = [Trace(odds) for odds in judge(blank_stream, conditions, whole_frame)]
    newest, odds = 0, None
    for frame in frames:
        if frame.picture is None or frame.stamp <= newest:
            continue
        try:
            report = stream.see(frame.picture, frame.stamp)
        except FrameInvalid:
            continue
        newest = frame.stamp
        if odds is None or report.visual_tokens_kept:
            odds = judge(stream, conditions, whole_frame)
        for each, value in zip(traces, odds):
            each.stamps.append(frame.stamp)
            each.odds.append(value)
    return traces


def fit(watch: Watch, seen: Trace, labels: Labels, start_ns: int, settings: Settings, alarms_per_hour: float) -> Fitted:
    """The levels of the highest F1 among those with at most so many false alarms an hour, or else of the fewest.

    Of equal ones those that decide soonest, then those next to the watch's own threshold.
    """
    truth = [labels.at((stamp - start_ns) / 1e9) for stamp in seen.stamps]
    own = in_force(watch, settings)
    before = _measure(own, seen, truth, settings)
    tallies = {tried: _measure(tried, seen, truth, settings) for tried in _candidates(watch)}

    def over(tally: Tally) -> float:
        return max(0.0, tally.false_alarms / max(tally.hours, 1e-9) - alarms_per_hour)

    def rank(tried: Watch) -> tuple[float, ...]:
        away = abs(_log_odds(tried.threshold) - _log_odds(own.threshold))
        return over(tallies[tried]), -tallies[tried].f1, tried.hold, tried.looks, away

    best = min(tallies, key=rank)
    return Fitted(best, tallies[best], before, over(tallies[best]) == 0.0)


def as_yaml(watches: Sequence[Watch]) -> dict[str, list[dict[str, Any]]]:
    """The content of a file of watches; fields that say nothing are left out."""
    times = ('hold', 'cool_down', 'time_limit')
    plain = ('condition', 'name', 'camera', 'threshold', 'rearm', 'looks', 'once')
    return {
        'watches': [
            {name: value for name in plain if (value := getattr(watch, name))}
            | {name: value / 1e9 for name in times if (value := getattr(watch, name))}
            for watch in watches
        ]
    }


def _candidates(watch: Watch) -> Iterator[Watch]:
    for threshold in THRESHOLDS:
        for rearm in REARMS:
            for looks in LOOKS:
                for hold in HOLDS_S:
                    yield replace(
                        watch, threshold=threshold, rearm=rearm, looks=looks, hold=round(hold * 1e9), sure=1.0
                    )


def _measure(watch: Watch, seen: Trace, truth: Sequence[bool | None], settings: Mapping[str, Any]) -> Tally:
    """How well a watch does that ends neither by time nor with its first rise."""
    bias = lean(seen.blank, watch.threshold) if settings['watch.correct_bias'] else 0.0
    watch, standing, rises = replace(watch, time_limit=0, once=False), Standing(), []
    for number, (stamp, odds) in enumerate(zip(seen.stamps, seen.odds)):
        standing, change = look(watch, standing, 1 / (1 + math.exp(min(50.0, bias - odds))), stamp)
        rises += [number] if change is Change.RISING else []
    tally = Tally()
    if len(seen.stamps) > 1:
        count(tally, truth, rises, (seen.stamps[-1] - seen.stamps[0]) / 1e9 / (len(seen.stamps) - 1))
    return tally


def _log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def _spans(marked: MarkedFile, section: Any, key: str) -> Iterator[Span]:
    for line, value in marked.items(section, key):
        try:
            first, behind = (float(each) for each in value) if isinstance(value, Items) else ()
            if not 0 <= first < behind < math.inf:
                raise ValueError
        except (TypeError, ValueError):
            raise marked.error(line, f'{key} has to be a list of spans [from, to], in s from the start') from None
        yield first, behind
