"""VidCom2: unusual tokens, and more of them in unusual frames (arXiv 2505.14454)."""

from __future__ import annotations

from collections import deque

import torch
import torch.nn.functional as F

from stc_ros.compression.pruner import Selection, gaussians, take
from stc_ros.compression.vision import Sight
from stc_ros.settings import Settings

TEMPERATURE = 0.01


class VidCom2:
    """A frame keeps n R (1 + w - mean w) tokens, rounded down, at least one: R is what `prune_ratio` leaves, w the
    softmax of the frames' uniqueness. So the count varies, between R n (1 - 1 / history) and 2 R n.

    The original looks at the whole video. Ours is causal: video mean and softmax run over the present frame and the
    `novelty_history` before it.
    """

    def __init__(self):
        self.past: deque[tuple[torch.Tensor, torch.Tensor]] = deque()  # mean [D] and uniqueness [] each

    def select(self, sight: Sight, settings: Settings) -> Selection:
        tokens = sight.tokens.float()
        mean = tokens.mean(0)
        quiet = tokens.var(0, unbiased=False).argsort(stable=True)[: max(1, tokens.shape[1] // 2)]
        y = F.normalize(tokens[:, quiet], dim=-1)
        video = torch.stack([m for m, _ in self.past] + [mean]).mean(0)[quiet]
        to_video = gaussians(y, F.normalize(video, dim=-1))
        self.past.append((mean, -to_video.mean()))
        while len(self.past) > settings.novelty_history + 1:
            self.past.popleft()
        weight = (torch.stack([u for _, u in self.past]) / TEMPERATURE).softmax(0)
        share = (1 - settings.prune_ratio) * (1 + weight[-1] - weight.mean())
        count = len(tokens) if settings.prune_ratio == 0 else max(1, min(len(tokens), int(share * len(tokens))))
        return take(sight, (to_video + gaussians(y, y.mean(0))).argsort(stable=True)[:count])
