"""One camera's stream: see frames, ask questions. The whole pipeline, front to back.

    resize, scene change -> vision encoder with cacher -> projector, pruner -> prefill into the memory -> answers

A `Stream` holds all that one camera leaves behind and shares only the model with others. All calls belong to one
thread; frames may be seen between the pieces of an answer. With `overlap`, a frame's prefill runs beside the next
frame's vision, in a thread that only this module knows of.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping

import numpy as np
import torch

from stc_ros.answer import Answer, NothingSeen, QuestionError, StreamError
from stc_ros.background_stream import BackgroundStream
from stc_ros.io.picture import Picture
from stc_ros.memory.base import Limits, Memory
from stc_ros.models.base import VideoModel
from stc_ros.parameter_spec import SettingError
from stc_ros.parameters import MemoryParameters, StreamParameters, cachers, memories, pruners
from stc_ros.pruning.base import Pruner, Selection
from stc_ros.report import FrameReport, StreamStats
from stc_ros.settings import Settings
from stc_ros.timing import Stopwatch
from stc_ros.vision.cachers.base import Cacher, most_bytes
from stc_ros.vision.encode import FrameFeatures, encode_frame
from stc_ros.vision.scene_change import is_cut, thumbnail

__all__ = [
    'Answer',
    'FrameReport',
    'NothingSeen',
    'QuestionError',
    'Stream',
    'StreamError',
    'StreamStats',
    'open_stream',
]


class Stream:
    """What a model has seen of one camera.

    model: a `VideoModel`, which other streams may share. cacher, pruner, memory: parts of this stream's own. Raises
    `SettingError` when the memory does not hold a whole frame. `open_stream` makes one of settings.
    """

    def __init__(
        self,
        model: VideoModel,
        cacher: Cacher,
        pruner: Pruner,
        memory: Memory,
        parameters: StreamParameters = StreamParameters(),  # noqa: B008 - a frozen value
    ):
        if memory.capacity < (needed := model.visual_tokens + model.frame_text.most):
            raise SettingError(
                f'a frame of this model has {needed} visual tokens, more than the {memory.capacity} of '
                'the memory: raise memory.max_tokens or memory.max_mib'
            )
        self.model, self.cacher, self.pruner, self.memory, self.parameters = model, cacher, pruner, memory, parameters
        self._background, self._prefill_ms = BackgroundStream(model.device), {}  # for prefill, where that overlaps
        self.reset()

    @torch.inference_mode()
    def reset(self) -> None:
        """Forget everything seen."""
        with contextlib.suppress(Exception):  # what is forgotten may have failed
            self.settle()
        self._prefill_ms = {'prefill': 0.0}  # of the last frame whose prefill ran beside another's vision
        self._latest: FrameFeatures | None = None  # newest frame that showed anything, if not all of it was kept
        self.cacher.reset()
        self.pruner.reset()
        self.memory.clear()
        self.thumbnail: torch.Tensor | None = None
        self._began: int | None = None  # stamp of the first frame
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

    @staticmethod
    def check(old: Settings, new: Settings) -> None:
        """Raises `SettingError` when a stream with the `old` settings cannot take the `new` ones while it runs."""
        if fixed := old.fixed_changes(new):
            raise SettingError(f'{", ".join(fixed)} cannot change while the stream runs: start anew')
        for registry in (cachers, pruners):
            registry.create(new[f'{registry.kind}.method'], new)  # a method may object to its own parameters

    def configure(self, old: Settings, new: Settings) -> None:
        """Change settings from the next frame on; a part whose method changes starts anew. Raises `SettingError`."""
        self.check(old, new)
        for registry in (cachers, pruners):
            kind, name = registry.kind, new[f'{registry.kind}.method']
            part = getattr(self, kind)
            if isinstance(part, registry[name].cls):
                for full, spec in registry[name].parameters.items():
                    setattr(part, spec.field, new[full])
            else:
                setattr(self, kind, registry.create(name, new))
        self.parameters = new.fill(StreamParameters)

    @torch.inference_mode()
    def see(self, frame: np.ndarray | Picture, stamp: int) -> FrameReport:
        """Take in a frame, uint8 RGB [H, W, 3] or a `Picture`, of time `stamp` in nanoseconds.

        Raises `ValueError` for another shape or type; the stream is then as it was. After any other exception (out of
        memory, say) `reset` it; with `overlap`, it may be the last frame's.
        """
        model, parameters = self.model, self.parameters
        self._began = stamp if self._began is None else self._began
        watch = Stopwatch(model.device)
        image = model.pixels.resize(frame)
        thumb = thumbnail(image)
        scene_change = is_cut(thumb, self.thumbnail, parameters.scene_change)
        self.thumbnail = thumb
        if scene_change:
            self.pruner.reset()
        watch.mark('preprocess')

        features = encode_frame(model, self.cacher, image, parameters.cache_similarity, refresh=scene_change)
        watch.mark('vision')

        chosen = None if features is None else self.pruner.select(features, parameters.prune_ratio)  # b of n tokens
        if features is not None:
            self._latest = features if len(chosen.index) < model.visual_tokens else None
            self._latest_stamp = stamp
        watch.mark('prune')

        self.settle()
        if parameters.overlap:
            remembered = self._remembered(stamp)
            self._background.put(functools.partial(self._remember, chosen, parameters, stamp))
            ms = watch.read() | self._prefill_ms
        else:
            ms = self._remember(chosen, parameters, stamp, watch)
            remembered = self._remembered(stamp)

        remembered['similarity'] = self.cacher.similarity
        report = FrameReport.of(model, features, chosen, stamp, ms, scene_change, remembered)
        self._stats.count(report)
        return report

    def settle(self) -> None:
        """Wait until the newest frame is in the memory (overlap). Raises what its prefill raised."""
        self._prefill_ms = self._background.settle() or self._prefill_ms

    @property
    def tokens_waiting(self) -> int:
        """Visual tokens that have not been prefilled yet (overlap: or 0 while one is under way)."""
        return self.memory.tokens_waiting

    @torch.inference_mode()
    def prefill(self) -> None:
        """Prefill what waits for more, as when there is nothing else to do."""
        self.settle()
        self.memory.prefill()

    def _remembered(self, stamp: int) -> dict[str, float]:
        """What a frame's report says of the memory."""
        return {
            'memory_tokens': self.memory.tokens,
            'first_stamp': self.memory.first_stamp(stamp),
            'tokens_waiting': self.memory.tokens_waiting,
            'memory_bytes': self.memory.bytes + self.cacher.bytes,
        }

    def _remember(
        self, chosen: Selection | None, parameters: StreamParameters, stamp: int, watch: Stopwatch | None = None
    ) -> dict[str, float]:
        """Prefill the tokens chosen of a frame, or none -> milliseconds by stage."""
        watch = watch or Stopwatch(self.model.device)
        places, positions = self.model.decoder.places, self.model.visual_tokens
        contiguous = parameters.contiguous_positions and places is None
        if places is not None:
            positions = places.num_positions
        if chosen is None or len(chosen.index) == 0:
            self.memory.advance(1 if contiguous else positions, stamp)
        else:
            offsets = chosen.index if places is None else places.offsets[:, chosen.index]
            if contiguous:
                positions, offsets = len(offsets), torch.arange(len(offsets))
            self.memory.add(*self._with_text(chosen.tokens[None], offsets, positions, stamp), stamp)
        if stamp - self.memory.waiting_since(stamp) >= parameters.prefill_wait * 1e9:
            self.memory.prefill()
        watch.mark('prefill')
        return watch.read()

    def _with_text(
        self, tokens: torch.Tensor, offsets: torch.Tensor, positions: int, stamp: int
    ) -> tuple[torch.Tensor, torch.Tensor, int]:
        """A frame's tokens [1, b, D], their offsets and how many positions they take, with the family's text around."""
        assert self._began is not None
        texts = self.model.frame_text.ids((stamp - self._began) / 1e9)
        for number, ids in enumerate(texts):
            if ids:
                text = self.model.decoder.embed(ids)
                places = torch.arange(len(ids)).expand(*offsets.shape[:-1], -1)
                if number == 0:
                    tokens, offsets = torch.cat((text, tokens), 1), torch.cat((places, len(ids) + offsets), -1)
                else:
                    tokens, offsets = torch.cat((tokens, text), 1), torch.cat((offsets, positions + places), -1)
                positions += len(ids)
        return tokens, offsets, positions

    def ask(self, question: str, max_new_tokens: int | None = None) -> Answer:
        """Ask about what is in the memory -> an iterator of text pieces, whose `report` tells what it rests on.

        The memory is not changed: question and answer are forgotten. Raises `NothingSeen` before the first frame and
        `QuestionError` for an empty or too long question, and what the last frame's prefill raised (overlap). After any
        other exception `reset` the stream.
        """
        self.settle()
        if not self.memory.frames:
            raise NothingSeen('no frame has been processed yet: is a camera publishing?')
        answer = Answer(
            self.model, self.memory, question, max_new_tokens or self.parameters.max_new_tokens, self.latest_tokens
        )
        self._stats.answers += 1
        return answer

    @torch.inference_mode()
    def latest_tokens(self, room: int) -> torch.Tensor | None:
        """All tokens of the newest frame, [1, n, D]; None: the memory has them, or has no `room` for n."""
        n, wanted = self.model.visual_tokens + self.model.frame_text.most, self.parameters.full_latest_frame
        if n > room or wanted == 'never' or (wanted == 'auto' and n > self.model.decoder.spare_tokens):
            return None
        if self._latest is None:
            return None
        tokens, stamp = self._latest.tokens[None], self._latest_stamp
        return self._with_text(tokens, torch.arange(tokens.shape[1]), tokens.shape[1], stamp)[0]

    def stats(self) -> StreamStats:
        """Sums since the last reset."""
        return self._stats


