"""What a cacher is to the stream."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from stc_ros.models.tower import Tower

Embed = Callable[[], torch.Tensor]  # gives a picture's embedded tokens [1, T, d]


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the vision encoder gives of one frame; T counts class tokens, P only patches.

    The next frame may overwrite it.
    """

    features: torch.Tensor  # [1, T, D], the last block's output, and before it those of the tower's `taps`
    entry: torch.Tensor  # [1, T, d], the last block's input
    recomputed: torch.Tensor  # float32 [P]: share of the layers in which each patch was recomputed
    static_frames: int | None = None  # in a row, up to this one, that show nothing new; None: nobody looked


class Cacher(Protocol):
    """Reuses vision features from frame to frame. An instance is what it remembers of one stream.

    It calls `embed` at most once per picture, and holds after `reset` no more than a fresh one.

    plain: it never reuses anything, so that everything behind it is computed in the order of transformers, too.
    similarity: estimated cosine of what the newest frame reused to what recomputing it would give; NaN: not measured.
    """

    plain: bool = False
    similarity: float = math.nan

    def encode(
        self, tower: Tower, image: torch.Tensor, embed: Embed, cache_similarity: float, refresh: bool = False
    ) -> Encoded | None:
        """A picture, uint8 [1, 3, h, w] -> its features, or None when it shows nothing new and was skipped.

        embed: gives the picture's embedded tokens [1, T, d]. `refresh` recomputes everything.
        """

    def reset(self) -> None:
        """Forget everything."""

    @property
    def bytes(self) -> int:
        """Bytes of what is held."""


def most_bytes(tower: Tower, pixels: int, itemsize: int) -> int:
    """`Cacher.bytes` at most, whichever it is: four things of each token in every layer, both ends, and a picture."""
    width = tower.width
    return (4 * len(tower.blocks) + 2 + len(tower.taps)) * tower.tokens * width * itemsize + 3 * pixels
