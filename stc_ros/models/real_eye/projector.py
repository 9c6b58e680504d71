"""The projector from the real tower's features to the embedded language model's visual tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

FEATURES, HIDDEN, TOKEN = 384, 512, 192  # widths
GRID = 14  # patches per side; tokens are the means of 2 x 2


class Projector(nn.Module):
    """Two layers for each patch, then the mean of 2 x 2 patches, then an affine layer."""

    def __init__(self):
        super().__init__()
        self.linear_1 = nn.Linear(FEATURES, HIDDEN)
        self.linear_2 = nn.Linear(HIDDEN, HIDDEN)
        self.linear_3 = nn.Linear(HIDDEN, TOKEN)

    def enter(self, features: torch.Tensor) -> torch.Tensor:
        """Features of patches [.., 384] -> [.., 512], up to the last layer."""
        return F.gelu(self.linear_2(F.gelu(self.linear_1(features))))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """All patches of frames, [.., 196, 384] -> visual tokens [.., 49, 192]."""
        return self.linear_3(pool(self.enter(features)))


def pool(x: torch.Tensor) -> torch.Tensor:
    """Means of 2 x 2 patches, [.., 196, D] -> [.., 49, D]."""
    half = GRID // 2
    return x.unflatten(-2, (half, 2, half, 2)).mean((-4, -2)).flatten(-3, -2)


def gather(x: torch.Tensor) -> torch.Tensor:
    """The 2 x 2 patches of each token side by side, [.., 196, D] -> [.., 49, 4, D]."""
    half = GRID // 2
    return x.unflatten(-2, (half, 2, half, 2)).transpose(-4, -3).flatten(-3, -2).flatten(-4, -3)
