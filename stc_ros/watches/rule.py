"""When a watch rises and falls: a threshold, a lower one to fall again, and looks in a row. Values in, values out."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace


class Change(enum.Enum):
    """What happens to a watch. The names are those of the constants in msg/WatchEvent."""

    RISING = 1
    FALLING = 2
    EXPIRED = 3


@dataclass(frozen=True, slots=True)
class Watch:
    """A standing condition. Times in ns of header.stamp; 0: none."""

    name: str
    condition: str
    camera: str
    threshold: float = 0.8  # probability from which on it counts as true
    rearm: float = 0.5  # below which it counts as false again
    looks: int = 2  # in a row that must agree
    hold: int = 0  # it must have been true for so long before it rises
    cool_down: int = 0  # no second rising within this time
    time_limit: int = 0  # it ends after this time
    once: bool = False  # it ends with its first rising
    sure: float = 1.0  # probability from which one look is enough to rise, as 1 - sure is to fall; 1: never


@dataclass(frozen=True, slots=True)
class Standing:
    """How a watch stands."""

    active: bool = False
    row: int = 0  # looks in a row that speak for a change
    since: int = 0  # stamp of the first of them
    rose: int | None = None  # stamp of its last rising
    began: int | None = None  # stamp of the first frame it was looked up in
    stamp: int = 0  # of the newest
    probability: float = math.nan
    frames: int = 0
    events: int = 0


def look(watch: Watch, standing: Standing, probability: float, stamp: int) -> tuple[Standing, Change | None]:
    """A look at time `stamp` gives the condition a `probability` -> how the watch stands then, and what happens."""
    began = stamp if standing.began is None else standing.began
    speaks = probability < watch.rearm if standing.active else probability >= watch.threshold
    row = standing.row + 1 if speaks else 0
    since = standing.since if row > 1 else stamp
    now = replace(
        standing, row=row, since=since, began=began, stamp=stamp, probability=probability, frames=standing.frames + 1
    )
    if watch.time_limit and stamp - began >= watch.time_limit:
        return replace(now, events=now.events + 1), Change.EXPIRED
    sure = watch.sure < 1 and (probability <= 1 - watch.sure if standing.active else probability >= watch.sure)
    if not speaks or row < watch.looks and not sure:
        return now, None
    if standing.active:
        return replace(now, active=False, row=0, events=now.events + 1), Change.FALLING
    cooling = standing.rose is not None and stamp - standing.rose < watch.cool_down
    if cooling or stamp - since < watch.hold:
        return now, None
    return replace(now, active=True, row=0, rose=stamp, events=now.events + 1), Change.RISING


def forget(standing: Standing) -> Standing:
    """After a reset of the stream: what was seen counts no more. An active watch falls when it is looked up again."""
    return replace(standing, row=0, since=0)
