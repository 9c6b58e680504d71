"""Several sinks of a replay as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stc_ros.engine.events import FrameProcessed, NarrationSpan
from stc_ros.evaluation.replay import Asked, ReplaySink


class Sinks(ReplaySink):
    """Tells each of them, in their order."""

    def __init__(self, *sinks: ReplaySink):
        self._sinks: Sequence[ReplaySink] = sinks

    def begin(self) -> None:
        self._tell('begin')

    def received(self, camera: str, stamp: int) -> None:
        self._tell('received', camera, stamp)

    def frame(self, camera: str, event: FrameProcessed) -> None:
        self._tell('frame', camera, event)

    def invalid(self, camera: str, stamp: int, kind: str, text: str) -> None:
        self._tell('invalid', camera, stamp, kind, text)

    def asked(self, asked: Asked) -> None:
        self._tell('asked', asked)

    def narrated(self, camera: str, span: NarrationSpan, text: str) -> None:
        self._tell('narrated', camera, span, text)

    def event(self, camera: str, stamp: int, name: str, text: str) -> None:
        self._tell('event', camera, stamp, name, text)

    def progress(self, stamp: int) -> None:
        self._tell('progress', stamp)

    def checkpoint(self) -> list[Any]:
        return [sink.checkpoint() for sink in self._sinks]

    def restore(self, state: list[Any]) -> None:
        for sink, each in zip(self._sinks, state, strict=True):
            sink.restore(each)

    def _tell(self, what: str, *values: Any) -> None:
        for sink in self._sinks:
            getattr(sink, what)(*values)
