"""Replays a bag through the engine, without a thread and without a clock: the time is the stream's own.

Every frame is processed before the next one is read, and a question is asked when all frames up to its time have been
processed and none behind it: what a robot would answer whose computer is never late. `input.max_rate`,
`expert.prefill_wait` and `narration.period` count the stream's time, so that two replays give the same to the last bit.

What a replay knows between two frames is a value: a checkpoint writes it down, and a replay that begins with it goes on
to the same last bit. Frames are not in it but their numbers: the bag is read on from its start up to there, which costs
what reading and, of video, decoding costs.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from stc_ros.engine import questions as engine_questions
from stc_ros.engine.errors import describe
from stc_ros.engine.events import EventSink, Frame, FrameProcessed, NarrationSpan
from stc_ros.engine.questions import Reply
from stc_ros.engine.scheduler import Engine
from stc_ros.evaluation.controls import Controls
from stc_ros.evaluation.replay_sink import Asked, Planned, ReplaySink
from stc_ros.io.image_messages import FrameInvalid
from stc_ros.settings import Settings
from stc_ros.watches.lookup import Watches, WatchEvent
from stc_ros.watches.watch_file import add_file

if TYPE_CHECKING:
    from stc_ros.evaluation.checkpoint import Checkpoints, Found
    from stc_ros.io.bags import Bag, BagFrame


def replay(
    model: Any,
    bag: Bag,
    topics: Sequence[str],
    questions: Iterable[Planned],
    settings: Settings,
    sink: ReplaySink,
    controls: bool = True,
    narrate: bool = True,
    open_stream: Callable[[Any, Settings], Any] | None = None,
    checkpoints: Checkpoints | None = None,
) -> None:
    """Replay `topics` of `bag`, a session for each, and ask the questions, which are in order of time.

    checkpoints: written now and then; where there is one already, the replay goes on from there. Raises what the bag
    raises where it cannot be read on; what was due until then has been asked.
    """
    if open_stream is None:
        from stc_ros.stream import open_stream  # here, because it imports torch
    planned = tuple(questions)
    given = model, bag.start_ns, topics, planned, settings, sink, controls, narrate, open_stream, checkpoints
    run, frames = _Replay(*given), bag.frames(topics)
    found = checkpoints.read(model) if checkpoints else None
    if found:
        try:
            run.go_on(found, frames)
        except Exception as error:  # somebody else's part or sink raises whatever it likes
            checkpoints.refuse(describe(error))
            run, frames, found = _Replay(*given), bag.frames(topics), None
    if not found:
        run.begin()
    try:
        for frame in frames:
            run.until(frame.stamp)
            run.put(frame)
    except Exception:
        run.until(run.now + 1)
        raise
    run.until(max(bag.end_ns, run.now) + 1)


class _Replay(EventSink):
    """Drives an engine through a stream's time, `now`."""

    def __init__(
        self,
        model: Any,
        start_ns: int,
        topics: Sequence[str],
        questions: Sequence[Planned],
        settings: Settings,
        sink: ReplaySink,
        controls: bool,
        narrate: bool,
        open_stream: Callable[[Any, Settings], Any],
        checkpoints: Checkpoints | None,
    ):
        self.start = self.now = start_ns
        self._questions, self._sink, self._narrates, self._checkpoints = questions, sink, narrate, checkpoints
        self._due: list[tuple[int, int, str, Any]] = []  # a heap of (stamp, number, what, of what)
        self._planned = self._frames_read = 0
        self._decoding: BagFrame | None = None
        self._engine = Engine(
            lambda _: model, open_stream, self._decode, self, clock=lambda: self.now, seconds=self._seconds
        )
        self._engine.load(settings)
        for topic in topics:
            self._engine.open(topic, settings)
        self._watches = Watches(self._engine, self._watched)
        add_file(self._watches, settings['watch.file'])
        self._controls = Controls(model, settings, open_stream) if controls else None
        self._limit: int = settings['query.max_new_tokens']
        self._period = round(settings['narration.period'] * 1e9)

    def begin(self) -> None:
        """Begin at the bag's start."""
        if self._checkpoints:
            self._checkpoints.discard()
        self._sink.begin()
        for index, planned in enumerate(self._questions):
            self._plan(planned.stamp, 'question', index)
        for topic in self._engine.sessions if self._narrates and self._period else ():
            self._plan(self.start + self._period, 'narration', topic)

    def go_on(self, found: Found, frames: Iterator[BagFrame]) -> None:
        """Go on where a killed replay was: take from `frames` what it had taken. Raises whatever prevents that."""
        from stc_ros.evaluation.pickled_state import unpack  # here, because it imports torch

        sessions, shown = self._engine.sessions, {}
        for frame in islice(frames, found.frames_read):
            self._sink.progress(frame.stamp)
            if frame.number in found.frames:
                shown[frame.number] = frame
        streams = [session.stream for session in sessions.values()]
        for session in sessions.values():
            session.stream = None
        state = unpack(found.data, self._engine.model, streams, shown)
        for camera, session in sessions.items():
            session.restore(state['sessions'][camera])
        if self._controls:
            self._controls.restore(state['controls'])
        self._watches.restore(state['watches'])
        self.now, self._due, self._planned = state['now'], state['due'], state['planned']
        self._frames_read = found.frames_read
        self._sink.restore(state['sink'])

    def _write_checkpoint(self) -> None:
        """Write down what `go_on` needs. Between two frames no question is in work."""
        sessions = self._engine.sessions
        state = {
            'now': self.now,
            'due': self._due,
            'planned': self._planned,
            'sessions': {camera: session.state() for camera, session in sessions.items()},
            'controls': self._controls.state() if self._controls else None,
            'watches': self._watches.state(),
            'sink': self._sink.checkpoint(),
        }
        streams = [session.stream for session in sessions.values()]
        self._checkpoints.write(self._engine.model, streams, state, self._frames_read, self.now)

    def until(self, stamp: int) -> None:
        """Let the time go on to just before `stamp`, and do what is due by then."""
        while self._due and self._due[0][0] < stamp:
            at, _, what, of = heapq.heappop(self._due)
            self._advance(at)
            self._ask(self._questions[of]) if what == 'question' else self._narrate(of)
            self._between()
        self._advance(stamp - 1)

    def put(self, frame: BagFrame) -> None:
        """Process a frame at its own time."""
        self.now = max(self.now, frame.stamp)
        self._frames_read += 1
        self._sink.received(frame.topic, self.now)
        self._engine.put(frame.topic, frame)
        self._finish()
        self._sink.progress(self.now)
        self._between()

    def _between(self) -> None:
        """Between two frames or questions."""
        if self._checkpoints and self._checkpoints.due:
            self._write_checkpoint()

    def _plan(self, stamp: int, what: str, of: Any) -> None:
        """Do something when the frames up to `stamp` have been processed."""
        self._planned += 1
        heapq.heappush(self._due, (stamp, self._planned, what, of))

    def _ask(self, planned: Planned) -> None:
        """Ask a question now, and its controls."""
        replies: list[Reply] = []
        text, began = planned.question.text, time.monotonic()
        self._engine.submit(engine_questions.Question(text, self._limit, replies.append, camera=planned.camera))
        while not replies and self._engine.step():
            pass
        seconds = time.monotonic() - began
        newest = self._engine.sessions[planned.camera].newest
        others = self._controls.answers(planned.camera, text) if self._controls else {}
        self._sink.asked(Asked(planned, replies[0], seconds, newest, others))
        self._finish()

    def _narrate(self, camera: str) -> None:
        self._engine.narrate(camera)
        self._finish()
        self._plan(self.now + self._period, 'narration', camera)

    def _advance(self, stamp: int) -> None:
        """Let the time go on to `stamp`, and the engine do what becomes due meanwhile."""
        while (seconds := self._engine.due_in()) is not None:
            due = self.now + max(1, math.ceil(seconds * 1e9))
            if due > stamp:
                break
            self.now = due
            self._finish()
        self.now = max(self.now, stamp)

    def _finish(self) -> None:
        while self._engine.step():
            pass

    def _seconds(self) -> float:
        return (self.now - self.start) / 1e9

    def _decode(self, frame: BagFrame) -> Frame:
        self._decoding = frame
        if frame.picture is None:
            raise FrameInvalid(frame.error_kind, frame.error)
        return to_frame(frame)

    # What the engine reports

    def processed(self, session: Any, event: FrameProcessed) -> None:
        if self._controls:
            self._controls.note(session.camera, event.frame)
        self._sink.frame(session.camera, event)

    def invalid(self, session: Any, frame: FrameInvalid) -> None:
        stamp = self._decoding.stamp if self._decoding else self.now
        self._sink.invalid(session.camera, stamp, frame.kind, str(frame))

    def narrated(self, session: Any, span: NarrationSpan, reply: Reply) -> None:
        self._sink.narrated(session.camera, span, reply.answer)

    def _watched(self, session: Any, event: WatchEvent) -> None:
        name = f'{event.watch.name} {event.change.name.lower()}'
        text = f'{event.watch.condition} (p {event.probability:.3f})'
        self._sink.event(session.camera, event.frame.frame.stamp, name, text)

    def failed(self, session: Any, where: str, error: BaseException) -> None:
        if where == 'publishing':  # the sink's own failure: what it writes would not be whole
            raise error
        self._sink.event(session.camera, self.now, 'failure', f'{where}: {describe(error)}')

    def was_reset(self, session: Any, reason: str) -> None:
        self._sink.event(session.camera, self.now, 'reset', reason)

    def wants_narration(self, camera: str) -> bool:
        return self._narrates


def to_frame(frame: BagFrame) -> Frame:
    return Frame(frame, frame.stamp, frame.picture)
