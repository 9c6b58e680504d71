"""One camera's stream, and what is going on with it: process a frame, say a piece, narrate, recover."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from stc_ros.engine.errors import describe, out_of_memory
from stc_ros.engine.events import EventSink, Frame, FrameProcessed, NarrationSpan
from stc_ros.engine.frame_slot import FrameSlot, Tally
from stc_ros.engine.narrator import Narrator
from stc_ros.engine.questions import Error, Question, Reply
from stc_ros.engine.recovery import FRAME, Failures, halve_memory
from stc_ros.engine.stamp_order import StampOrder
from stc_ros.io.image_messages import FrameInvalid
from stc_ros.parameters import NarrationParameters
from stc_ros.settings import Settings

WIRING = ('camera', '_decode', 'sink', 'clock', '_end', 'seconds', 'open_stream')  # what is not of the stream


class Session:
    """All methods belong to the thread that drives the engine; the slot takes frames from any.

    stream: a `stc_ros.stream.Stream`. decode: message -> `Frame`, or raises `FrameInvalid`. clock: in ns. end: replies
    to a question (question, error, message, finished). seconds: what max_rate and prefill_wait count. open_stream:
    settings -> another stream on the same model.
    """

    def __init__(
        self,
        camera: str,
        stream: Any,
        settings: Settings,
        decode: Callable[[Any], Frame],
        sink: EventSink,
        clock: Callable[[], int],
        end: Callable[..., None],
        seconds: Callable[[], float],
        open_stream: Callable[[Settings], Any],
    ):
        self.camera, self.stream, self.settings = camera, stream, settings
        self._decode, self.sink, self.clock, self._end, self.seconds = decode, sink, clock, end, seconds
        self.open_stream = open_stream
        self.slot = FrameSlot()
        self.order = StampOrder()
        self.narrator = Narrator(stream.model.narration, settings.fill(NarrationParameters, 'narration'))
        self.failures = Failures()
        self.resets = 0
        self.starts = 0  # how often all that was seen was forgotten
        self.newest: FrameProcessed | None = None
        self.question: Question | None = None  # in work
        self._answer: Any = None  # the text of the question in work, piece by piece
        self._span: NarrationSpan | None = None  # when that question is a narration
        self.tally = Tally()
        self.looked_at = -math.inf  # of `seconds`: when the last frame was begun

    def configure(self, settings: Settings) -> None:
        """Use other settings from the next frame on. Raises what the stream objects to."""
        self.stream.configure(self.settings, settings)
        self.settings = settings
        self.narrator.parameters = settings.fill(NarrationParameters, 'narration')

    def begin(self, in_work: int = 0) -> None:
        """Start afresh, counters too, as at activation; `in_work` frames have been taken from the slot already."""
        self._forget()
        self.slot.clear(in_work)
        self.tally = Tally()
        self.looked_at = -math.inf

    def reset(self, reason: str, in_work: int = 0) -> None:
        """Forget everything seen, and say so. An answer in work goes on with what it knows, a narration ends."""
        self.begin(in_work)
        self.resets += 1
        self.sink.was_reset(self, reason)

    def state(self) -> dict[str, Any]:
        """All that `restore` needs in another process. Raises `RuntimeError` while a question is in work."""
        if self.question:
            raise RuntimeError('a question is in work')
        return {name: value for name, value in vars(self).items() if name not in WIRING}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where a session of the same camera was."""
        vars(self).update(state)

    def give_up(self, error: Error = Error.SHUTDOWN, message: str = '') -> None:
        """End the question in work, drop the frame that waits."""
        if self.question:
            self._end(self.question, error, message)
        self.close_answer()
        self.slot.drop()
        self.narrator.give_up()

    @property
    def frame_in(self) -> float | None:
        """Seconds until a frame may be processed; None while none waits."""
        if not self.slot.waits:
            return None
        rate: float = self.settings['input.max_rate']
        return max(0.0, self.looked_at + 1 / rate - self.seconds()) if rate else 0.0

    def process(self) -> None:
        """Take the frame that waits into the stream."""
        taken = self.slot.take()
        if taken is None:
            return
        message, received = taken
        self.looked_at, began, timer = self.seconds(), self.clock(), time.monotonic()
        try:
            frame = self._decode(message)
            self._check_order(frame)
            report = self.stream.see(frame.picture, frame.stamp)
        except FrameInvalid as invalid:
            self.slot.invalid()
            self.sink.invalid(self, invalid)
        except Exception as error:
            self.slot.failed()
            self._recover(FRAME, error)
        else:
            self.slot.processed(self.clock())
            self.failures.worked(FRAME)
            total_ms = (time.monotonic() - timer) * 1e3
            self._note(FrameProcessed(frame, report, self.settings, (began - received) / 1e6, total_ms))

    @property
    def prefill_in(self) -> float | None:
        """Seconds until what waits for its prefill has waited for long enough; None while nothing waits."""
        if not self.stream.tokens_waiting:
            return None
        wait: float = self.settings['expert.prefill_wait']
        return max(0.0, self.looked_at + wait - self.seconds())

    def prefill(self) -> None:
        """Prefill what waits: nothing else came in time."""
        try:
            self.stream.prefill()
            self.failures.worked('prefilling')
        except Exception as error:
            self._recover('prefilling', error)

    @property
    def narrating(self) -> bool:
        """Whether the question in work is the engine's own."""
        return self._span is not None

    def take_up(self, question: Question, span: NarrationSpan | None = None) -> None:
        """Begin to answer; a narration in work is put off."""
        self.put_off_narration()
        self.close_answer()
        self.question, self._span = question, span
        self.speak()

    def put_off_narration(self) -> None:
        """Stop a narration in work; it is due again."""
        if self._span:
            self.narrator.want(self.seconds(), self._span.scene_change)
            self.close_answer()

    def narrate(self) -> None:
        """Begin the narration that is due, if there is anything new."""
        scene_change, self.narrator.due, span = bool(self.narrator.due), None, None
        if self.newest:
            frame, report = self.newest.frame, self.newest.report
            span = self.narrator.begin(frame.header, frame.stamp, report.first_stamp, scene_change)
        if span is None:
            self.narrator.give_up()
            return
        question = Question(
            self.narrator.question(span),
            self.settings['query.max_new_tokens'],
            lambda reply: self._narrated(span, reply),
            narrates=True,
        )
        self.take_up(question, span)

    def speak(self) -> None:
        """Produce the next piece of the question in work, or end it."""
        question = self.question
        if question is None:
            return
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
                self.failures.worked('answering')
                self._end(question, finished=report.finished)
        except Exception as error:
            self.close_answer()
            self._end(question, *self._explain(error))

    def close_answer(self) -> None:
        """Let go of the question in work, whoever replies to it."""
        if self._answer is not None:
            self._answer.close()
        self.question = self._answer = self._span = None

    def _ask(self, question: Question) -> None:
        self._answer = self.stream.ask(question.text, question.max_new_tokens)
        counts, report = self.slot.counts(), self._answer.report
        question.begin(
            first_stamp=report.first_stamp,
            last_stamp=report.last_stamp,
            frames_processed=counts.processed,
            frames_dropped=counts.dropped,
            frame_age=(self.clock() - report.last_stamp) / 1e9,
            token_probs=report.token_probs,
        )

    def _explain(self, error: Exception) -> tuple[Error, str]:
        """The error code and message for what stream.ask raised; recovers when the model failed."""
        from stc_ros.answer import NothingSeen, QuestionError  # here, because it imports torch

        if isinstance(error, NothingSeen):
            if self.failures.in_row[FRAME]:
                return Error.MODEL_FAILURE, f'the model failed at the newest frame: {self.failures.last}'
            return Error.NO_FRAMES, Error.NO_FRAMES.value
        if isinstance(error, QuestionError):
            return Error.QUESTION_TOO_LONG, str(error)
        self._recover('answering', error)
        if out_of_memory(error):
            return Error.OUT_OF_MEMORY, Error.OUT_OF_MEMORY.value
        return Error.MODEL_FAILURE, f'the model failed: {describe(error)}'

    def _check_order(self, frame: Frame) -> None:
        newest = self.newest.frame.stamp if self.newest else None
        if back := self.order.check(frame.stamp, newest, self.seconds()):
            self.reset(f'header.stamp went back by {back / 1e9:.1f} s, as when a bag starts over', in_work=1)

    def _note(self, event: FrameProcessed) -> None:
        """Remember and publish what became of a frame."""
        self.narrator.note(event.frame.stamp)
        self.newest = event
        if event.report.scene_change:
            self.tally.scene_changes += 1
            if self.sink.wants_narration(self.camera):
                self.narrator.want(self.seconds(), scene_change=True)
        self._publish(self.sink.processed, event)

    def _narrated(self, span: NarrationSpan, reply: Reply) -> None:
        self.narrator.done(self.seconds())
        if reply.error is Error.NONE:
            if text := self.narrator.finish(span, reply.answer, reply.token_probs):
                self.tally.narrations += 1
                self._publish(self.sink.narrated, span, replace(reply, answer=text))
        elif reply.error is Error.QUESTION_TOO_LONG:
            self.sink.failed(self, 'narrating', ValueError(f'narration.prompt: {reply.message}'))

    def _publish(self, output: Callable[..., None], *values: Any) -> None:
        try:
            output(self, *values)
        except Exception as error:
            self.failures.total += 1
            self.sink.failed(self, 'publishing', error)

    def _recover(self, step: str, error: Exception) -> None:
        """Forget what was seen, and say so; where memory ran out, the answer in work is given up, since it holds some.

        The counters go on: a model that fails at every frame must not pass for a camera without frames.
        """
        self.failures.note(step, error)
        self.sink.failed(self, step, error)
        question, reason = None, f'{step} failed: {describe(error)}'
        if out_of_memory(error):
            question = self.question
            self.close_answer()
            traceback.clear_frames(error.__traceback__)  # tensors of the calls that failed
            reason += halve_memory(self)
        self._forget()
        self.resets += 1
        self.sink.was_reset(self, reason)
        if question:
            self._end(question, Error.OUT_OF_MEMORY)

    def _forget(self) -> None:
        """Forget everything seen; an answer in work goes on with what it knows, a narration ends."""
        if self._span:
            self._end(self.question, Error.SHUTDOWN)
            self.close_answer()
        self.stream.reset()
        self.starts += 1
        self.newest = None
        self.narrator.reset()
