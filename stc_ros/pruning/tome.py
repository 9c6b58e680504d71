"""ToMe: tokens that are alike are merged ("Token Merging: Your ViT But Faster", arXiv 2210.09461)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from stc_ros.parameters import pruners
from stc_ros.pruning.base import Pruner, Selection, budget
from stc_ros.vision.encode import FrameFeatures


@pruners.register('tome', source='arXiv 2210.09461', scope='frame')
class ToMe(Pruner):
    """Tokens that are alike, merged.

    The original merges r tokens in every layer of the tower, which costs the grid that this family's pooling needs.
    Ours merges the visual tokens, by the keys of the tower's last layer: in rounds of bipartite matching, at most
    half of them in each, until the count is reached. A merged token is the mean of all its sources, at the place of
    the one that the others joined.
    """

    merges = True

    def select(self, frame: FrameFeatures, prune_ratio: float) -> Selection:
        n = len(frame.hidden)
        count = budget(n, prune_ratio)
        index, share = torch.arange(n, device=frame.hidden.device), torch.eye(n, device=frame.hidden.device)
        while len(index) > count:
            metric = F.normalize((share / share.sum(1, keepdim=True)) @ frame.keys.float(), dim=-1)
            best, target = (metric[::2] @ metric[1::2].T).max(1)  # even places join odd ones
            source = best.argsort(descending=True, stable=True)[: min(len(index) // 2, len(index) - count)]
            share.index_add_(0, 2 * target[source] + 1, share[2 * source])  # `share` is 0 or 1: sizes add up
            goes = torch.zeros_like(index)
            goes[2 * source] = 1
            stays = goes.argsort(stable=True)[: len(index) - len(source)]  # a mask would be counted by the host
            index, share = index[stays], share[stays]
        return Selection(index.cpu(), frame.mix(share / share.sum(1, keepdim=True)))
