"""What the worker's thread does with a stream: see a frame, speak a piece, narrate, recover. Knows nothing of ROS."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from stc_ros.ros.failures import describe, out_of_memory, release_memory
from stc_ros.ros.frames import FrameRefused
from stc_ros.ros.mailbox import Mailbox
from stc_ros.ros.questions import Error, Question, Reply
from stc_ros.ros.records import Frame, Outputs, Seen, Telling
from stc_ros.settings import Settings
from stc_ros.telling import say_new, tidy

MOST_UNTOLD = 4096  # frames that a narration may tell about
LATE_NS = 500_000_000  # a stamp this much older than the newest begins anew (a looped bag); less is a late frame


@dataclass(slots=True)
class Tally:
    """Since activation or reset."""

    scene_changes: int = 0
    narrations: int = 0
    answers: int = 0
    answers_failed: int = 0


class Session:
    """One stream and what is going on with it. All methods belong to the worker's thread.

    load: settings -> stream. decode: message -> `Frame`, or raises `FrameRefused`. clock: the node's, in ns.
    end: replies to a question (error, message, finished).
    """

    def __init__(
        self,
        load: Callable[[Settings], Any],
        decode: Callable[[Any], Frame],
        outputs: Outputs,
        clock: Callable[[], int],
        end: Callable[..., None],
    ):
        self._load, self._decode, self.outputs, self.clock, self._end = load, decode, outputs, clock, end
        self.mailbox = Mailbox()
        self.tally = Tally()
        self.failures = 0
        self.resets = 0
        self.stream: Any = None
        self.settings = Settings()
        self.newest: Seen | None = None
        self.question: Question | None = None  # in work
        self.due: bool | None = None  # narration is due; True: because the scene changed
        self.look_s = self.talk_s = 0.0  # how long the last frame took; talked since
        self.looked_at = 0.0  # s, monotonic: when the last frame was begun
        self._answer: Any = None  # the text of the question in work, piece by piece
        self._telling: Telling | None = None  # when that question is a narration
        self._untold: deque[int] = deque(maxlen=MOST_UNTOLD)  # stamps of the frames since the last narration
        self._last_told = ''  # the last narration, before what is old was left out

    def start(self, settings: Settings) -> None:
        """Load the model and start a stream. Raises what loading raises."""
        self.free()
        self.stream = self._load(settings)
        self.settings = settings
        self._forget()

    def free(self) -> None:
        """Give up the stream and the model."""
        self.give_up()
        self._forget()
        if self.stream:
            self.stream = None
            release_memory()

    def give_up(self, error: Error = Error.SHUTDOWN, message: str = '') -> None:
        """End the question in work, drop the frame that waits."""
        if self.question:
            self._end(self.question, error, message)
        self.close_answer()
        self.mailbox.drop()
        self.due = None

    def configure(self, settings: Settings) -> None:
        """Use other settings from the next frame on. Raises what the stream objects to."""
        if self.stream:
            self.stream.configure(settings)
        self.settings = settings

    def begin(self, in_work: int = 0) -> None:
        """Start afresh, as at activation; `in_work` frames have been taken from the mailbox already."""
        if self._telling:  # of what is forgotten now
            self._end(self.question, Error.SHUTDOWN)
            self.close_answer()
        if self.stream:
            self.stream.reset()
        self.mailbox.clear(in_work)
        self._forget()

    def reset(self, reason: str, in_work: int = 0) -> None:
        """Forget everything seen, and say so. An answer in work goes on with what it knows, a narration ends."""
        self.begin(in_work)
        self.resets += 1
        self.outputs.was_reset(reason)

    def see(self) -> None:
        """Take the frame that waits into the stream."""
        message, received = self.mailbox.take()
        self.looked_at, began = time.monotonic(), self.clock()
        try:
            frame = self._decode(message)
            self._check_order(frame)
            report = self.stream.see(frame.picture, frame.stamp)
        except FrameRefused as refusal:
            self.mailbox.refused()
            self.outputs.refused(refusal)
        except Exception as error:
            self.mailbox.refused()
            self._fail('seeing a frame', error)
            self._recover(error, f'it failed at a frame: {describe(error)}')
        else:
            now = self.clock()
            self.mailbox.seen(now)
            self._note(
                Seen(frame, report, self.settings, (began - received) / 1e6, (time.monotonic() - self.looked_at) * 1e3)
            )
        self.look_s, self.talk_s = time.monotonic() - self.looked_at, 0.0

    @property
    def prefill_in(self) -> float | None:
        """Seconds until what waits for its prefill has waited for long enough; None while nothing waits."""
        if not (self.stream and self.stream.tokens_waiting):
            return None
        return max(0.0, self.looked_at + self.settings.prefill_wait - time.monotonic())

    def prefill(self) -> None:
        """Prefill what waits: nothing else came in time."""
        try:
            self.stream.prefill()
        except Exception as error:
            self._fail('prefilling', error)
            self._recover(error, f'it failed at a prefill: {describe(error)}')

    @property
    def narrating(self) -> bool:
        """Whether the question in work is the node's own."""
        return self._telling is not None

    def take_up(self, question: Question, telling: Telling | None = None) -> None:
        """Begin to answer; a narration in work is put off."""
        if self._telling:
            self.due = bool(self.due) or self._telling.scene_change
        self.close_answer()
        self.question, self._telling = question, telling
        self.speak()

    def narrate(self) -> None:
        """Begin the narration that is due, if there is anything to tell."""
        scene_change, self.due = bool(self.due), None
        if not self._untold:
            return
        newest = self.newest.frame
        first = max(self._untold[0], self.newest.report.first_stamp)  # what the memory has forgotten is not told
        frames = sum(stamp >= first for stamp in self._untold)
        seconds = max(1, round((newest.stamp - first) / 1e9))
        prompt = self.stream.model.ask_narration(self.settings.narration_prompt, frames, seconds)
        telling = Telling(newest.header, first, newest.stamp, frames, scene_change)
        self.take_up(
            Question(prompt, self.settings.max_new_tokens, lambda reply: self._told(telling, reply), narrates=True),
            telling,
        )

    def speak(self) -> None:
        """Produce the next piece of the question in work, or end it."""
        question, began = self.question, time.monotonic()
        try:
            if self._answer is None:
                self._ask(question)
            piece = None if question.ended else next(self._answer, None)
            if piece is not None:
                question.add(piece, self._answer.report.tokens)
            else:
                report = self._answer.report
                question.count(report.tokens)
                self.close_answer()
                self._end(question, finished=report.finished)
        except Exception as error:
            self.close_answer()
            self._end(question, *self._explain(error))
        self.talk_s += time.monotonic() - began

    def _ask(self, question: Question) -> None:
        self._answer = self.stream.ask(question.text, question.max_new_tokens)
        counts, report = self.mailbox.counts(), self._answer.report
        question.begin(
            first_stamp=report.first_stamp,
            last_stamp=report.last_stamp,
            frames_seen=counts.seen,
            frames_dropped=counts.dropped,
            frame_age=(self.clock() - report.last_stamp) / 1e9,
            chances=report.chances,
        )

    def _explain(self, error: Exception) -> tuple[Error, str]:
        """The error code and message for what stream.ask raised; recovers when memory ran out."""
        from stc_ros.answer import NothingSeen, QuestionError  # here, because it imports torch

        if isinstance(error, NothingSeen):
            return Error.NO_FRAMES, Error.NO_FRAMES.value
        if isinstance(error, QuestionError):
            return Error.QUESTION_TOO_LONG, str(error)
        self._fail('answering', error)
        if out_of_memory(error):
            self._recover(error, 'memory ran out during an answer')
            return Error.OUT_OF_MEMORY, Error.OUT_OF_MEMORY.value
        return Error.MODEL_FAILURE, f'the model failed: {describe(error)}'

    def _check_order(self, frame: Frame) -> None:
        """A stamp far in the past begins anew, as a looped bag does; one that is a little late is refused."""
        late = self.newest.frame.stamp - frame.stamp if self.newest else 0
        if late > LATE_NS:
            self.reset(f'header.stamp went back by {late / 1e9:.1f} s, as when a bag starts over', in_work=1)
        elif late > 0:
            raise FrameRefused('order', f'the image is {late / 1e6:.0f} ms older than the one before')

    def _note(self, seen: Seen) -> None:
        """Remember and publish what became of a frame."""
        self._untold.append(seen.frame.stamp)
        self.newest = seen
        if seen.report.scene_change:
            self.tally.scene_changes += 1
            if self.outputs.listeners():
                self.due = True
        self._publish(self.outputs.seen, seen)

    def _told(self, telling: Telling, reply: Reply) -> None:
        if reply.error is Error.NONE:
            while self._untold and self._untold[0] <= telling.last_stamp:
                self._untold.popleft()
            model, before = self.stream.model, '' if telling.scene_change else self._last_told
            certainty = model.least_certainty(self.settings.narration_certainty)
            self._last_told = tidy(reply.answer, reply.chances, certainty)
            if text := say_new(self._last_told, before, model.event):
                self.tally.narrations += 1
                self._publish(self.outputs.told, telling, replace(reply, answer=text))
        elif reply.error is Error.QUESTION_TOO_LONG:
            self.outputs.failed('narrating', ValueError(f'narration_prompt: {reply.message}'))

    def _publish(self, output: Callable[..., None], *values) -> None:
        try:
            output(*values)
        except Exception as error:
            self._fail('publishing', error)

    def _fail(self, where: str, error: Exception) -> None:
        self.failures += 1
        self.outputs.failed(where, error)

    def _recover(self, error: Exception, reason: str) -> None:
        """Start afresh after a failure. When memory ran out, the answer in work is given up, too: it holds some."""
        if not out_of_memory(error):
            self.reset(reason)
            return
        question = self.question
        self.close_answer()
        traceback.clear_frames(error.__traceback__)  # tensors of the calls that failed
        self.reset(reason)
        release_memory()
        if question:
            self._end(question, Error.OUT_OF_MEMORY)

    def close_answer(self) -> None:
        """Let go of the question in work, whoever replies to it."""
        if self._answer is not None:
            self._answer.close()
        self.question = self._answer = self._telling = None

    def _forget(self) -> None:
        self.newest, self.due, self._last_told = None, None, ''
        self._untold.clear()
        self.tally = Tally()
        self.look_s = self.talk_s = self.looked_at = 0.0
