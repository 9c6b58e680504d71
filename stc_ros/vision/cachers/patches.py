"""Which patches have changed, by their pixels, and in which order the others are samples."""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F

from stc_ros.models.tower import Tower
from stc_ros.vision.cachers.bound import Bound

MOST = 0.6  # share of the patches that are recomputed at most while the error is within its bound, but for
MUCH = 0.3  # those that differ by more than this
FULL_SCALE = 64.0  # root mean square difference of a patch, in grey levels, that counts as similarity 0


def similarity(image: torch.Tensor, last: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """How alike the patches of two uint8 pictures [1, 3, h, w] are, float32 [P] in [0, 1].

    1 - (root mean square difference) / 64 grey levels: 1 is the same to the last bit, 0.85 differs by ten levels.
    """
    height, width = image.shape[2] // grid[0], image.shape[3] // grid[1]
    cut = (image[..., : grid[0] * height, : grid[1] * width], last[..., : grid[0] * height, : grid[1] * width])
    square = (cut[0].float() - cut[1].float()).square().mean(1, keepdim=True)
    return (1 - F.avg_pool2d(square, (height, width)).flatten().sqrt() / FULL_SCALE).clamp(min=0)


def choose_changed(alike: torch.Tensor, bound: Bound, allowed: float) -> torch.Tensor:
    """Which patches have changed, bool [P], by their likeness to what was last computed of them, float32 [P].

    Where no error is `allowed`: all that differ at all.
    """
    if allowed == 0:
        return alike < 1
    differs = 1 - alike
    noise = float(differs.kthvalue(max(1, len(alike) // 4)).values)
    changed = differs > bound.change(noise)
    most = int(MOST * len(alike))
    if bound.effort <= 1 and int(changed.sum()) > most:
        changed &= differs >= min(MUCH, float(differs.topk(most).values[-1]))
    return changed


def pooled_with(changed: torch.Tensor, tower: Tower) -> torch.Tensor:
    """`changed`, bool [P], and with it the patches whose features are pooled into the same visual tokens.

    They often show the edge of what has moved, too little of it to count as changed themselves.
    """
    if tower.pooled is None:
        return changed
    touched = (tower.pooled @ changed.float() > 0).float()  # [n], of visual tokens
    return changed | (touched @ tower.pooled > 0)


def bucket(count: int, patches: int) -> int:
    """`count` rounded up to a multiple of about a twenty-fourth of all, 8, 16, 32, 64 ..., so that shapes repeat."""
    step = 1 << max(3, round(math.log2(patches / 24)))
    return min(patches, math.ceil(count / step) * step)


@functools.lru_cache(8)
def spread_order(grid: tuple[int, int], device: torch.device | str) -> torch.Tensor:
    """The patches, int64 [P], so ordered that any stretch is spread over the picture: by an 8 x 8 ordered dither.

    Source: B. E. Bayer, "An optimum method for two-level rendition of continuous-tone pictures", ICC 1973.
    """
    row, col = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing='ij')
    rank = torch.zeros(grid, dtype=torch.long)
    for bit in (1, 2, 4):
        rank = 4 * rank + 2 * ((row & bit > 0) ^ (col & bit > 0)) + (row & bit > 0)
    return rank.flatten().argsort(stable=True).to(device)


def replace_patches(old: torch.Tensor, new: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """`old` [1, 3, h, w] with the patches `which` [rows, cols] taken from `new`; pixels beyond the grid stay."""
    height, width = old.shape[2] // which.shape[0], old.shape[3] // which.shape[1]
    mask = which.repeat_interleave(height, 0).repeat_interleave(width, 1)
    mask = F.pad(mask, (0, old.shape[3] - mask.shape[1], 0, old.shape[2] - mask.shape[0]))
    return torch.where(mask, new, old)
