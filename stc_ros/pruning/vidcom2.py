"""VidCom2: unusual tokens, and more of them in unusual frames (arXiv 2505.14454)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from stc_ros.parameter_spec import param
from stc_ros.parameters import pruners
from stc_ros.pruning.base import Pruner, Selection, gaussians, take
from stc_ros.vision.encode import FrameFeatures

TEMPERATURE = 0.01


@pruners.register('vidcom2', source='arXiv 2505.14454', scope='stream')
@dataclass
class VidCom2(Pruner):
    """Unusual tokens, and more of them in unusual frames.

    A frame keeps n R (1 + w - mean w) tokens, rounded down, at least one: R is what `prune_ratio` leaves, w the
    softmax of the frames' uniqueness. So the count varies, between R n (1 - 1 / history) and 2 R n.

    The original looks at the whole video. Ours is causal: video mean and softmax run over the present frame and the
    `history_frames` before it.
    """

    exact = False
    history_frames: int = param(16, 'How many past frames a frame is compared with.', unit='frames', low=1, high=256)
    past: deque[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=deque, init=False)  # mean [D], uniqueness []

    def select(self, frame: FrameFeatures, prune_ratio: float) -> Selection:
        tokens = frame.tokens.float()
        mean = tokens.mean(0)
        quiet = tokens.var(0, unbiased=False).argsort(stable=True)[: max(1, tokens.shape[1] // 2)]
        y = F.normalize(tokens[:, quiet], dim=-1)
        video = torch.stack([m for m, _ in self.past] + [mean]).mean(0)[quiet]
        to_video = gaussians(y, F.normalize(video, dim=-1))
        self.past.append((mean, -to_video.mean()))
        while len(self.past) > self.history_frames + 1:
            self.past.popleft()
        weight = (torch.stack([u for _, u in self.past]) / TEMPERATURE).softmax(0)
        share = (1 - prune_ratio) * (1 + weight[-1] - weight.mean())
        count = len(tokens) if prune_ratio == 0 else max(1, min(len(tokens), int(share * len(tokens))))
        return take(frame, (to_video + gaussians(y, y.mean(0))).argsort(stable=True)[:count])

    def reset(self) -> None:
        self.past.clear()
