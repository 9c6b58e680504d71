"""DivPrune: tokens as different from each other as can be (arXiv 2503.02175)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from stc_ros.parameters import pruners
from stc_ros.pruning.base import Pruner, Selection, budget, take
from stc_ros.vision.encode import FrameFeatures


@pruners.register('divprune', source='arXiv 2503.02175', scope='frame')
class DivPrune(Pruner):
    """Tokens as different from each other as can be.

    Max-min diversity, greedily: first the token whose nearest neighbour is farthest, then always the one farthest from
    its nearest token chosen, by cosine distance. One small step for each token kept.
    """

    def select(self, frame: FrameFeatures, prune_ratio: float) -> Selection:
        unit = F.normalize(frame.tokens.float(), dim=-1)
        distance = 1 - unit @ unit.T  # [n, n]
        nearest = distance.clone().fill_diagonal_(float('inf')).min(1).values
        chosen, free = [nearest.argmax(keepdim=True)], torch.zeros_like(nearest)  # [1] each: an index of one number
        free[chosen[0]] = -float('inf')  # without dimension would be read by the host
        reach = distance[chosen[0]][0]
        while len(chosen) < budget(len(unit), prune_ratio):
            chosen.append((reach + free).argmax(keepdim=True))
            free[chosen[-1]] = -float('inf')
            reach = torch.minimum(reach, distance[chosen[-1]][0])
        return take(frame, torch.cat(chosen))
