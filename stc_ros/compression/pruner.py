"""STC-Pruner: of a frame's visual tokens, only those that are new in time or in space reach the language model.

Source: "Accelerating Streaming Video Large Language Models via Hierarchical Token Compression", arXiv 2512.00891, §3.4
(`paper`), and the variant that its authors' release computes (`released`, for parity only).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from stc_ros.settings import Settings


@dataclass(slots=True)
class PrunerState:
    """Mean visual tokens of past frames, newest last, float32 [D] each. A new value forgets everything."""

    means: deque = field(default_factory=deque)
    total: torch.Tensor | None = None       # `released`: sum of all means so far (its history has no end) ...
    count: int = 0                          # ... and how many they were


def budget(tokens: int, prune_ratio: float) -> int:
    """How many of a frame's `tokens` are kept: what `prune_ratio` leaves, rounded, and at least one."""
    return max(1, round(tokens * (1 - prune_ratio)))


def prune(state: PrunerState, tokens: torch.Tensor, settings: Settings) -> torch.Tensor:
    """Choose among one frame's visual tokens [n, D] -> indices of those kept, int64 [b], ascending (raster order).

    Updates `state`. With pruner `off` or prune_ratio 0 every token is kept.
    """
    keep = budget(len(tokens), settings.prune_ratio)
    if settings.pruner == 'off':
        return torch.arange(len(tokens), device=tokens.device)
    novelty = SCORES[settings.pruner](state, tokens.float(), settings)
    return novelty.topk(keep).indices.sort().values


def novelty_paper(state: PrunerState, tokens: torch.Tensor, settings: Settings) -> torch.Tensor:
    """Novelty [n] of tokens [n, D]: alpha (1 - cos(z, a_t)) + (1 - alpha) (1 - cos(z, a_s)).

    a_s is the mean of the frame, a_t the mean of the last `novelty_history` frames' means without the present one; the
    first frame has no past, so only space counts.
    """
    mean = tokens.mean(0)
    novelty = 1 - F.cosine_similarity(tokens, mean, dim=-1)
    if state.means:
        past = torch.stack(tuple(state.means)).mean(0)
        alpha = settings.novelty_balance
        novelty = alpha * (1 - F.cosine_similarity(tokens, past, dim=-1)) + (1 - alpha) * novelty
    state.means.append(mean)
    while len(state.means) > settings.novelty_history:
        state.means.popleft()
    return novelty


def novelty_released(state: PrunerState, tokens: torch.Tensor, settings: Settings) -> torch.Tensor:
    """Novelty [n] of tokens [n, D] as the authors' release scores it, its misaligned memory included.

    Only the half of the channels that vary least in this frame count, in order of their variance, so that a slot of the
    history means another channel in every frame. Novelty is minus the sum of five Gaussian similarities to the frame's
    mean and to the mean of all history, the present frame included.
    """
    channels = tokens.var(0, unbiased=False).argsort()[:tokens.shape[1] // 2]
    y = tokens[:, channels]
    mean = y.mean(0)
    state.total = mean if state.total is None else state.total + mean
    state.count += 1
    y = F.normalize(y, dim=-1)
    return -gaussians(y, F.normalize(state.total / state.count, dim=-1)) - gaussians(y, y.mean(0))


def gaussians(y: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
    """Sum over p = -3..1 of exp(-|y - c|^2 / (2 * 2^p)), for y [n, C] and c [C] -> [n] in (0, 5]."""
    distance = (y - center).square().sum(-1, keepdim=True)
    width = 2.0 ** torch.arange(-3, 2, device=y.device)
    return torch.exp(-distance / (2 * width)).sum(-1)


SCORES = {'paper': novelty_paper, 'released': novelty_released}
