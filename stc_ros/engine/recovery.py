"""A model's failures: how many in a row are borne, and what is given up when memory runs out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from stc_ros.engine.errors import ModelBroken, describe, release_memory

if TYPE_CHECKING:
    from stc_ros.engine.session import Session

FAILED_IN_ROW = 10  # times at one step, after which the model itself is broken
LEAST_TOKENS = 16  # in a memory
FRAME = 'processing a frame'  # a step at which it may fail; there are others


class Failures:
    """Of one session's model."""

    def __init__(self) -> None:
        self.total = 0
        self.in_row: Counter[str] = Counter()  # at each step, since it worked last
        self.last = ''

    def note(self, step: str, error: Exception) -> None:
        self.total += 1
        self.in_row[step] += 1
        self.last = describe(error)

    def worked(self, step: str) -> None:
        del self.in_row[step]

    def check(self) -> None:
        """Raises `ModelBroken` when one step has failed too often in a row."""
        for step, times in self.in_row.items():
            if times >= FAILED_IN_ROW:
                raise ModelBroken(f'{step} failed {times} times in a row: {self.last}')


def halve_memory(session: Session) -> str:
    """Open the stream anew with half of its memory, a frame's at least, and prefill each frame at once -> how it reads.

    Its settings stay what the user wants: they count again when the model is loaded anew.
    """
    memory, frame = session.stream.memory, session.stream.model.visual_tokens
    tokens, capacity = max(memory.capacity // 2, frame, LEAST_TOKENS), memory.capacity
    if tokens >= capacity:
        release_memory()
        return ''
    session.stream = memory = None  # or both would be there for a moment
    release_memory()
    session.stream = session.open_stream(session.settings | {'memory.max_tokens': tokens, 'expert.prefill_batch': 0})
    return f'; its memory is halved to {tokens} visual tokens until the model is loaded anew'
