"""Choosing, among a frame's visual tokens, those that the language model gets to read.

One class per method; an instance is what the method remembers of one stream. STC-Pruner ("Accelerating Streaming Video
Large Language Models via Hierarchical Token Compression", arXiv 2512.00891, §3.4) is `Paper`, and `Released` what its
authors' release computes (for parity only). `stc` is ours, in delta.py. The others are methods of others to compare
with, each in a file of its own.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F

from stc_ros.compression.vision import Sight
from stc_ros.settings import Settings


@dataclass(frozen=True, slots=True)
class Selection:
    """Tokens [b, D] for the language model, and the raster index of each, int64 [b] ascending and unique.

    A method that merges tokens gives a merged one the index of the token that stood for it.
    """

    index: torch.Tensor
    tokens: torch.Tensor


class Pruner(Protocol):
    """A method of choosing. `select` is called once per frame, in order of time, and knows only frames so far."""

    def select(self, sight: Sight, settings: Settings) -> Selection: ...


def make_pruner(name: str) -> Pruner:
    """The pruner that a setting names, with an empty memory. Raises `KeyError`."""
    from stc_ros.compression.chance import Random
    from stc_ros.compression.delta import Delta
    from stc_ros.compression.divprune import DivPrune
    from stc_ros.compression.dtd import Dtd
    from stc_ros.compression.fastervlm import FasterVLM
    from stc_ros.compression.pool import Pool
    from stc_ros.compression.tome import ToMe
    from stc_ros.compression.uniform import Uniform
    from stc_ros.compression.vidcom2 import VidCom2
    from stc_ros.compression.visionzip import VisionZip

    return {
        'off': Off,
        'paper': Paper,
        'released': Released,
        'stc': Delta,
        'uniform': Uniform,
        'random': Random,
        'pool': Pool,
        'tome': ToMe,
        'visionzip': VisionZip,
        'vidcom2': VidCom2,
        'divprune': DivPrune,
        'fastervlm': FasterVLM,
        'dtd': Dtd,
    }[name]()


def budget(tokens: int, prune_ratio: float) -> int:
    """How many of a frame's `tokens` are kept: what `prune_ratio` leaves, rounded, and at least one."""
    return max(1, round(tokens * (1 - prune_ratio)))


def take(sight: Sight, index: torch.Tensor) -> Selection:
    """The tokens at `index` [b] in any order, put into raster order."""
    index = index.sort().values
    return Selection(index, sight.read(index))


def take_best(sight: Sight, novelty: torch.Tensor, settings: Settings) -> Selection:
    """The tokens of highest `novelty` [n], as many as `prune_ratio` leaves."""
    order = novelty.argsort(descending=True, stable=True)  # of equals the first in the raster
    return take(sight, order[: budget(len(novelty), settings.prune_ratio)])


class Off:
    """Every token."""

    def select(self, sight: Sight, settings: Settings) -> Selection:
        return Selection(torch.arange(len(sight.tokens), device=sight.tokens.device), sight.tokens)


class Paper:
    """alpha (1 - cos(z, a_t)) + (1 - alpha) (1 - cos(z, a_s)), the highest are kept.

    a_s is the mean of the frame, a_t the mean of the last `novelty_history` frames' means without the present one; the
    first frame has no past, so only space counts.
    """

    def __init__(self):
        self.means: deque[torch.Tensor] = deque()  # float32 [D] each, newest last

    def select(self, sight: Sight, settings: Settings) -> Selection:
        return take_best(sight, self.novelty(sight.tokens.float(), settings), settings)

    def novelty(self, tokens: torch.Tensor, settings: Settings) -> torch.Tensor:
        """Tokens [n, D] -> novelty [n]; the frame joins the past."""
        mean = tokens.mean(0)
        novelty = 1 - F.cosine_similarity(tokens, mean, dim=-1)
        if self.means:
            past = torch.stack(tuple(self.means)).mean(0)
            alpha = settings.novelty_balance
            novelty = alpha * (1 - F.cosine_similarity(tokens, past, dim=-1)) + (1 - alpha) * novelty
        self.means.append(mean)
        while len(self.means) > settings.novelty_history:
            self.means.popleft()
        return novelty


class Released:
    """The authors' release, its misaligned memory included.

    Only the half of the channels that vary least in this frame count, in order of their variance, so that a slot of the
    history means another channel in every frame. Novelty is minus the sum of five Gaussian similarities to the frame's
    mean and to the mean of all history, the present frame included.
    """

    def __init__(self):
        self.total: torch.Tensor | None = None  # sum of all frames' means so far; this history has no end
        self.count = 0

    def select(self, sight: Sight, settings: Settings) -> Selection:
        return take_best(sight, self.novelty(sight.tokens.float()), settings)

    def novelty(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens [n, D] -> novelty [n]; the frame joins the past."""
        channels = tokens.var(0, unbiased=False).argsort()[: tokens.shape[1] // 2]
        y = tokens[:, channels]
        mean = y.mean(0)
        self.total = mean if self.total is None else self.total + mean
        self.count += 1
        y = F.normalize(y, dim=-1)
        return -gaussians(y, F.normalize(self.total / self.count, dim=-1)) - gaussians(y, y.mean(0))


def gaussians(y: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
    """Sum over p = -3..1 of exp(-|y - c|^2 / (2 * 2^p)), for y [n, C] and c [C] -> [n] in (0, 5]."""
    distance = (y - center).square().sum(-1, keepdim=True)
    width = 2.0 ** torch.arange(-3, 2, device=y.device)
    return torch.exp(-distance / (2 * width)).sum(-1)
