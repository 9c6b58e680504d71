"""One camera's stream: see frames, ask questions. The whole pipeline, front to back.

    resize, scene -> gate, tower with cacher -> projector, pruner -> prefill into the window -> answers

A `Stream` holds all that one camera leaves behind and shares only the model with others. All calls belong to one
thread; frames may be seen between the pieces of an answer. With the setting `overlap`, a frame's prefill runs beside
the next frame's vision, in a thread that only this module knows of.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
import torch

from stc_ros.answer import Answer, NothingSeen, QuestionError, StreamError
from stc_ros.compression.pruner import make_pruner
from stc_ros.compression.scene import is_cut, thumbnail
from stc_ros.compression.vision import Sight, VisionState, look, most_bytes
from stc_ros.lane import Lane
from stc_ros.memory.window import Window
from stc_ros.models.base import VideoModel
from stc_ros.picture import Picture
from stc_ros.settings import SettingError, Settings
from stc_ros.timing import Stopwatch

__all__ = ['Answer', 'FrameReport', 'NothingSeen', 'QuestionError', 'Stream', 'StreamError', 'StreamStats']

REMEMBERED_TIMES = 512  # frames over which median and p99 are taken


@dataclass(frozen=True, slots=True)
class FrameReport:
    """What became of one frame."""

    stamp: int  # ns
    index: int  # 0 for the first frame since the last reset
    grid: tuple[int, int]  # rows, cols of the vision patches
    token_grid: tuple[int, int]  # rows, cols of the visual tokens before pruning
    recomputed: np.ndarray  # float32 [rows * cols]: share of the vision layers that recomputed each patch
    kept: np.ndarray  # int64 [b]: raster indices of the visual tokens kept
    tokens: int  # vision tokens
    tokens_recomputed: float  # of them, recomputed (mean over the layers)
    similarity: float  # of what was reused to what it would be, as the cacher estimates; NaN: it does not
    visual_tokens: int  # tokens before the pruner
    tokens_kept: int  # and behind it
    ms: dict[str, float]  # gate, vision, prune, prefill: milliseconds (overlap: the last frame's prefill)
    scene_change: bool
    first_stamp: int  # ns: the oldest frame in the window (overlap: before this frame)
    memory_tokens: int  # visual tokens in the window (overlap: before this frame)
    tokens_waiting: int  # of them, not prefilled yet
    memory_bytes: int  # of keys, values, what waits, and the vision features held


@dataclass(slots=True)
class StreamStats:
    """Sums since the last reset; `ms` holds the newest frames' times by stage."""

    frames: int = 0
    scene_changes: int = 0
    tokens: int = 0
    tokens_recomputed: float = 0.0
    visual_tokens: int = 0
    tokens_kept: int = 0
    answers: int = 0
    ms: dict[str, deque] = field(default_factory=dict)

    @property
    def recomputed_share(self) -> float:
        return self.tokens_recomputed / self.tokens if self.tokens else 0.0

    @property
    def kept_share(self) -> float:
        return self.tokens_kept / self.visual_tokens if self.visual_tokens else 0.0

    def milliseconds(self) -> dict[str, dict[str, float]]:
        """By stage: median and p99."""
        return {
            stage: {'median': float(np.median(times)), 'p99': float(np.percentile(times, 99))}
            for stage, times in self.ms.items()
        }

    def count(self, report: FrameReport) -> None:
        self.frames += 1
        self.scene_changes += report.scene_change
        for name in ('tokens', 'tokens_recomputed', 'visual_tokens', 'tokens_kept'):
            setattr(self, name, getattr(self, name) + getattr(report, name))
        for stage, ms in report.ms.items():
            self.ms.setdefault(stage, deque(maxlen=REMEMBERED_TIMES)).append(ms)


