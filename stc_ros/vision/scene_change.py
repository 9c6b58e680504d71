"""Tells a cut from motion: how much of a picture's structure the last picture does not explain."""

from __future__ import annotations

import torch
import torch.nn.functional as F

THUMBNAIL = 16  # pixels a side: coarse enough that motion and shake hardly move it
NOISE = 4.0  # grey levels of contrast below which a picture counts as empty


def thumbnail(image: torch.Tensor) -> torch.Tensor:
    """uint8 [1, 3, h, w] -> float32 grey [16, 16], its mean removed so that exposure does not count."""
    grey = F.adaptive_avg_pool2d(image.float(), THUMBNAIL).mean((0, 1))
    return grey - grey.mean()


def is_cut(thumb: torch.Tensor, last: torch.Tensor | None, scene_change: float) -> bool:
    """Whether a frame's thumbnail shows another scene than the `last` one's; None is the first frame's."""
    return last is not None and difference(thumb, last) > scene_change


def difference(thumb: torch.Tensor, last: torch.Tensor) -> float:
    """Share of the two thumbnails' contrast that is not common to both: 0 the same, about 1 unrelated pictures."""
    contrast = thumb.square().mean() + last.square().mean() + 2 * NOISE**2
    return float((thumb - last).square().mean() / contrast)
