"""The thread that alone touches the model and its stream, and the order of its turns. Knows nothing of ROS.

Jobs (load, settings, reset) go first, then answers, frames, and narration, then the prefill of what has waited long
enough. While an answer is in work frames go on being seen: each side gets about half of the time, so that neither
starves the other.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from stc_ros.ros.failures import describe
from stc_ros.ros.questions import Error, Question
from stc_ros.ros.records import Frame, Outputs
from stc_ros.ros.session import Session
from stc_ros.settings import Settings

LONGEST_WAIT_S = 3600.0  # a lock takes no more than some centuries


class Worker:
    """Runs a `Session` in a thread of its own; its public methods may be called from any other.

    load: settings -> stream. decode: message -> `Frame`, or raises `FrameRefused`. clock: the node's, in ns.
    """

    def __init__(
        self,
        load: Callable[[Settings], Any],
        decode: Callable[[Any], Frame],
        outputs: Outputs,
        clock: Callable[[], int] = time.time_ns,
    ):
        self.session = Session(load, decode, outputs, clock, self.end)
        self.mailbox = self.session.mailbox
        self.busy_since: float | None = None  # s, monotonic: when the turn in work began
        self._jobs: deque[tuple[Callable[[], Any], Future]] = deque()
        self._questions: deque[Question] = deque()
        self._stopped: tuple[Error, str] | None = None
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name='stc worker', daemon=True)
        self._thread.start()

    def load(self, settings: Settings) -> Future:
        """Load the model and start a stream. The future raises what loading raises."""
        return self._do(self.session.start, settings)

    def unload(self) -> Future:
        """Give up stream and model."""
        return self._do(self.session.free)

    def resume(self) -> Future:
        """Start afresh."""
        return self._do(self.session.begin)

    def pause(self) -> Future:
        """End every question and drop the frame that waits."""
        with self._wake:
            open_ones = [*self._questions, *filter(None, [self.session.question])]
            self._questions.clear()
        for question in open_ones:
            self.end(question, Error.SHUTDOWN)
        return self._do(self.session.give_up)

    def configure(self, settings: Settings) -> Future:
        """Use other settings from the next frame on. The future raises what the stream objects to."""
        return self._do(self.session.configure, settings)

    def reset(self, reason: str) -> Future:
        """Forget everything seen."""
        return self._do(self.session.reset, reason)

    def put(self, message: Any) -> None:
        """Receive an image message; it replaces one that waits."""
        self.mailbox.put(message, self.session.clock())
        with self._wake:
            self._wake.notify()

    def ask(self, question: Question, limit: int) -> None:
        """Queue a question, of which at most `limit` wait; one more is replied to at once."""
        with self._wake:
            refusal = self._stopped
            if not refusal and self.waiting >= limit:
                refusal = Error.BUSY, f'{limit} questions wait already: ask again later'
            if not refusal:
                self._questions.append(question)
                self._wake.notify()
        if refusal:
            self.end(question, *refusal)

    def narrate(self) -> None:
        """Narrate when there is time, if there is anything new."""
        with self._wake:
            self.session.due = bool(self.session.due)
            self._wake.notify()

    def end(self, question: Question, error: Error = Error.NONE, message: str = '', finished: bool = False) -> None:
        """Reply to a question; only the first call for it has an effect."""
        if not question.end(error, message, finished):
            return
        with self._wake:
            if not question.narrates:
                self.session.tally.answers += error is Error.NONE
                self.session.tally.answers_failed += error is not Error.NONE
            self._wake.notify()

    @property
    def waiting(self) -> int:
        """How many questions wait."""
        return sum(not question.ended for question in tuple(self._questions))

    @property
    def alive(self) -> bool:
        return self._stopped is None

    def stop(self, error: Error = Error.SHUTDOWN, message: str = '') -> None:
        """End after the turn in work; all questions are replied to now, and all later ones at once."""
        with self._wake:
            if self._stopped:
                return
            self._stopped = error, message
            questions = [*self._questions, *filter(None, [self.session.question])]
            jobs = list(self._jobs)
            self._questions.clear()
            self._jobs.clear()
            self._wake.notify()
        for question in questions:
            question.end(error, message)
        for _, future in jobs:
            future.cancel()

    def join(self, timeout: float) -> bool:
        """Wait for the thread to end, at most `timeout` seconds; return whether it did."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _do(self, work: Callable[..., Any], *arguments) -> Future:
        future = Future()
        with self._wake:
            if self._stopped:
                future.cancel()
            else:
                self._jobs.append((lambda: work(*arguments), future))
                self._wake.notify()
        return future

    def _run(self) -> None:
        try:
            while turn := self._next_turn():
                self.busy_since = time.monotonic()
                turn()
                self.busy_since = None
        except BaseException as error:  # SystemExit and the like too: nobody else would answer for this thread
            self.stop(Error.MODEL_FAILURE, f'the worker thread died: {describe(error)}')
            self.session.outputs.died(error)
        finally:
            if self.session.question:  # taken up while `stop` looked for those that wait
                self.session.question.end(*self._stopped)
            self.session.close_answer()
            self.session.stream = None  # whoever keeps this worker for a while does not keep the model

    def _next_turn(self) -> Callable[[], None] | None:
        """What to do next; waits until there is something, or until it is time to stop (None)."""
        with self._wake:
            while not self._stopped:
                if self._jobs:
                    return functools.partial(_run_job, *self._jobs.popleft())
                talk, frame_in = self._next_talk(), self._frame_in()
                if frame_in == 0 and (talk is None or self.session.talk_s >= self.session.look_s):
                    return self.session.see
                if talk:
                    return talk
                prefill_in = self.session.prefill_in
                if prefill_in == 0:
                    return self.session.prefill
                self._wake.wait(min(s for s in (frame_in, prefill_in, LONGEST_WAIT_S) if s is not None))
        return None

    def _next_talk(self) -> Callable[[], None] | None:
        """The next piece of an answer or narration, or the beginning of one."""
        session = self.session
        while self._questions and self._questions[0].ended:
            self._questions.popleft()
        if self._questions and not (session.question and not session.narrating):
            return self._take_up
        if session.question:
            return session.speak
        return session.narrate if session.due is not None and session.stream else None

    def _take_up(self) -> None:
        with self._wake:
            question = self._questions.popleft() if self._questions else None
        if question:
            self.session.take_up(question)

    def _frame_in(self) -> float | None:
        """Seconds until a frame may be looked at; None while none waits."""
        if not self.mailbox.waits or self.session.stream is None:
            return None
        rate = self.session.settings.max_rate
        return max(0.0, self.session.looked_at + 1 / rate - time.monotonic()) if rate else 0.0


def _run_job(work: Callable[[], Any], future: Future) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)
        if not isinstance(error, Exception):
            raise
