"""What the authors' release of STC-Pruner computes, its misaligned memory included; for parity, no product."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from stc_ros.pruning.base import ScorePruner, gaussians
from stc_ros.vision.encode import FrameFeatures


@dataclass
class ReleasedPruner(ScorePruner):
    """Source: the code released with arXiv 2512.00891.

    Only the half of the channels that vary least in this frame count, in order of their variance, so that a slot of the
    history means another channel in every frame. Novelty is minus the sum of five Gaussian similarities to the frame's
    mean and to the mean of all history, the present frame included.
    """

    total: torch.Tensor | None = field(default=None, init=False)  # sum of all frames' means; this history has no end
    count: int = field(default=0, init=False)

    def score(self, frame: FrameFeatures) -> torch.Tensor:
        return self.novelty(frame.tokens.float())

    def novelty(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens [n, D] -> novelty [n]; the frame joins the past."""
        channels = tokens.var(0, unbiased=False).argsort()[: tokens.shape[1] // 2]
        y = tokens[:, channels]
        mean = y.mean(0)
        self.total = mean if self.total is None else self.total + mean
        self.count += 1
        y = F.normalize(y, dim=-1)
        return -gaussians(y, F.normalize(self.total / self.count, dim=-1)) - gaussians(y, y.mean(0))

    def reset(self) -> None:
        self.total, self.count = None, 0
