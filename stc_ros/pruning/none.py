"""No pruner: the language model reads every token."""

from __future__ import annotations

import torch

from stc_ros.parameters import pruners
from stc_ros.pruning.base import Pruner, Selection
from stc_ros.vision.encode import FrameFeatures


@pruners.register('none', scope='frame')
class NoPruner(Pruner):
    """Keeps every token: the plain model."""

    exact = False

    def select(self, frame: FrameFeatures, prune_ratio: float) -> Selection:
        return Selection(torch.arange(len(frame.tokens)), frame.tokens)
