"""STC-Cacher with a threshold in place of a share (after arXiv 2512.00891, §3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from stc_ros.parameters import cachers
from stc_ros.vision.cachers.layerwise import LayerwiseCacher, cosine


@cachers.register('threshold', source='after arXiv 2512.00891', scope='keys, in every layer')
@dataclass
class ThresholdCacher(LayerwiseCacher):
    """Recomputes in each layer the tokens whose keys are less like the reference's than `cache_similarity`."""

    def choose(
        self, key: torch.Tensor, reference: torch.Tensor, cache_similarity: float, class_tokens: int = 0
    ) -> torch.Tensor:
        """At 1 every token, because a cosine cannot tell the smallest changes from none; class tokens always."""
        if cache_similarity >= 1:
            return torch.ones(key.shape[:2], dtype=torch.bool, device=key.device)
        chosen: torch.Tensor = cosine(key, reference).clamp(min=0) < cache_similarity
        chosen[:, :class_tokens] = True
        return chosen
