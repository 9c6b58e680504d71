"""The thread that drives an engine, and alone touches its model and streams."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from stc_ros.engine.errors import describe
from stc_ros.engine.questions import Error, Question
from stc_ros.engine.scheduler import Engine
from stc_ros.engine.session import Session
from stc_ros.settings import Settings

LONGEST_WAIT_S = 3600.0  # a lock takes no more than some centuries


class Worker:
    """Drives an `Engine` in a thread of its own; jobs (load, settings, reset) go before all else.

    Its methods may be called from any thread; those that give a `Future` are done between two turns.
    """

    def __init__(self, engine: Engine):
        self.engine = engine
        self.engine.wake = self._notify
        self.busy_since: float | None = None  # s, monotonic: when the turn in work began
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._stopped: tuple[Error, str] | None = None
        self._wake = threading.Condition()
        self.thread = threading.Thread(target=self._run, name='stc worker', daemon=True)
        self.thread.start()

    def load(self, settings: Settings, cameras: Mapping[str, Settings]) -> Future[Any]:
        """Load the model and start a stream for each camera. The future raises what loading raises."""

        def job() -> None:
            self.engine.load(settings)
            for camera, own in cameras.items():
                self.engine.open(camera, own)

        return self.do(job)

    def unload(self) -> Future[Any]:
        """Give up streams and model."""
        return self.do(self.engine.unload)

    def resume(self) -> Future[Any]:
        """Start all streams afresh."""
        return self._of_each(lambda session: session.begin())

    def pause(self) -> Future[Any]:
        """End every question and drop the frames that wait."""
        self.engine.end_all()
        return self._of_each(lambda session: session.give_up())

    def configure(self, cameras: Mapping[str, Settings]) -> Future[Any]:
        """Use other settings from the next frame on; a camera that is not among them ends, a new one begins.

        The future raises what a stream objects to.
        """

        def job() -> None:
            if not self.engine.sessions:  # not loaded yet
                return
            for gone in [name for name in self.engine.sessions if name not in cameras]:
                self.engine.close(gone)
            for camera, settings in cameras.items():
                if session := self.engine.sessions.get(camera):
                    session.configure(settings)
                else:
                    self.engine.open(camera, settings)

        return self.do(job)

    def reset(self, reason: str) -> Future[Any]:
        """Forget everything seen."""
        return self._of_each(lambda session: session.reset(reason))

    def ask(self, question: Question) -> None:
        """Queue a question; when the thread has ended it is replied to at once."""
        with self._wake:
            refusal = self._stopped
            if not refusal:
                self.engine.submit(question)
        if refusal:
            self.engine.end(question, *refusal)

    @property
    def alive(self) -> bool:
        return self._stopped is None

    def stop(self, error: Error = Error.SHUTDOWN, message: str = '') -> None:
        """End after the turn in work; all questions are replied to now, and all later ones at once."""
        with self._wake:
            if self._stopped:
                return
            self._stopped = error, message
            jobs = list(self._jobs)
            self._jobs.clear()
            self._wake.notify()
        self.engine.end_all(error, message)
        for _, future in jobs:
            future.cancel()

    def join(self, timeout: float) -> bool:
        """Wait for the thread to end, at most `timeout` seconds; return whether it did."""
        self.thread.join(timeout)
        return not self.thread.is_alive()

    def do(self, work: Callable[[], Any]) -> Future[Any]:
        """Do `work` on the thread, between two turns."""
        future: Future[Any] = Future()
        with self._wake:
            if self._stopped:
                future.cancel()
            else:
                self._jobs.append((work, future))
                self._wake.notify()
        return future

    def _of_each(self, work: Callable[[Session], None]) -> Future[Any]:
        def job() -> None:
            for session in self.engine.sessions.values():
                work(session)

        return self.do(job)

    def _notify(self) -> None:
        with self._wake:
            self._wake.notify()

    def _run(self) -> None:
        try:
            while turn := self._next_turn():
                self.busy_since = time.monotonic()
                turn()
                self.busy_since = None
        except BaseException as error:  # SystemExit and the like too: nobody else would answer for this thread
            if self.alive:
                self.stop(Error.MODEL_FAILURE, f'the worker thread died: {describe(error)}')
                self.engine.sink.died(error)
        finally:
            self.busy_since = None
            self.engine.end_all(
                *(self._stopped or (Error.SHUTDOWN, ''))
            )  # taken up while `stop` looked for those that wait
            for session in self.engine.sessions.values():
                session.close_answer()
                session.stream = None  # whoever keeps this worker for a while does not keep the model
            self.engine.model = None

    def _next_turn(self) -> Callable[[], None] | None:
        """What to do next; waits until there is something, or until it is time to stop (None)."""
        with self._wake:
            while not self._stopped:
                if self._jobs:
                    work, future = self._jobs.popleft()
                    return lambda: _run_job(work, future)
                if turn := self.engine.next_turn():
                    return turn
                due_in = self.engine.due_in()
                self._wake.wait(LONGEST_WAIT_S if due_in is None else min(due_in, LONGEST_WAIT_S))
        return None


def _run_job(work: Callable[[], Any], future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)
        if not isinstance(error, Exception):
            raise
