"""STC-Cacher as published: a fixed share of the tokens is recomputed in every layer (arXiv 2512.00891, §3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from stc_ros.parameter_spec import param
from stc_ros.parameters import cachers
from stc_ros.vision.cachers.layerwise import LayerwiseCacher, cosine


@cachers.register('stc', source='arXiv 2512.00891', scope='keys, in every layer')
@dataclass
class STCCacher(LayerwiseCacher):
    """As published: recomputes in each layer the tokens whose keys are least like the reference's."""

    update_ratio: float = param(0.25, 'Share of the patches recomputed in each layer.', low=0.0, high=1.0)

    def choose(
        self, key: torch.Tensor, reference: torch.Tensor, cache_similarity: float, class_tokens: int = 0
    ) -> torch.Tensor:
        """The max(1, floor(T * update_ratio)) least similar tokens, class tokens among them."""
        similarity = cosine(key, reference)
        similarity[:, :class_tokens] = -2
        least = similarity.topk(self.count(key.shape[1], class_tokens), dim=1, largest=False).indices
        return torch.zeros_like(similarity, dtype=torch.bool).scatter_(1, least, True)

    def count(self, tokens: int, class_tokens: int) -> int:
        return max(1, class_tokens, min(tokens, int(tokens * self.update_ratio)))
