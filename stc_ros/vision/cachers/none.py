"""No cacher: every frame is computed whole, in the order of transformers, bit for bit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from stc_ros.models.tower import Tower
from stc_ros.parameters import cachers
from stc_ros.vision.cachers.base import Embed, Encoded
from stc_ros.vision.cachers.layerwise import compute


@cachers.register('none', scope='nothing')
@dataclass
class NoCacher:
    """Recomputes everything in every frame: the plain model."""

    plain = True
    similarity = math.nan
    bytes = 0

    def encode(
        self, tower: Tower, image: torch.Tensor, embed: Embed, cache_similarity: float, refresh: bool = False
    ) -> Encoded:
        x, run, taken = embed(), tower.runs(compute), []
        for number, block in enumerate(tower.blocks):
            entry = x
            x, _ = run(block, x)
            if number in tower.taps:
                taken.append(x)
        return Encoded(tower.read(taken, x), entry, torch.ones(tower.grid[0] * tower.grid[1]))

    def reset(self) -> None:
        pass
