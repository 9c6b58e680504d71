"""The engine: one model, a session for each camera, and what is done next.

Questions go before frames, frames before narration, and prefill of what has waited long enough comes last. While an
answer is in work frames go on being processed: each side gets about half of the time, so that neither starves the
other. Of several cameras the one goes first whose last frame was begun longest ago; of several clients the one whose
last question was taken up longest ago. A narration that questions have kept waiting for a second goes before the next.

Whoever drives an engine calls `step` until it returns False: a thread (worker.py), or a bag runner, which needs none.
`put`, `submit`, `narrate` and `end` may be called from any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from stc_ros.engine.errors import release_memory
from stc_ros.engine.events import EventSink, Frame
from stc_ros.engine.questions import Error, Question
from stc_ros.engine.session import Session
from stc_ros.settings import Settings

Turn = Callable[[], None]


class Engine:
    """Made of what the node, or a test, gives it.

    load: settings -> model. open_stream: (model, settings) -> stream. decode: message -> `Frame`, or raises
    `FrameInvalid`. clock: in ns, as header.stamp counts. seconds: what max_rate and prefill_wait count, never back.
    """

    def __init__(
        self,
        load: Callable[[Settings], Any],
        open_stream: Callable[[Any, Settings], Any],
        decode: Callable[[Any], Frame],
        sink: EventSink,
        clock: Callable[[], int] = time.time_ns,
        seconds: Callable[[], float] = time.monotonic,
    ):
        self._load, self._open_stream, self._decode, self.sink, self.clock = load, open_stream, decode, sink, clock
        self._seconds = seconds
        self.model: Any = None
        self.sessions: dict[str, Session] = {}
        self.wake: Callable[[], None] = lambda: None  # called when there is something new to do
        self.after_frame: Callable[[Session], None] = lambda session: None  # called when one has been processed
        self._questions: list[Question] = []
        self._taken_up: dict[str, int] = {}  # number of its last question, by client that has more
        self._lock = threading.RLock()
        self._look_s = self._talk_s = 0.0  # how long the last frame took; talked since

    # From the thread that drives it

    def load(self, settings: Settings) -> None:
        """Load the model; sessions of an earlier one are given up. Raises what loading raises."""
        if self.sessions:
            self.unload()
        self.model = self._load(settings)

    def unload(self) -> None:
        """Give up every session and the model."""
        for camera in list(self.sessions):
            self.close(camera)
        self.model = None
        release_memory()

    def open(self, camera: str, settings: Settings) -> Session:
        """Start a camera's stream. Raises what the stream objects to, and `ValueError` for a name that is taken."""
        if camera in self.sessions:
            raise ValueError(f'there is a session for {camera!r} already')

        def open_stream(settings: Settings) -> Any:  # never bound to the model, which would outlive this engine
            return self._open_stream(self.model, settings)

        wiring = self._decode, self.sink, self.clock, self.end, self._seconds, open_stream
        session = Session(camera, open_stream(settings), settings, *wiring)
        self.sessions[camera] = session
        return session

    def close(self, camera: str) -> None:
        """End a camera's stream; its questions are replied to."""
        session = self.sessions.pop(camera)
        session.give_up()
        for question in [q for q in tuple(self._questions) if not self._session_of(q)]:
            self.end(question, Error.SHUTDOWN)

    def step(self) -> bool:
        """Do what is next; return False when there is nothing to do."""
        turn = self.next_turn()
        if turn is None:
            return False
        turn()
        return True

    def next_turn(self) -> Turn | None:
        """What to do next: the beginning or next piece of an answer, a frame, narration, prefill.

        Raises `ModelBroken` when the model has failed too often in a row.
        """
        self._expire()
        for session in self.sessions.values():
            session.failures.check()
        talk = self._next_talk()
        waiting = [s for s in self.sessions.values() if s.frame_in == 0]
        if waiting and (talk is None or self._talk_s >= self._look_s):
            return lambda: self._look(min(waiting, key=lambda s: s.looked_at))
        if talk:
            return lambda: self._talk(talk)
        return next((s.prefill for s in self.sessions.values() if s.prefill_in == 0), None)

    def due_in(self) -> float | None:
        """Seconds until there may be something to do by itself; None: not before something comes."""
        times = [t for s in self.sessions.values() for t in (s.frame_in, s.prefill_in)]
        return min((t for t in times if t is not None), default=None)

    # From any thread

    def put(self, camera: str, message: Any) -> None:
        """Receive a camera's image; it replaces one that waits. Raises `KeyError` for a camera without a session."""
        self.sessions[camera].slot.put(message, self.clock())
        self.wake()

    def submit(self, question: Question) -> None:
        """Queue a question; where too many wait already, or nobody knows its camera, it is replied to at once."""
        with self._lock:
            session, refusal = self._session_of(question), None
            limit = session.settings['query.max_queue'] if session else 0
            if session is None:
                known = ', '.join(self.sessions) or 'none'
                refusal = Error.INVALID_REQUEST, f'there is no camera {question.camera!r}; there are: {known}'
            elif self.waiting >= limit:
                refusal = Error.BUSY, f'{limit} questions wait already: ask again later'
            else:
                self._questions.append(question)
        if refusal:
            self.end(question, *refusal)
        else:
            self.wake()

    def narrate(self, camera: str) -> None:
        """Narrate when there is time, if there is anything new."""
        session = self.sessions[camera]
        session.narrator.want(session.seconds())
        self.wake()

    def end(self, question: Question, error: Error = Error.NONE, message: str = '', finished: bool = False) -> None:
        """Reply to a question; only the first call for it has an effect."""
        if not question.end(error, message, finished):
            return
        with self._lock:
            if question in self._questions:  # one that waits behind a turn that hangs would take up room
                self._questions.remove(question)
        session = self._session_of(question)
        if session and not question.narrates:
            with self._lock:
                session.tally.answers += error is Error.NONE
                session.tally.answers_failed += error is not Error.NONE
        self.wake()

    def end_all(self, error: Error = Error.SHUTDOWN, message: str = '') -> None:
        """Reply to every question that waits or is in work."""
        with self._lock:
            questions = [*self._questions, *(s.question for s in tuple(self.sessions.values()))]
            self._questions.clear()
        for question in filter(None, questions):
            self.end(question, error, message)

    @property
    def waiting(self) -> int:
        """How many questions wait."""
        return sum(not question.ended for question in tuple(self._questions))

    # Turns

    def _look(self, session: Session) -> None:
        began, before = time.monotonic(), session.newest
        session.process()
        if session.newest is not None and session.newest is not before:
            self.after_frame(session)
        self._look_s, self._talk_s = time.monotonic() - began, 0.0

    def _talk(self, talk: Turn) -> None:
        began = time.monotonic()
        talk()
        self._talk_s += time.monotonic() - began

    def _next_talk(self) -> Turn | None:
        """The next piece of an answer or narration, or the beginning of one; one question is in work at a time."""
        speaking = next((s for s in self.sessions.values() if s.question), None)
        due = [s for s in self.sessions.values() if s.narrator.due is not None]
        late = any(s.narrator.late(s.seconds()) for s in ([speaking] if speaking else due))
        if self._questions and not late and (not speaking or speaking.narrating):
            return self._take_up
        if speaking:
            return speaking.speak
        return min(due, key=lambda s: s.tally.narrations).narrate if due else None

    def _take_up(self) -> None:
        with self._lock:
            self._questions = [q for q in self._questions if not q.ended]
            question = min(self._questions, key=lambda q: self._taken_up.get(q.client, 0), default=None)
            if question:
                self._questions.remove(question)
                self._taken_up[question.client] = 1 + max(self._taken_up.values(), default=0)
                clients = {q.client for q in self._questions}
                self._taken_up = {c: n for c, n in self._taken_up.items() if c in clients}
        session = self._session_of(question) if question else None
        if question and session:
            for other in self.sessions.values():
                other.put_off_narration()
            session.take_up(question)

    def _expire(self) -> None:
        """End the questions whose deadline has passed."""
        for question in [*tuple(self._questions), *(s.question for s in self.sessions.values())]:
            if question and question.overdue and not question.ended:
                late = f'{question.timeout:g} s passed before the answer was complete'
                self.end(question, Error.TIMEOUT, late)

    def _session_of(self, question: Question) -> Session | None:
        if question.camera:
            return self.sessions.get(question.camera)
        return next(iter(tuple(self.sessions.values())), None)
