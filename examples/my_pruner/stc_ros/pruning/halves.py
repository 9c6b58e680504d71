"""A pruner of one's own: this file is all of it."""

from dataclasses import dataclass

import torch

from stc_ros.parameter_spec import param
from stc_ros.parameters import pruners
from stc_ros.pruning.base import ScorePruner


@pruners.register('halves', scope='frame')
@dataclass
class Halves(ScorePruner):
    """Every `step`-th token first, then the others, in raster order."""

    step: int = param(2, 'Every so-many-th token goes first.', unit='tokens', low=1, high=16)

    def score(self, frame) -> torch.Tensor:  # FrameFeatures -> [n], higher for what is to be kept
        return (torch.arange(len(frame.hidden), device=frame.hidden.device) % self.step == 0).float()
