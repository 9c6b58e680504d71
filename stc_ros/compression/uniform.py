"""Uniform: every so-many-th token in raster order, whatever the picture. The control that a method has to beat."""

from __future__ import annotations

import torch

from stc_ros.compression.pruner import Selection, budget, take
from stc_ros.compression.vision import Sight
from stc_ros.settings import Settings


class Uniform:
    """Each frame alone; as many tokens as `prune_ratio` leaves, the middles of equal stretches of the raster."""

    def select(self, sight: Sight, settings: Settings) -> Selection:
        n = len(sight.hidden)
        count = budget(n, settings.prune_ratio)
        return take(sight, (2 * torch.arange(count, device=sight.hidden.device) + 1) * n // (2 * count))
