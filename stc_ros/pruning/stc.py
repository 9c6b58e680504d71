"""STC-Pruner as published (arXiv 2512.00891, §3.4)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from stc_ros.parameter_spec import param
from stc_ros.parameters import pruners
from stc_ros.pruning.base import ScorePruner
from stc_ros.vision.encode import FrameFeatures


@pruners.register('stc', source='arXiv 2512.00891', scope='stream')
@dataclass
class STCPruner(ScorePruner):
    """As published: tokens unlike the past frames' mean and unlike their own frame's.

    alpha (1 - cos(z, a_t)) + (1 - alpha) (1 - cos(z, a_s)), alpha being `temporal_weight`; a_s is the mean of the
    frame, a_t the mean of the last `history_frames` frames' means without the present one. The first frame has no past,
    so only space counts.
    """

    temporal_weight: float = param(0.5, 'Weight of novelty in time against novelty in space.', low=0.0, high=1.0)
    history_frames: int = param(16, 'How many past frames a frame is compared with.', unit='frames', low=1, high=256)
    means: deque[torch.Tensor] = field(default_factory=deque, init=False)  # float32 [D] each, newest last

    def score(self, frame: FrameFeatures) -> torch.Tensor:
        return self.novelty(frame.tokens.float())

    def novelty(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens [n, D] -> novelty [n]; the frame joins the past."""
        mean = tokens.mean(0)
        novelty = 1 - F.cosine_similarity(tokens, mean, dim=-1)
        if self.means:
            past = torch.stack(tuple(self.means)).mean(0)
            alpha = self.temporal_weight
            novelty = alpha * (1 - F.cosine_similarity(tokens, past, dim=-1)) + (1 - alpha) * novelty
        self.means.append(mean)
        while len(self.means) > self.history_frames:
            self.means.popleft()
        return novelty

    def reset(self) -> None:
        self.means.clear()
