"""DivPrune: tokens as different from each other as can be (arXiv 2503.02175)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from stc_ros.compression.pruner import Selection, budget, take
from stc_ros.compression.vision import Sight
from stc_ros.settings import Settings


class DivPrune:
    """Each frame alone; as many tokens as `prune_ratio` leaves.

    Max-min diversity, greedily: first the token whose nearest neighbour is farthest, then always the one farthest from
    its nearest token chosen, by cosine distance. One small step for each token kept.
    """

    def select(self, sight: Sight, settings: Settings) -> Selection:
        unit = F.normalize(sight.tokens.float(), dim=-1)
        distance = 1 - unit @ unit.T  # [n, n]
        nearest = distance.clone().fill_diagonal_(float('inf')).min(1).values
        chosen, free = [nearest.argmax()], torch.zeros_like(nearest)
        free[chosen[0]] = -float('inf')
        reach = distance[chosen[0]]
        while len(chosen) < budget(len(unit), settings.prune_ratio):
            chosen.append((reach + free).argmax())
            free[chosen[-1]] = -float('inf')
            reach = torch.minimum(reach, distance[chosen[-1]])
        return take(sight, torch.stack(chosen))
