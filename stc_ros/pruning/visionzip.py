"""VisionZip: a few dominant tokens, and the rest gathered into contextual ones (arXiv 2412.04467)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from stc_ros.parameters import pruners
from stc_ros.pruning.base import Pruner, Selection, budget
from stc_ros.vision.encode import FrameFeatures

CONTEXTUAL = 10 / 64  # of the tokens kept, as in the original's setting of 54 + 10


@pruners.register('visionzip', source='arXiv 2412.04467', scope='frame')
class VisionZip(Pruner):
    """A few dominant tokens, and the rest gathered into contextual ones.

    Dominant are the tokens that receive most attention in the tower's last layer (SigLIP has no class token). Of the
    others every so-many-th is a target; the rest join the target of the most similar key, and a contextual token is
    the mean of those that joined it.
    """

    merges = True

    def select(self, frame: FrameFeatures, prune_ratio: float) -> Selection:
        n = len(frame.hidden)
        count = budget(n, prune_ratio)
        order = frame.saliency.argsort(descending=True, stable=True)
        contextual = round(count * CONTEXTUAL) if count < n else 0
        dominant, others = order[: count - contextual], order[count - contextual :].sort().values
        share = torch.eye(n, device=order.device)
        if contextual:
            keys = F.normalize(frame.keys.float(), dim=-1)
            targets = others[torch.arange(contextual, device=order.device) * len(others) // contextual]
            joined = targets[(keys[others] @ keys[targets].T).argmax(1)]
            joined = torch.where(torch.isin(others, targets), others, joined)
            share[others, others] = 0
            share[joined, others] = 1
            dominant = torch.cat((dominant, targets))
        index = dominant.sort().values
        return Selection(index.cpu(), frame.mix(share[index] / share[index].sum(1, keepdim=True)))
