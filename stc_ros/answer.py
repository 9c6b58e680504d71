"""A question's way through the language model: prefill it behind what is remembered, then decode piece by piece."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from stc_ros.memory.base import Context, Memory
from stc_ros.models.base import VideoModel
from stc_ros.models.decoder import ModelFailure

BRIEF = 32  # tokens of an answer for which there is room, or else the newest frame is not read whole


class StreamError(RuntimeError):
    """A stream cannot do what it was asked to."""


class NothingSeen(StreamError):
    """There is no frame to speak of yet."""


class QuestionError(StreamError):
    """The question is empty or too long."""


@dataclass(slots=True)
class AnswerReport:
    """What an answer rests on, and how fast it came. Complete when the answer has ended."""

    text: str
    first_stamp: int  # ns: oldest frame in the window when it was asked
    last_stamp: int  # ns: newest
    frames_processed: int  # frames in the window
    time_to_first_token_s: float = 0.0
    tokens: int = 0
    tokens_per_second: float = 0.0  # behind the first token
    finished: bool = False  # the model ended it, not the limit and not the caller
    # of each token: up to where it wrote `text`, and the probability that the model gave it; may still grow
    token_probs: list[tuple[int, float]] = field(default_factory=list)


class Answer(Iterator[str]):
    """Pieces of text, greedily decoded: one for each token, '' for a token that completes no character.

    It knows the memory as it was when it was asked, whatever is seen meanwhile. The question runs through the model at
    once, in one pass with what waits in the memory. newest: given how many positions there are for it, the newest
    frame's tokens, [1, n, D], that are read in place of those that the memory keeps (see `Memory.open`), or None.
    `close()` ends it early. Raises `QuestionError` at once, `ModelFailure` while it is read.
    """

    def __init__(
        self,
        model: VideoModel,
        memory: Memory,
        question: str,
        max_new_tokens: int,
        newest: Callable[[int], torch.Tensor | None] = lambda room: None,
    ):
        question = question.strip()
        if not question:
            raise QuestionError('the question is empty')
        ids = model.chat.suffix(question)
        room = memory.reserve - 1 - len(ids)
        if room < 1:
            raise QuestionError(f'the question has {len(ids)} tokens; at most {memory.reserve - 2} fit')
        self._asked = time.perf_counter()
        with torch.inference_mode():
            whole = newest(room - min(BRIEF, max_new_tokens))
            context = memory.open(torch.cat((model.newline[None], model.decoder.embed(ids)), 1), whole)
        max_new_tokens = min(room - (0 if whole is None else whole.shape[1]), max_new_tokens)
        self.report = AnswerReport('', memory.frames[0].stamp, memory.frames[-1].stamp, len(memory.frames))
        self._pieces = self._decode(model, context, max_new_tokens)

    def __next__(self) -> str:
        return next(self._pieces)

    def close(self) -> None:
        """End the answer; its memory is given back."""
        self._pieces.close()

    def _decode(self, model: VideoModel, context: Context, limit: int) -> Iterator[str]:
        hidden = context.hidden
        written: list[int] = []
        while True:
            token, chance = self._next_token(model, hidden)
            if token in model.chat.stops:
                self.report.finished = True
                break
            self._time(len(written) + 1)
            written.append(token)
            yield self._said(model.chat.decode(written), partial=True)
            self.report.token_probs.append((len(self.report.text), chance))
            if len(written) == limit:
                break
            with torch.inference_mode():  # never across a yield: the caller's code runs there
                hidden = context.run(model.decoder.embed([token]))
        if rest := self._said(model.chat.decode(written)):
            yield rest

    def _next_token(self, model: VideoModel, hidden: torch.Tensor) -> tuple[int, float]:
        """The likeliest token and its probability."""
        with torch.inference_mode():
            logits = model.decoder.logits(hidden[:, -1])[0]
            best = logits.argmax(0, keepdim=True)
            token, chance = torch.cat((best.double(), logits.float().softmax(-1)[best].double())).tolist()  # one wait
            if not math.isfinite(chance):
                raise ModelFailure('the language model computed NaN or infinity')
        return int(token), chance

    def _time(self, tokens: int) -> None:
        now = time.perf_counter()
        if tokens == 1:
            self.report.time_to_first_token_s = now - self._asked
        else:
            decoding = now - self._asked - self.report.time_to_first_token_s
            self.report.tokens_per_second = (tokens - 1) / max(decoding, 1e-9)
        self.report.tokens = tokens

    def _said(self, text: str, partial: bool = False) -> str:
        """What `text` adds to what was said; nothing yet while its last character is incomplete."""
        said = self.report.text
        if text == said or not text.startswith(said) or (partial and text.endswith('\ufffd')):
            return ''
        self.report.text = text
        return text[len(said) :]
