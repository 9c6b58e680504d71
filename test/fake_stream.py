"""A stream with the core's interface and no model: its words do not matter, when and how it fails does."""

import threading
import time
from types import SimpleNamespace

import numpy as np

from stc_ros.answer import AnswerReport, NothingSeen, QuestionError
from stc_ros.io.picture import Picture
from stc_ros.models.narration_style import NarrationStyle
from stc_ros.report import FrameReport
from stc_ros.settings import Settings


class FakeStream:
    """A stream without a model.

    see_s, token_s: how long a frame and a piece take. `faults` maps a step ('see', 'ask', 'piece', 'reset') to the
    exceptions that it raises next. `log` tells what was called, in order.
    """

    def __init__(self, words: int = 3, see_s: float = 0.0, token_s: float = 0.0):
        self.model = SimpleNamespace(
            narration=NarrationStyle('narrate {frames} frames, {seconds} s', (8, 16)),
            visual_tokens=4,
            frame_text=SimpleNamespace(most=0),
        )
        self.memory = SimpleNamespace(capacity=100)
        self.settings = Settings()
        self.words, self.see_s, self.token_s = words, see_s, token_s
        self.says = 'word{} '  # each piece, of its number
        self.mute = 0  # tokens behind the last piece, which write nothing
        self.sure = certain  # probability of a piece, by its number
        self.faults: dict[str, list[BaseException]] = {}
        self.log: list = []
        self.threads: set[int] = set()
        self.scene_change = False
        self.static = False  # frames show nothing new
        self.remembers = 0  # newest frames in the window; 0: all
        self.stamps: list[int] = []
        self.closed = 0
        self.tokens_waiting = 0

    def _step(self, name: str) -> None:
        self.threads.add(threading.get_ident())
        if self.faults.get(name):
            raise self.faults[name].pop(0)

    def see(self, frame: np.ndarray | Picture, stamp: int) -> FrameReport:
        self.log.append(('see', stamp))
        time.sleep(self.see_s)
        self._step('see')
        frame = frame.array() if isinstance(frame, Picture) else frame
        assert frame.dtype == np.uint8 and frame.ndim == 3
        self.stamps.append(stamp)
        kept = np.arange(0 if self.static else round(4 * (1 - self.settings['prune_ratio'])))
        return FrameReport(
            stamp=stamp,
            grid=(4, 4),
            token_grid=(2, 2),
            recomputed=np.full(16, 0.25, np.float32),
            kept=kept,
            patches=16,
            patches_recomputed=4.0,
            similarity=0.99,
            visual_tokens=4,
            visual_tokens_kept=len(kept),
            ms={'preprocess': 1.0, 'vision': 2.0, 'prune': 3.0, 'prefill': 4.0},
            scene_change=self.scene_change,
            first_stamp=self.stamps[-self.remembers :][0],
            memory_tokens=4,
            tokens_waiting=0,
            memory_bytes=64,
        )

    def prefill(self) -> None:
        self.log.append(('prefill',))
        self._step('prefill')
        self.tokens_waiting = 0

    def ask(self, question: str, max_new_tokens: int | None = None) -> 'FakeAnswer':
        self.log.append(('ask', question))
        self._step('ask')
        if not self.stamps:
            raise NothingSeen('nothing seen')
        if len(question) > 1000:
            raise QuestionError('the question has too many tokens; at most 250 fit')
        return FakeAnswer(self, min(self.words, max_new_tokens or self.words))

    def check(self, old: Settings, new: Settings) -> None:
        self._step('check')

    def configure(self, old: Settings, new: Settings) -> None:
        self._step('configure')
        self.log.append(('configure', new['prune_ratio']))
        self.settings = new

    def reset(self) -> None:
        self.log.append(('reset',))
        self._step('reset')
        self.stamps = []

    def names(self) -> list[str]:
        return [entry[0] for entry in self.log]


def certain(piece: int) -> float:
    return 1.0


class FakeAnswer:
    def __init__(self, stream: FakeStream, words: int):
        self.stream, self.left = stream, words
        self.report = AnswerReport('', stream.stamps[0], stream.stamps[-1], len(stream.stamps))

    def __iter__(self):
        return self

    def __next__(self) -> str:
        self.stream._step('piece')
        if not self.left:
            self.report.finished = True
            self.report.tokens += self.stream.mute
            raise StopIteration
        time.sleep(self.stream.token_s)
        self.left -= 1
        self.report.tokens += 1
        self.stream.log.append(('piece',))
        piece = self.stream.says.format(self.report.tokens)
        self.report.text += piece
        self.report.token_probs.append((len(self.report.text), self.stream.sure(self.report.tokens)))
        return piece

    def close(self) -> None:
        self.stream.closed += 1


def until(condition, timeout: float = 10.0) -> bool:
    """Wait for `condition()`; return whether it came true."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True
