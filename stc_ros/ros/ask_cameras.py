"""One request, asked of several cameras: a question for each, and one reply when all are there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from stc_ros.engine.questions import Error, Reply

Pieces = Callable[[str, int], None]


class Gathering:
    """Takes each camera's reply; calls `on_all` with all of them, in the order of `cameras`, when none is missing."""

    def __init__(self, cameras: Sequence[str], on_all: Callable[[dict[str, Reply]], None]):
        self._replies: dict[str, Reply | None] = dict.fromkeys(cameras)
        self._on_all, self._lock = on_all, threading.Lock()

    def take(self, camera: str, reply: Reply) -> None:
        """A reply has come. Called once for each camera, by any thread."""
        with self._lock:
            self._replies[camera] = reply
            found = {name: each for name, each in self._replies.items() if each is not None}
        if len(found) == len(self._replies):
            self._on_all(found)


def label(camera: str, publish: Pieces, first: bool) -> Pieces:
    """Put the camera's name before the first piece of its answer, as `combine` does."""
    said = False

    def on_piece(piece: str, tokens: int) -> None:
        nonlocal said
        head = '' if said else f'{"" if first else chr(10)}{camera}: '
        said = True
        publish(head + piece, tokens)

    return on_piece


def combine(replies: Mapping[str, Reply]) -> Reply:
    """One reply of several: a line for each camera that has something to say, and the first error with its camera."""
    if len(replies) == 1:
        return next(iter(replies.values()))
    failed = {name: reply for name, reply in replies.items() if reply.error is not Error.NONE}
    said = {name: reply for name, reply in replies.items() if reply.answer}
    seen = [reply for reply in replies.values() if reply.last_stamp]
    name, first = next(iter(failed.items()), ('', None))
    return Reply(
        error=first.error if first else Error.NONE,
        message=f'{name}: {first.message}' if first else '',
        answer='\n'.join(f'{name}: {reply.answer.strip()}' for name, reply in said.items()),
        finished=all(reply.finished for reply in replies.values()),
        first_stamp=min((reply.first_stamp for reply in seen), default=0),
        last_stamp=max((reply.last_stamp for reply in seen), default=0),
        frames_processed=sum(reply.frames_processed for reply in replies.values()),
        frames_dropped=sum(reply.frames_dropped for reply in replies.values()),
        frame_age=max((reply.frame_age for reply in seen), default=0.0),
        time_to_first_token=min((r.time_to_first_token for r in said.values()), default=0.0),
        tokens_per_second=next((r.tokens_per_second for r in said.values()), 0.0),
        tokens=sum(reply.tokens for reply in replies.values()),
    )
