"""DTD: tokens that differ from the frame before (TimeChat-Online's differential token drop, arXiv 2504.17343)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from stc_ros.compression.pruner import Selection, take, take_best
from stc_ros.compression.vision import Sight
from stc_ros.settings import Settings


class Dtd:
    """Causal: each token is compared, by cosine, with the same place of the frame before. The first frame is whole.

    The original drops what is more similar than a threshold; ours the most similar, as many as `prune_ratio` says, so
    that methods can be compared at equal counts.
    """

    def __init__(self):
        self.last: torch.Tensor | None = None  # [n, D]

    def select(self, sight: Sight, settings: Settings) -> Selection:
        tokens, last = sight.tokens.float(), self.last
        self.last = tokens.clone()
        if last is None:
            return take(sight, torch.arange(len(tokens), device=tokens.device))
        return take_best(sight, 1 - F.cosine_similarity(tokens, last, dim=-1), settings)
