"""Uniform: every so-many-th token in raster order, whatever the picture. The control that a method has to beat."""

from __future__ import annotations

import torch

from stc_ros.parameters import pruners
from stc_ros.pruning.base import Pruner, Selection, budget, take
from stc_ros.vision.encode import FrameFeatures


@pruners.register('uniform', scope='frame')
class Uniform(Pruner):
    """Every so-many-th token: the middles of equal stretches of the raster, whatever the picture shows."""

    def select(self, frame: FrameFeatures, prune_ratio: float) -> Selection:
        n = len(frame.hidden)
        count = budget(n, prune_ratio)
        return take(frame, (2 * torch.arange(count) + 1) * n // (2 * count), late=True)
