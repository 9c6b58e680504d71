"""What can be guessed without a memory: the controls that stand beside every accuracy.

`blank` has seen a grey frame, `newest` the newest frame alone under the same settings, and `last4` the last four frames
whole, with cacher and pruner off and nothing before them: the strong baseline of arXiv 2604.02317.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from stc_ros.engine.events import Frame
from stc_ros.settings import Settings

GREY = 128
LAST = 4
CONTROLS = ('blank', 'newest', 'last4')


class Controls:
    """Streams of their own that are reset before each question, so that nothing but its frames is known to them."""

    def __init__(self, model: Any, settings: Settings, open_stream: Callable[[Any, Settings], Any]):
        room = max(settings['memory.max_tokens'], LAST * getattr(model, 'visual_tokens', 0))
        whole = settings | {'cacher': 'none', 'pruner': 'none', 'memory.max_tokens': room}
        self._same, self._whole = open_stream(model, settings), open_stream(model, whole)
        self._frames: dict[str, deque[Frame]] = {}
        self._blank: dict[str, str] = {}  # its answer depends on nothing but the question

    def note(self, camera: str, frame: Frame) -> None:
        """A frame has been processed."""
        self._frames.setdefault(camera, deque(maxlen=LAST)).append(frame)

    def state(self) -> tuple[Any, ...]:
        """What `restore` needs in another process; the streams need nothing, they are reset before each question."""
        return self._frames, self._blank

    def restore(self, state: tuple[Any, ...]) -> None:
        self._frames, self._blank = state

    def answers(self, camera: str, text: str) -> dict[str, str]:
        """What each control answers at this moment."""
        frames = list(self._frames.get(camera, ()))
        if text not in self._blank:
            self._blank[text] = _ask(self._same, [(np.full((64, 64, 3), GREY, np.uint8), 1)], text)
        last = [(frame.picture, frame.stamp) for frame in frames]
        found = self._blank[text], _ask(self._same, last[-1:], text), _ask(self._whole, last, text)
        return dict(zip(CONTROLS, found))


def _ask(stream: Any, frames: Sequence[tuple[Any, int]], text: str) -> str:
    stream.reset()
    for picture, stamp in frames:
        stream.see(picture, stamp)
    return answer(stream, text)


def answer(stream: Any, text: str) -> str:
    """What a stream answers; nothing, where it cannot be asked so."""
    from stc_ros.stream import NothingSeen, QuestionError  # here, because it imports torch

    try:
        return ''.join(stream.ask(text))
    except (NothingSeen, QuestionError):
        return ''
