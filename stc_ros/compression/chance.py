"""Random: tokens drawn by lot. A control as hard to beat as uniform (LLMC+, arXiv 2508.09981)."""

from __future__ import annotations

import torch

from stc_ros.compression.pruner import Selection, budget, take
from stc_ros.compression.vision import Sight
from stc_ros.settings import Settings


class Random:
    """Each frame alone; as many tokens as `prune_ratio` leaves. Every stream draws the same lots in the same order."""

    def __init__(self):
        self.lots = torch.Generator().manual_seed(0)

    def select(self, sight: Sight, settings: Settings) -> Selection:
        n = len(sight.hidden)
        drawn = torch.randperm(n, generator=self.lots)[: budget(n, settings.prune_ratio)]
        return take(sight, drawn.to(sight.hidden.device))
