"""Context drift: unchanged patches change their features because other patches changed; a few tell it for all.

A patch's features hang on all the others through attention. On a trained tower this drift is large (cosine .74 within
nine frames of traffic, of patches whose pixels never changed), but it is smooth: what is alike and near drifts alike.
So a few unchanged patches, spread over the picture, are recomputed in every frame and are samples of it. In every layer
the keys and values of the others are moved by what their nearest samples moved, and at the end their features, too. How
far to trust the samples is measured as well: each is foretold from the others, and the gain is the factor at which that
foretelling fits best (cross-validation), less where it fits no better than chance: where patches differ only each for
itself, by their pixels' noise, it falls to nothing.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F

ALIKE = 0.2  # difference of cosine by which a sample counts e times less
NEAR = 0.22  # distance, as a share of the picture's side, at which it counts exp(-1/2) times as much
CHANCE = 0.1  # cosine by which samples that only differ by their pixels' noise foretell each other now and then
ENOUGH = 64  # samples that are followed at most
FEWEST = 8  # samples below which nothing is concluded from them


@dataclass(frozen=True, slots=True)
class Samples:
    """Unchanged patches that are recomputed in a frame, and what each of them tells about the others."""

    at: torch.Tensor  # int64 [s]: which of the k rows that are computed
    rows: torch.Tensor  # int64 [s]: their rows among the T tokens
    weights: torch.Tensor  # [T, s]: each token that is not computed is moved by these shares of their drift
    others: torch.Tensor  # [s, s]: the same for each sample, from all samples but itself


def weigh(features: torch.Tensor, grid: tuple[int, int], first: int, rows: torch.Tensor, at: torch.Tensor) -> Samples:
    """`Samples` at `rows[at]`, of features [T, d] whose patches begin at row `first`; the `rows` [k] are computed."""
    mine = rows[at]
    direction = F.normalize((features - features[first:].mean(0)).float(), dim=-1)
    place = _places(grid, features.device)
    score = direction[first:] @ direction[mine].T / ALIKE
    score -= torch.cdist(place, place[mine - first]).square() / (2 * NEAR**2)  # [P, s]
    among = score[mine - first].fill_diagonal_(-torch.inf).softmax(-1)
    weights = score.new_zeros(len(features), len(mine))
    weights[first:] = score.softmax(-1)
    weights[rows] = 0
    return Samples(at, mine, weights.to(features.dtype), among.to(features.dtype))


def follow(held: torch.Tensor, fresh: torch.Tensor, samples: Samples, parts: int = 1) -> torch.Tensor:
    """Move what is `held` [T, c] of tokens that are not computed, after the `fresh` [k, c] of those that are.

    parts: `held` is so many things side by side, each with a gain of its own. Returns what the samples would hold had
    they not been computed, [s, c].
    """
    was: torch.Tensor = held[samples.rows]
    drift = fresh[samples.at] - was
    said = samples.others @ drift
    a, b = (x.float().reshape(len(x), parts, -1) for x in (said, drift))
    ab, aa, bb = ((x * y).sum((0, 2)).clamp(min=1e-12) for x, y in ((a, b), (a, a), (b, b)))  # [parts]
    explained = ab**2 / (aa * bb)  # squared cosine of what was said and what is
    gain = (ab / aa).clamp(max=1) * explained / (explained + CHANCE**2)
    gain = gain.repeat_interleave(held.shape[1] // parts).to(held.dtype)
    held.addmm_(samples.weights, drift * gain)
    return was + said * gain


@functools.lru_cache(8)
def _places(grid: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Row and column of every patch, float32 [P, 2], the picture's longer side being 1."""
    rows, cols = (torch.arange(n, dtype=torch.float32, device=device) for n in grid)
    return torch.cartesian_prod(rows, cols) / max(grid)