def open_stream(model: VideoModel, settings: Settings | Mapping = {}) -> Stream:  # noqa: B006 - never written to
    """A stream with the parts that the settings name. Raises `SettingError`."""
    settings = settings if isinstance(settings, Settings) else Settings(settings)
    return Stream(
        model,
        cachers.create(settings['cacher.method'], settings),
        pruners.create(settings['pruner.method'], settings),
        open_memory(model, settings),
        settings.fill(StreamParameters),
    )


@torch.inference_mode()
def open_memory(model: VideoModel, settings: Settings) -> Memory:
    """The memory that the settings name, for `model`. Raises `SettingError` when its limits hold too little."""
    wanted: MemoryParameters = settings.fill(MemoryParameters, 'memory')
    vision = most_bytes(model.tower, model.pixels.height * model.pixels.width, model.dtype.itemsize)
    batch = model.decoder.spare_tokens if wanted.prefill_batch < 0 else wanted.prefill_batch
    limits = Limits(wanted.max_tokens, (wanted.max_mib << 20) - vision, model.dtype, batch)
    try:
        if limits.bytes <= 0:
            raise ValueError(f'memory.max_mib {wanted.max_mib} is too little')
        return memories.create(wanted.method, settings).create(model.decoder, model.chat.prefix(), limits)
    except ValueError as error:
        raise SettingError(
            f'{error}; the vision features that this model reuses take up to {vision / 2**20:.0f} MiB: raise '
            'memory.max_mib'
        ) from None
