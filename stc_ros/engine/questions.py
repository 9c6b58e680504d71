"""A question on its way through the engine: waiting, in work, replied to exactly once."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

MAX_CHARACTERS = 20_000  # beyond this a question is not even tokenized


class Error(enum.Enum):
    """Why there is no complete answer. The names are those of the constants in srv/Ask.srv."""

    NONE = ''
    NO_FRAMES = 'no frame has been processed yet: check the image topic (the log and /diagnostics name likely causes)'
    EMPTY_QUESTION = 'the question is empty'
    QUESTION_TOO_LONG = 'the question is too long'
    INVALID_REQUEST = 'a field of the request is out of its range'
    TIMEOUT = 'the timeout passed before the answer was complete'
    BUSY = 'too many questions wait already: ask again later'
    CANCELED = 'canceled by the client'
    INACTIVE = 'the node is not active: activate it first (ros2 lifecycle set /stc_stream activate)'
    OUT_OF_MEMORY = "the device's memory ran out; the stream was reset and goes on"
    MODEL_FAILURE = 'the model failed'
    SHUTDOWN = 'the node was deactivated or ended before the answer was complete'


@dataclass(frozen=True, slots=True)
class Reply:
    """What the one who asked gets. Stamps in ns, times in s; `message` is empty if, and only if, there is no error."""

    error: Error
    message: str = ''
    answer: str = ''
    finished: bool = False  # the model ended the answer by itself
    first_stamp: int = 0
    last_stamp: int = 0
    frames_processed: int = 0
    frames_dropped: int = 0
    frame_age: float = 0.0
    time_to_first_token: float = 0.0
    tokens_per_second: float = 0.0
    tokens: int = 0
    token_probs: Sequence[tuple[int, float]] = ()  # of the tokens, see stc_ros.answer.AnswerReport


class Question:
    """One question (or one narration, which is a question of the engine's own).

    Whoever ends it first - worker, deadline, cancellation, shutdown - calls `end`; later calls change nothing.
    on_reply: called once with the `Reply`, on the thread that ended it. on_piece: called with each piece of the answer
    and the number of tokens so far, on the engine's thread. camera: whose memory it is asked of; '' is the first.
    timeout: seconds until it is overdue, or None. client: who asks; clients take turns. arrived: when it came, in s of
    `time.monotonic`; None is now.
    """

    def __init__(
        self,
        text: str,
        max_new_tokens: int,
        on_reply: Callable[[Reply], None],
        on_piece: Callable[[str, int], None] | None = None,
        narrates: bool = False,
        camera: str = '',
        timeout: float | None = None,
        client: str = '',
        arrived: float | None = None,
    ):
        self.text = text
        self.max_new_tokens = max_new_tokens
        self.narrates = narrates
        self.camera = camera
        self.client = client
        self._on_reply = on_reply
        self._on_piece = on_piece
        self._arrived = time.monotonic() if arrived is None else arrived
        self.timeout = timeout
        self._first_token = self._last_token = 0.0  # s, monotonic
        self._known: dict[str, Any] = {}  # what the answer rests on: fields of Reply
        self._pieces: list[str] = []
        self._tokens = 0
        self._lock = threading.Lock()
        self.ended = False

    @property
    def overdue(self) -> bool:
        """Whether its deadline has passed."""
        return self.timeout is not None and time.monotonic() - self._arrived >= self.timeout

    def begin(self, **known: Any) -> None:
        """Note fields of `Reply`: stamps, frames, age of the newest frame; token_probs, as they come."""
        self._known = known

    def add(self, piece: str, tokens: int) -> None:
        """Take the next piece of the answer; `tokens` have been generated so far."""
        self.count(tokens)
        self._pieces.append(piece)
        if piece and self._on_piece and not self.ended:
            self._on_piece(piece, tokens)

    def count(self, tokens: int) -> None:
        """Note how many tokens have been generated: those behind the last piece may have written nothing."""
        if tokens > self._tokens:
            self._tokens, self._last_token = tokens, time.monotonic()
            self._first_token = self._first_token or self._last_token

    def end(self, error: Error = Error.NONE, message: str = '', finished: bool = False) -> bool:
        """Reply. Returns whether this call was the one that did."""
        with self._lock:
            if self.ended:
                return False
            self.ended = True
        tokens, decoding = self._tokens, self._last_token - self._first_token
        self._on_reply(
            Reply(
                error=error,
                message=message or error.value,
                answer=''.join(self._pieces),
                finished=finished,
                time_to_first_token=self._first_token - self._arrived if tokens else 0.0,
                tokens_per_second=(tokens - 1) / decoding if decoding > 0 else 0.0,
                tokens=tokens,
                **self._known,
            )
        )
        return True
