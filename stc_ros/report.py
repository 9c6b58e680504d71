"""What became of one frame, and sums over a stream."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

REMEMBERED_TIMES = 512  # frames over which median and p99 are taken


@dataclass(frozen=True, slots=True)
class FrameReport:
    """What became of one frame."""

    stamp: int  # ns
    grid: tuple[int, int]  # rows, cols of the vision patches
    token_grid: tuple[int, int]  # rows, cols of the visual tokens before pruning
    recomputed: np.ndarray  # float32 [rows * cols]: share of the vision layers that recomputed each patch
    kept: np.ndarray  # int64 [b]: raster indices of the visual tokens kept
    patches: int
    patches_recomputed: float  # of them, mean over the layers
    similarity: float  # of what was reused to what it would be, as the cacher estimates; NaN: it does not
    visual_tokens: int  # tokens before the pruner
    visual_tokens_kept: int  # and behind it
    ms: dict[str, float]  # preprocess, vision, prune, prefill: milliseconds (overlap: the last frame's prefill)
    scene_change: bool
    first_stamp: int  # ns: the oldest frame in the memory (overlap: before this frame)
    memory_tokens: int  # visual tokens in the memory (overlap: before this frame)
    tokens_waiting: int  # of them, not prefilled yet
    memory_bytes: int  # of the KV cache, what waits, and the vision features held

    @classmethod
    def of(cls, model, features, chosen, stamp: int, ms: dict[str, float], scene_change: bool, remembered: dict):
        """features: `FrameFeatures`, or None for a frame that was skipped; chosen: its `Selection`."""
        patches = model.tower.grid[0] * model.tower.grid[1]
        recomputed = np.zeros(patches, np.float32) if features is None else features.encoded.recomputed.cpu().numpy()
        kept = np.empty(0, np.int64) if chosen is None else chosen.index.numpy()
        return cls(
            stamp=stamp,
            grid=model.tower.grid,
            token_grid=model.token_grid,
            recomputed=recomputed,
            kept=kept,
            patches=patches,
            patches_recomputed=float(recomputed.sum()),
            visual_tokens=model.visual_tokens,
            visual_tokens_kept=len(kept),
            ms=ms,
            scene_change=scene_change,
            **remembered,
        )


@dataclass(slots=True)
class StreamStats:
    """Sums since the last reset; `ms` holds the newest frames' times by stage."""

    frames: int = 0
    scene_changes: int = 0
    patches: int = 0
    patches_recomputed: float = 0.0
    visual_tokens: int = 0
    visual_tokens_kept: int = 0
    answers: int = 0
    ms: dict[str, deque] = field(default_factory=dict)

    @property
    def recomputed_share(self) -> float:
        return self.patches_recomputed / self.patches if self.patches else 0.0

    @property
    def kept_share(self) -> float:
        return self.visual_tokens_kept / self.visual_tokens if self.visual_tokens else 0.0

    def count(self, report: FrameReport) -> None:
        self.frames += 1
        self.scene_changes += report.scene_change
        for name in ('patches', 'patches_recomputed', 'visual_tokens', 'visual_tokens_kept'):
            setattr(self, name, getattr(self, name) + getattr(report, name))
        for stage, ms in report.ms.items():
            self.ms.setdefault(stage, deque(maxlen=REMEMBERED_TIMES)).append(ms)
