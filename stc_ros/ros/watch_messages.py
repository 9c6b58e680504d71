"""Watches as messages, and messages as watches: every field of Watch, WatchState and WatchEvent is filled in here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from builtin_interfaces.msg import Duration

from stc_ros.msg import Watch as WatchMessage
from stc_ros.msg import WatchEvent as WatchEventMessage
from stc_ros.msg import WatchState
from stc_ros.ros.messages import to_time
from stc_ros.settings import Settings
from stc_ros.watches.checks import TIMES, in_force
from stc_ros.watches.lookup import Watches, WatchEvent
from stc_ros.watches.rule import Standing, Watch

SAME = ('name', 'condition', 'camera', 'threshold', 'rearm', 'looks', 'once')  # fields that are alike on both sides


def to_watch(message: WatchMessage) -> Watch:
    """What a client asks for; whether that can be is `check`'s to say."""
    times = {name: getattr(message, name) for name in TIMES}
    return Watch(
        **{name: getattr(message, name) for name in SAME},
        **{name: each.sec * 1_000_000_000 + each.nanosec for name, each in times.items()},
    )


def to_message(watch: Watch) -> WatchMessage:
    times = {name: divmod(getattr(watch, name), 1_000_000_000) for name in TIMES}
    return WatchMessage(
        **{name: getattr(watch, name) for name in SAME},
        **{name: Duration(sec=sec, nanosec=nanosec) for name, (sec, nanosec) in times.items()},
    )


def states(watches: Watches, cameras: Mapping[str, Settings]) -> Iterator[WatchState]:
    """How all watches stand: one state for each camera that a watch is of."""
    for watch, standings in watches.listed():
        for camera, settings in cameras.items():
            if watch.camera in ('', camera):
                yield _state(in_force(watch, settings, camera), standings.get(camera, Standing()))


def _state(watch: Watch, standing: Standing) -> WatchState:
    return WatchState(
        watch=to_message(watch),
        active=standing.active,
        probability=standing.probability,
        last_stamp=to_time(standing.stamp),
        frames=standing.frames,
        events=standing.events,
    )


def event(event: WatchEvent, now: int, evidence: str) -> WatchEventMessage:
    """now: the node's clock, in ns. evidence: the topic on which the frame is published, or ''."""
    watch, frame = event.watch, event.frame.frame
    return WatchEventMessage(
        header=frame.header,
        kind=event.change.value,
        watch=watch.name,
        condition=watch.condition,
        camera=watch.camera,
        probability=event.probability,
        since=to_time(event.since),
        latency=(now - frame.stamp) / 1e9,
        evidence=evidence,
    )
