"""FasterVLM: the tokens that the vision tower itself attends to (arXiv 2412.01818)."""

from __future__ import annotations

from stc_ros.compression.pruner import Selection, take_best
from stc_ros.compression.vision import Sight
from stc_ros.settings import Settings


class FasterVLM:
    """Each frame alone; as many tokens as `prune_ratio` leaves.

    The original ranks patches by the class token's attention in the layer whose output is used. SigLIP has no class
    token, and these checkpoints no pooling head, so ours ranks by the attention that a token receives there from all.
    """

    def select(self, sight: Sight, settings: Settings) -> Selection:
        return take_best(sight, sight.saliency, settings)
