"""The watches of an engine, looked up where something new is shown, so often a second: a camera's in one pass."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from stc_ros.engine.errors import out_of_memory, release_memory
from stc_ros.engine.events import FrameProcessed
from stc_ros.engine.scheduler import Engine
from stc_ros.engine.session import Session
from stc_ros.parameters import parameters
from stc_ros.watches.checks import WatchError, check, in_force
from stc_ros.watches.rule import Change, Standing, Watch, forget, look

GREY = 128  # of a frame that shows nothing
LEAST_TOKENS = parameters()['memory.max_tokens'].low


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """A watch, as it was in force for one camera, has risen, fallen or ended.

    frame: the one that decided. since: stamp in ns of the first of the looks in a row that decided.
    """

    watch: Watch
    change: Change
    frame: FrameProcessed
    probability: float
    since: int


@dataclass(slots=True)
class Entry:
    """A watch as it was asked for, and how it stands with each of its cameras."""

    watch: Watch
    condition: Any  # in tokens
    blank: float = 0.0  # its log odds by a frame that shows nothing
    standings: dict[str, Standing] = field(default_factory=dict)
    odds: dict[str, float] = field(default_factory=dict)  # by the camera's frame that it was judged by last
    unseen: set[str] = field(default_factory=set)  # cameras that have shown something new since then


class Watches:
    """Looks up an engine's watches after each frame; a watch without a camera is one of every camera.

    on_event: called on the engine's thread. `listed`, `remove` and `clear` may be called from any thread. A failure is
    counted and goes to the engine's sink; it leaves the stream as it is.
    """

    def __init__(self, engine: Engine, on_event: Callable[[Session, WatchEvent], None]):
        self._engine, self._on_event = engine, on_event
        self._entries: dict[str, Entry] = {}
        self._starts: dict[str, tuple[int, int]] = {}  # which session, and which of its starts, by camera
        self._looked: dict[str, int] = {}  # stamp of the newest look at all watches, by camera
        self._lock = threading.Lock()
        self.failures = 0
        self.ms: dict[str, float] = {}  # that the newest look took, by camera
        engine.after_frame = self.look_up

    def add(self, watches: Sequence[Watch]) -> list[str]:
        """Add all or none -> their names; one of the same name is replaced. Belongs to the engine's thread.

        Raises `WatchError` for one that cannot be watched, and whatever the model raises.
        """
        sessions = self._engine.sessions
        if not watches:
            return []
        if not sessions:
            raise WatchError('the model is not loaded yet: configure the node first')
        from stc_ros.answer import QuestionError  # here, because they import torch
        from stc_ros.watches.judge import judge, read_condition

        session = next(iter(sessions.values()))
        model, settings = session.stream.model, session.settings
        most, names, entries = settings['watch.max_watches'], {watch.name for watch, _ in self.listed()}, []
        for number, watch in enumerate(watches):
            name = watch.name or next(name for i in range(1, most + 2) if (name := f'watch{i}') not in names)
            names.add(name)
            try:
                check(watch, sessions)
                if len(names) > most:
                    raise WatchError(f'there are {most} watches already (watch.max_watches): remove one')
                entries.append(Entry(replace(watch, name=name), read_condition(model, watch.condition)))
            except WatchError as error:
                error.number = number
                raise
            except QuestionError as error:
                raise WatchError(str(error), 'condition', number) from None
        conditions = [entry.condition for entry in entries]
        blank = judge(self._blank_stream(session), conditions, settings['watch.whole_frame'])
        for entry, odds in zip(entries, blank):
            entry.blank = odds
        with self._lock:
            self._entries |= {entry.watch.name: entry for entry in entries}
        return [entry.watch.name for entry in entries]

    def remove(self, name: str) -> bool:
        """Returns whether it was there."""
        with self._lock:
            return self._entries.pop(name, None) is not None

    def clear(self) -> None:
        """Remove all."""
        with self._lock:
            self._entries.clear()

    def listed(self) -> list[tuple[Watch, dict[str, Standing]]]:
        """Each watch as it was asked for, and how it stands, by camera that it has been looked up in."""
        with self._lock:
            return [(entry.watch, dict(entry.standings)) for entry in self._entries.values()]

    def look_up(self, session: Session) -> None:
        """Look up a camera's watches in its newest frame, where they are due.

        What showed nothing new costs no pass: what was judged of the frame before is true of it, too. Behind a look
        that speaks for a change, the watch is looked up again in the next frame that shows something new.
        """
        timer, camera, frame = time.monotonic(), session.camera, session.newest
        with self._lock:
            mine = [entry for entry in self._entries.values() if entry.watch.camera in ('', camera)]
        self.ms[camera] = 0.0
        if not mine or frame is None:
            return
        self._forget(session, mine)
        try:
            self._judge(session, self._due(session, mine, frame))
        except Exception as error:
            for entry in mine:  # what was true of an earlier frame is not what this one shows
                entry.odds.pop(camera, None)
            self._fail(session, 'watching', error)
            if out_of_memory(error):
                traceback.clear_frames(error.__traceback__)  # tensors of the calls that failed
                release_memory()
            return
        events = [self._step(entry, session, frame) for entry in mine if camera not in entry.unseen]
        self.ms[camera] = (time.monotonic() - timer) * 1e3
        for event in filter(None, events):
            try:
                self._on_event(session, event)
            except Exception as error:
                self._fail(session, 'publishing', error)

    def state(self) -> dict[str, Any]:
        """All that `restore` needs, beside the watches themselves, in another process."""
        starts = {camera: start for camera, (_, start) in self._starts.items()}
        entries = {name: (e.standings, e.odds, e.unseen) for name, e in self._entries.items()}
        return {'starts': starts, 'looked': self._looked, 'entries': entries}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where the watches of an engine were, to which the same have been added."""
        sessions = self._engine.sessions
        self._starts = {camera: (id(sessions[camera]), start) for camera, start in state['starts'].items()}
        self._entries = {name: self._entries[name] for name in state['entries']}
        self._looked = state['looked']
        for name, of in state['entries'].items():
            entry = self._entries[name]
            entry.standings, entry.odds, entry.unseen = of

    def _blank_stream(self, session: Session) -> Any:
        """A stream that has seen one grey frame."""
        frame = session.stream.model.visual_tokens + session.stream.model.frame_text.most
        stream = session.open_stream(session.settings | {'memory.max_tokens': max(frame, LEAST_TOKENS)})
        stream.see(np.full((64, 64, 3), GREY, np.uint8), 1)
        return stream

    def _forget(self, session: Session, entries: Sequence[Entry]) -> None:
        """After a reset what was seen counts no more."""
        camera, start = session.camera, (id(session), session.starts)
        if self._starts.get(camera) != start:
            self._starts[camera] = start
            self._looked.pop(camera, None)
            for entry in entries:
                entry.odds.pop(camera, None)
                if camera in entry.standings:
                    entry.standings[camera] = forget(entry.standings[camera])

    def _due(self, session: Session, entries: Sequence[Entry], frame: FrameProcessed) -> list[Entry]:
        """Those to be judged now: by the rate all that have not seen what is new, in between who is about to change."""
        camera, stamp, rate = session.camera, frame.frame.stamp, session.settings['watch.max_rate']
        for entry in entries:
            if frame.report.visual_tokens_kept or camera not in entry.odds:
                entry.unseen.add(camera)
        unseen, looked = [entry for entry in entries if camera in entry.unseen], self._looked.get(camera)
        if unseen and (not rate or looked is None or not 0 <= stamp - looked < 1e9 / rate):  # below 0: time went back
            self._looked[camera] = stamp
            return unseen
        return [e for e in unseen if camera not in e.odds or e.standings.get(camera, Standing()).row]

    def _judge(self, session: Session, entries: Sequence[Entry]) -> None:
        from stc_ros.watches.judge import judge  # here, because it imports torch

        if entries:
            conditions = [entry.condition for entry in entries]
            whole_frame = session.settings['watch.whole_frame']
            for entry, odds in zip(entries, judge(session.stream, conditions, whole_frame)):
                entry.odds[session.camera] = odds
                entry.unseen.discard(session.camera)

    def _step(self, entry: Entry, session: Session, frame: FrameProcessed) -> WatchEvent | None:
        """How a watch stands after a frame, and what has happened."""
        camera, settings, stamp = session.camera, session.settings, frame.frame.stamp
        watch = in_force(entry.watch, settings, camera)
        bias = lean(entry.blank, watch.threshold) if settings['watch.correct_bias'] else 0.0
        chance = 1 / (1 + math.exp(min(50.0, bias - entry.odds[camera])))
        before = entry.standings.get(camera, Standing())
        if stamp < before.stamp:  # time has gone back: what it measured from there is void
            before = replace(before, rose=None, began=None)
        standing, change = look(watch, before, chance, stamp)
        with self._lock:
            if self._entries.get(watch.name) is not entry:
                return None  # removed or replaced meanwhile
            entry.standings[camera] = standing
            if change is Change.EXPIRED or (watch.once and change is Change.RISING):
                del self._entries[watch.name]
        return WatchEvent(watch, change, frame, chance, standing.since) if change else None

    def _fail(self, session: Session, where: str, error: Exception) -> None:
        self.failures += 1
        session.sink.failed(session, where, error)


def lean(blank: float, threshold: float) -> float:
    """What to take from the log odds of a condition that has `blank` on an empty frame.

    Such a frame shows nothing: a model that calls a condition rather true of it leans that way by so much. One that it
    calls true without doubt is about emptiness ("no object is moving").
    """
    return blank if 0 < blank and 1 / (1 + math.exp(-blank)) < threshold else 0.0
