"""Pool: the frame's tokens averaged to a coarser grid. A control without choice."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from stc_ros.parameters import pruners
from stc_ros.pruning.base import Pruner, Selection
from stc_ros.vision.encode import FrameFeatures


@pruners.register('pool', scope='frame')
class Pool(Pruner):
    """The frame averaged to a coarser grid, a control without choice.

    Both sides of the grid shrink alike, so the count is a product near what `prune_ratio` leaves: of 14 x 14 tokens at
    0.67, 8 x 8. A mean stands at the place of its cell's middle.
    """

    exact = False
    merges = True

    def select(self, frame: FrameFeatures, prune_ratio: float) -> Selection:
        rows, cols = frame.token_grid
        device, scale = frame.hidden.device, (1 - prune_ratio) ** 0.5
        few = (max(1, round(rows * scale)), max(1, round(cols * scale)))
        share = torch.eye(rows * cols, device=device).view(-1, rows, cols)
        share = F.adaptive_avg_pool2d(share, few).flatten(1).T  # [b, n]: rows sum to one
        y, x = ((2 * torch.arange(k) + 1) * side // (2 * k) for k, side in zip(few, (rows, cols)))
        return Selection((y[:, None] * cols + x).flatten(), frame.mix(share))
