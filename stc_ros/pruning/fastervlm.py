"""FasterVLM: the tokens that the vision tower itself attends to (arXiv 2412.01818)."""

from __future__ import annotations

import torch

from stc_ros.parameters import pruners
from stc_ros.pruning.base import ScorePruner
from stc_ros.vision.encode import FrameFeatures


@pruners.register('fastervlm', source='arXiv 2412.01818', scope='frame')
class FasterVLM(ScorePruner):
    """Tokens that the vision encoder itself attends to.

    The original ranks patches by the class token's attention in the layer whose output is used. SigLIP has no class
    token, and these checkpoints no pooling head, so ours ranks by the attention that a token receives there from all.
    """

    late = True

    def score(self, frame: FrameFeatures) -> torch.Tensor:
        return frame.saliency