class Stream:
    """What a model has seen of one camera.

    model: a `VideoModel`, which other streams may share. settings: checked `Settings`. Raises `SettingError` when the
    memory does not hold a whole frame.
    """

    def __init__(self, model: VideoModel, settings: Settings | None = None):
        self.model = model
        self.settings = settings or Settings()
        self._lane, self._prefill_ms = Lane(model.device), {}  # for prefill, where that overlaps
        with torch.inference_mode():
            try:
                batch, vision = self.settings.prefill_batch, most_bytes(model)
                if vision >= self.settings.memory_mib << 20:
                    raise ValueError(f'memory_mib {self.settings.memory_mib} is too little')
                self.memory = Window(
                    model.decoder,
                    model.words.head(),
                    self.settings.memory_tokens,
                    (self.settings.memory_mib << 20) - vision,
                    model.dtype,
                    model.decoder.spare_tokens if batch < 0 else batch,
                )
            except ValueError as error:
                raise SettingError(
                    f'{error}; the vision features that this model reuses take up to '
                    f'{vision / 2**20:.0f} MiB: raise memory_mib'
                ) from None
        if self.memory.capacity < model.visual_tokens:
            raise SettingError(
                f'a frame of this model has {model.visual_tokens} visual tokens, more than the '
                f'{self.memory.capacity} of the memory: raise memory_tokens or memory_mib'
            )
        self.reset()

    @torch.inference_mode()
    def reset(self) -> None:
        """Forget everything seen."""
        with contextlib.suppress(Exception):  # what is forgotten may have failed
            self.settle()
        self._prefill_ms = {'prefill': 0.0}  # of the last frame whose prefill ran beside another's vision
        self.vision = VisionState()
        self._sight: Sight | None = None  # of the newest that showed anything, if not all of it was told
        self.pruner = make_pruner(self.settings.pruner)
        self.thumbnail: torch.Tensor | None = None
        self.memory.clear()
        self._stats = StreamStats()

    def warm_up(self) -> None:
        """Do everything once on noise, so that the first real frame and question are not slow; then forget it."""
        noise = np.random.default_rng(0)
        size = self.model.pixels.height, self.model.pixels.width
        frame = noise.integers(0, 256, (*size, 3), np.uint8)
        self.see(frame, 0)
        for stamp, share in ((1, 4), (2, 3)):  # a part of it new, as in most frames to come
            frame[: size[0] // share] = noise.integers(0, 256, (size[0] // share, size[1], 3), np.uint8)
            self.see(frame, stamp)
        list(self.ask('?', 2))
        self.reset()

    def configure(self, settings: Settings) -> None:
        """Apply other settings from the next frame on. Raises `SettingError` when a fixed one differs."""
        if names := settings.fixed_changes(self.settings):
            raise SettingError(f'{", ".join(names)} cannot change while the stream runs: start anew')
        if settings.pruner != self.settings.pruner:
            self.pruner = make_pruner(settings.pruner)
        self.settings = settings

    @torch.inference_mode()
    def see(self, frame: np.ndarray | Picture, stamp: int) -> FrameReport:
        """Take in a frame, uint8 RGB [H, W, 3] or a `Picture`, of time `stamp` in nanoseconds.

        Raises `ValueError` for another shape or type; the stream is then as it was. After any other exception (out of
        memory, say) `reset` it; with `overlap`, it may be the last frame's.
        """
        model, settings = self.model, self.settings
        watch = Stopwatch(model.device)
        image = model.pixels.resize(frame)
        thumb = thumbnail(image)
        scene_change = is_cut(thumb, self.thumbnail, settings)
        self.thumbnail = thumb
        if scene_change:
            self.pruner = make_pruner(settings.pruner)
        watch.mark('gate')

        sight = look(model, self.vision, image, settings, refresh=scene_change)
        watch.mark('vision')

        chosen = None if sight is None else self.pruner.select(sight, settings)  # b of n tokens
        if sight:
            self._sight = sight if len(chosen.index) < model.visual_tokens else None
        watch.mark('prune')

        self.settle()
        if settings.overlap:
            remembered = self._remembered(stamp)
            self._lane.put(functools.partial(self._remember, chosen, settings, stamp))
            ms = watch.read() | self._prefill_ms
        else:
            ms = self._remember(chosen, settings, stamp, watch)
            remembered = self._remembered(stamp)

        patches = model.tower.grid[0] * model.tower.grid[1]
        recomputed = np.zeros(patches, np.float32) if sight is None else sight.recomputed.cpu().numpy()
        kept = np.empty(0, np.int64) if chosen is None else chosen.index.cpu().numpy()
        report = FrameReport(
            stamp=stamp,
            index=self._stats.frames,
            grid=model.tower.grid,
            token_grid=model.token_grid,
            recomputed=recomputed,
            kept=kept,
            tokens=patches,
            tokens_recomputed=float(recomputed.sum()),
            similarity=math.nan if self.vision.compact is None else self.vision.compact.similarity,
            visual_tokens=model.visual_tokens,
            tokens_kept=len(kept),
            ms=ms,
            scene_change=scene_change,
            **remembered,
        )
        self._stats.count(report)
        return report

    def settle(self) -> None:
        """Wait until the newest frame is in the memory (overlap). Raises what its prefill raised."""
        self._prefill_ms = self._lane.settle() or self._prefill_ms

    @property
    def tokens_waiting(self) -> int:
        """Visual tokens that have not been prefilled yet (overlap: or 0 while one is under way)."""
        return self.memory.tokens_waiting

    @torch.inference_mode()
    def prefill(self) -> None:
        """Prefill what waits for more, as when there is nothing else to do."""
        self.settle()
        self.memory.prefill()

    def _remembered(self, stamp: int) -> dict[str, int]:
        """What a frame's report says of the memory."""
        return {
            'memory_tokens': self.memory.tokens,
            'first_stamp': self.memory.first_stamp(stamp),
            'tokens_waiting': self.memory.tokens_waiting,
            'memory_bytes': self.memory.bytes + self.vision.bytes,
        }

    def _remember(self, chosen, settings: Settings, stamp: int, watch: Stopwatch | None = None) -> dict[str, float]:
        """Prefill the tokens chosen of a frame, or none -> milliseconds by stage."""
        watch = watch or Stopwatch(self.model.device)
        places = self.model.visual_tokens
        if chosen is None or len(chosen.index) == 0:
            self.memory.pass_time(1 if settings.compact_positions else places, stamp)
        elif settings.compact_positions:
            self.memory.add(
                chosen.tokens[None], torch.arange(len(chosen.index), device=self.model.device), len(chosen.index), stamp
            )
        else:
            self.memory.add(chosen.tokens[None], chosen.index, places, stamp)
        if stamp - self.memory.waiting_since(stamp) >= settings.prefill_wait * 1e9:
            self.memory.prefill()
        watch.mark('prefill')
        return watch.read()

    def ask(self, question: str, max_new_tokens: int | None = None) -> Answer:
        """Ask about what is in the window -> an iterator of text pieces, whose `report` tells what it rests on.

        The memory is not changed: question and answer are forgotten. Raises `NothingSeen` before the first frame and
        `QuestionError` for an empty or too long question, and what the last frame's prefill raised (overlap). After any
        other exception `reset` the stream.
        """
        self.settle()
        if not self.memory.frames:
            raise NothingSeen('no frame has been seen yet: is a camera publishing?')
        answer = Answer(
            self.model, self.memory, question, max_new_tokens or self.settings.max_new_tokens, self.newest_tokens
        )
        self._stats.answers += 1
        return answer

    @torch.inference_mode()
    def newest_tokens(self, room: int) -> torch.Tensor | None:
        """All visual tokens of the newest frame, [1, n, D]; None: the memory has them, or has no `room` for n."""
        n, wanted = self.model.visual_tokens, self.settings.newest_whole
        if n > room or wanted == 'never' or (wanted == 'auto' and n > self.model.decoder.spare_tokens):
            return None
        return self._sight.tokens[None] if self._sight else None

    def stats(self) -> StreamStats:
        """Sums since the last reset."""
        return self._stats
