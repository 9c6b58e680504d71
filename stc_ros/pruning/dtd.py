"""DTD: tokens that differ from the frame before (TimeChat-Online's differential token drop, arXiv 2504.17343)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from stc_ros.parameters import pruners
from stc_ros.pruning.base import ScorePruner, Selection, take
from stc_ros.vision.encode import FrameFeatures


@pruners.register('dtd', source='arXiv 2504.17343', scope='stream')
@dataclass
class DTD(ScorePruner):
    """Tokens that differ, by cosine, from the same place in the frame before. The first frame is whole.

    The original drops what is more similar than a threshold; ours the most similar, as many as `prune_ratio` says, so
    that methods can be compared at equal counts.
    """

    exact = False
    last: torch.Tensor | None = field(default=None, init=False)  # [n, D]

    def select(self, frame: FrameFeatures, prune_ratio: float) -> Selection:
        if self.last is not None:
            return super().select(frame, prune_ratio)
        self.last = frame.tokens.float().clone()
        return take(frame, torch.arange(len(self.last)))

    def score(self, frame: FrameFeatures) -> torch.Tensor:
        tokens = frame.tokens.float()
        last = tokens if self.last is None else self.last
        self.last = tokens.clone()
        return 1 - F.cosine_similarity(tokens, last, dim=-1)

    def reset(self) -> None:
        self.last = None
