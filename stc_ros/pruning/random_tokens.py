"""Random: tokens drawn by lot. A control as hard to beat as uniform (LLMC+, arXiv 2508.09981)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from stc_ros.parameters import pruners
from stc_ros.pruning.base import Pruner, Selection, budget, take
from stc_ros.vision.encode import FrameFeatures


@pruners.register('random', source='arXiv 2508.09981', scope='stream')
@dataclass
class RandomTokens(Pruner):
    """Tokens drawn by lot, a control. Every stream draws the same lots in the same order."""

    lots: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0), init=False)

    def select(self, frame: FrameFeatures, prune_ratio: float) -> Selection:
        n = len(frame.hidden)
        drawn = torch.randperm(n, generator=self.lots)[: budget(n, prune_ratio)]
        return take(frame, drawn, late=True)

    def reset(self) -> None:
        self.lots.manual_seed(0)
