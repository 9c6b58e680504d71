"""Choosing, among a frame's visual tokens, those that the language model gets to read.

One class per method, one file each; an instance is what the method remembers of one stream. Those of others stand here
to compare with.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from stc_ros.transfer import upload
from stc_ros.vision.encode import FrameFeatures


@dataclass(frozen=True, slots=True)
class Selection:
    """Tokens [b, D] for the language model, and the raster index of each, int64 [b] ascending and unique, on the CPU.

    A method that merges tokens gives a merged one the index of the token that stood for it.
    """

    index: torch.Tensor
    tokens: torch.Tensor


class Pruner:
    """A method of choosing. `select` is called once per frame, in order of time, and knows only frames so far.

    Of the first frame something is kept, and at prune_ratio 0 everything, as it is.

    exact: it keeps as many tokens as `budget` says, no more and no fewer, of every frame. merges: the tokens that it
    gives are means of several.
    """

    exact = True
    merges = False

    def select(self, frame: FrameFeatures, prune_ratio: float) -> Selection:
        raise NotImplementedError

    def reset(self) -> None:
        """Forget the stream; a method that goes by each frame alone has nothing to forget."""


class ScorePruner(Pruner):
    """Keeps the tokens of highest score, as many as `prune_ratio` leaves. late: see `take`."""

    late = False

    def score(self, frame: FrameFeatures) -> torch.Tensor:
        """A frame -> [n], higher for what is to be kept."""
        raise NotImplementedError

    def select(self, frame: FrameFeatures, prune_ratio: float) -> Selection:
        score = self.score(frame)
        order = score.argsort(descending=True, stable=True)  # of equals the first in the raster
        return take(frame, order[: budget(len(score), prune_ratio)], self.late)


def budget(tokens: int, prune_ratio: float) -> int:
    """How many of a frame's `tokens` are kept: what `prune_ratio` leaves, rounded, and at least one."""
    return max(1, round(tokens * (1 - prune_ratio)))


def take(frame: FrameFeatures, index: torch.Tensor, late: bool = False) -> Selection:
    """The tokens at `index` [b] in any order, put into raster order.

    late: only these are projected; for a method that does not need `frame.tokens` itself.
    """
    index = index.cpu().sort().values  # where a GPU is waited for, once in a frame: the count has to be known here
    there = upload(index, frame.features.device)
    return Selection(index, frame.read(there) if late else frame.tokens[there])


def gaussians(y: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
    """Sum over p = -3..1 of exp(-|y - c|^2 / (2 * 2^p)), for y [n, C] and c [C] -> [n] in (0, 5]."""
    distance = (y - center).square().sum(-1, keepdim=True)
    width = 2.0 ** torch.arange(-3, 2, device=y.device)
    return torch.exp(-distance / (2 * width)).sum(-1)
