"""Several sinks as one."""

from __future__ import annotations

from typing import Any

from stc_ros.engine.events import FrameProcessed, NarrationSpan
from stc_ros.evaluation.replay import Asked, ReplaySink


class Sinks(ReplaySink):
    """Tells each of its sinks everything, in the order in which they were given."""

    def __init__(self, *sinks: ReplaySink):
        self._sinks = sinks

    def begin(self) -> None:
        for sink in self._sinks:
            sink.begin()

    def frame(self, camera: str, event: FrameProcessed) -> None:
        for sink in self._sinks:
            sink.frame(camera, event)

    def invalid(self, camera: str, stamp: int, kind: str, text: str) -> None:
        for sink in self._sinks:
            sink.invalid(camera, stamp, kind, text)

    def asked(self, asked: Asked) -> None:
        for sink in self._sinks:
            sink.asked(asked)

    def narrated(self, camera: str, span: NarrationSpan, text: str) -> None:
        for sink in self._sinks:
            sink.narrated(camera, span, text)

    def event(self, camera: str, stamp: int, name: str, text: str) -> None:
        for sink in self._sinks:
            sink.event(camera, stamp, name, text)

    def progress(self, stamp: int) -> None:
        for sink in self._sinks:
            sink.progress(stamp)

    def checkpoint(self) -> list[Any]:
        return [sink.checkpoint() for sink in self._sinks]

    def restore(self, state: list[Any]) -> None:
        for sink, each in zip(self._sinks, state, strict=True):
            sink.restore(each)
