"""A picture of what STC did with a frame: recomputed patches tinted, pruned tokens dimmed, both shares below."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image, ImageDraw

TINT = np.array((255, 96, 0), np.float32)  # orange: computed anew
SHORTEST_SIDE = 336  # px: small frames are enlarged so that cells can be told apart
LONGEST_SIDE = 800  # px: large ones are reduced, because the model waits for the picture


def draw(image: np.ndarray, report) -> np.ndarray:
    """image: uint8 [H, W, 3]; report: its `FrameReport` -> uint8 [H', W', 3], the frame with a legend below.

    The model sees the whole frame squeezed into its square, so the grids span the whole frame here.
    """
    picture = Image.fromarray(image)
    scale = min(max(1.0, SHORTEST_SIDE / min(picture.size)), LONGEST_SIDE / max(picture.size))
    width, height = (max(1, round(side * scale)) for side in picture.size)
    canvas = np.asarray(picture.resize((width, height), Image.BILINEAR, reducing_gap=2.0), np.float32)

    kept = np.zeros(report.token_grid, np.float32)
    kept.reshape(-1)[report.kept] = 1.0
    recomputed = np.asarray(report.recomputed, np.float32).reshape(report.grid)
    light = 0.35 + 0.65 * _enlarge(kept, height, width)
    tint = 0.45 * _enlarge(recomputed, height, width)
    canvas = canvas * light[..., None]
    canvas = canvas * (1 - tint[..., None]) + TINT * tint[..., None]
    return _with_legend(canvas.astype(np.uint8), report)


def to_jpeg(image: np.ndarray) -> bytes:
    """uint8 [H, W, 3], RGB -> a JPEG file's bytes."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, 'JPEG', quality=85)
    return file.getvalue()


def _enlarge(cells: np.ndarray, height: int, width: int) -> np.ndarray:
    """float [rows, cols] -> [height, width], each cell a rectangle; the cells may differ in size by a pixel."""
    rows = np.arange(height) * cells.shape[0] // height
    cols = np.arange(width) * cells.shape[1] // width
    return cells[rows[:, None], cols]


def _with_legend(image: np.ndarray, report) -> np.ndarray:
    recomputed = report.patches_recomputed / max(report.patches, 1)
    kept = report.visual_tokens_kept / max(report.visual_tokens, 1)
    reused = '' if math.isnan(report.similarity) else f'; similarity of the rest {report.similarity:.3f}'
    lines = (
        f'orange: recomputed patches, {recomputed:.0%} of {report.patches}' + reused,
        f'bright: kept tokens, {kept:.0%} of {report.visual_tokens}',
    )
    legend = Image.new('RGB', (image.shape[1], 40))
    pen = ImageDraw.Draw(legend)
    pen.text((6, 4), lines[0], fill=tuple(int(channel) for channel in TINT))
    pen.text((6, 22), lines[1], fill='white')
    return np.concatenate((image, np.asarray(legend)))
