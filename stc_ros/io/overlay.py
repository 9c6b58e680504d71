"""A picture of what STC did with a frame: recomputed patches outlined, tokens that were not sent in dim grey, a legend.

Drawn with Pillow at the frame's own size, because the model waits for it: 768 x 432 takes about 7 ms of a CPU core.
"""

from __future__ import annotations

import functools
import io
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SHORTEST_SIDE = 336  # px: smaller frames are enlarged, so that cells can be told apart
LONGEST_SIDE = 1280  # px: larger ones are reduced

RECOMPUTED = (255, 150, 40)  # amber: stands out from grey, and from most of what cameras show
SENT = (236, 240, 244)
PAPER, TRACK, DETAIL = (19, 22, 27), (52, 58, 66), (152, 160, 170)  # the legend's ground, gauges, small print
LINE = 0.9  # how opaque an outline is
TINT = 0.12  # of the amber over a recomputed patch
DIM = 0.55  # light of what was not sent to the language model
DIM_GREY = (0.299 * DIM, 0.587 * DIM, 0.114 * DIM, 0.0)
FEATHER = 6  # a cell's edge is soft over this part of it


def draw(image: np.ndarray, report) -> np.ndarray:
    """image: uint8 RGB [H, W, 3]; report: its `FrameReport` -> uint8 [H', W', 3], the frame with a legend below."""
    return np.asarray(compose(image, report))


def compose(image: np.ndarray, report, shortest: int = SHORTEST_SIDE) -> Image.Image:
    """`draw`, as Pillow's picture: what becomes a JPEG next needs no array. shortest: px, smaller frames are enlarged.

    The model sees the whole frame squeezed into its square, so the grids span the whole frame here.
    """
    picture = Image.fromarray(image)
    scale = min(max(1.0, shortest / min(picture.size)), LONGEST_SIDE / max(picture.size))
    if scale != 1.0:
        size = tuple(max(1, round(side * scale)) for side in picture.size)
        picture = picture.resize(size, Image.BILINEAR, reducing_gap=2.0)
    kept = np.zeros(report.token_grid, np.float32)
    kept.reshape(-1)[report.kept] = 1.0
    recomputed = np.asarray(report.recomputed, np.float32).reshape(report.grid)

    legend = _legend(picture.width, report)
    canvas = Image.new('RGB', (picture.width, picture.height + legend.height))
    known = recomputed.size > 0  # of a frame that another process told of, only how many is known
    canvas.paste(picture.convert('L', DIM_GREY) if known else picture)
    if len(report.kept):
        canvas.paste(picture, (0, 0), _soft(kept, picture.size))
    if recomputed.any():
        canvas.paste(RECOMPUTED, (0, 0), _outline(recomputed, picture.size))
    canvas.paste(legend, (0, picture.height))
    return canvas


def to_jpeg(image: np.ndarray) -> bytes:
    """uint8 [H, W, 3], RGB -> a JPEG file's bytes."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, 'JPEG', quality=88)
    return file.getvalue()


def _soft(cells: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """float [rows, cols], 0 to 1 -> mask of `size` (width, height): flat cells with soft edges."""
    fine = np.repeat(np.repeat((cells * 255).astype(np.uint8), FEATHER, 0), FEATHER, 1)
    lines = Image.fromarray(fine).resize((size[0], 2 * len(fine)), Image.BILINEAR)
    return lines.resize(size, Image.NEAREST)


def _outline(cells: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """float [rows, cols], shares recomputed -> mask of `size`: a tint inside, a line where neighbours differ."""
    framed = np.pad(cells, 1)
    across, down = (np.abs(np.diff(framed, axis=axis)) for axis in (1, 0))
    parts = np.repeat(np.repeat(TINT * cells, 3, 0), 3, 1)  # each cell: its first edge, its middle, its last edge
    for first, last in ((0, -1), (2, None)):  # the step over the edge before a cell, over the one behind it
        upright = np.repeat(across[1:-1, first // 2 : last], 3, 0)
        level = np.repeat(down[first // 2 : last, 1:-1], 3, 1)
        parts[:, first::3] = np.maximum(parts[:, first::3], upright)
        parts[first::3] = np.maximum(parts[first::3], level)
    mask = (LINE * 255 * parts.clip(0, 1)).astype(np.uint8)
    thick = max(1, round(min(size) / 400))  # px on either side of an edge
    x, y = (_parts(count, side, thick) for count, side in zip(cells.shape[::-1], size))
    return Image.fromarray(mask[:, x][y])


def _parts(count: int, side: int, thick: int) -> np.ndarray:
    """Which third of which of `count` cells each of `side` pixels is in, [side]; the outer ones are `thick` px."""
    place = np.arange(side)
    cell = place * count // side
    edges = -(-np.arange(count + 1) * side // count)
    return 3 * cell + np.where(place - edges[cell] < thick, 0, np.where(edges[cell + 1] - place <= thick, 2, 1))


def _legend(width: int, report) -> Image.Image:
    """Two gauges side by side: what was recomputed, what was sent to the language model."""
    size, (left, right) = _text_size(width), _columns(width)
    legend = _ground(width).copy()
    pen, big, small = ImageDraw.Draw(legend), _font(size), _font(max(size * 4 // 5, 11))
    shares = (
        report.patches_recomputed / max(report.patches, 1),
        report.visual_tokens_kept / max(report.visual_tokens, 1),
    )
    outlined = f'outlined: {report.patches_recomputed:.0f} of {report.patches}'
    whole = report.patches_recomputed == report.patches or math.isnan(report.similarity)
    similar = '' if whole else f'; others reused, similarity {report.similarity:.3f}'
    coloured = f'in colour: {report.visual_tokens_kept} of {report.visual_tokens}'
    details = (outlined + similar, outlined), (coloured + '; grey: pruned', coloured)
    for (begin, end), colour, share, texts in zip((left, right), (RECOMPUTED, SENT), shares, details):
        pen.text((end, 0.55 * size), f'{share:.0%}', fill=colour, font=big, anchor='ra')
        if share:
            pen.rectangle((begin, 2.05 * size, begin + share * (end - begin), 2.4 * size), fill=colour)
        pen.text((begin, 2.75 * size), _fitting(texts, small, end - begin), fill=DETAIL, font=small)
    return legend


@functools.lru_cache(8)
def _ground(width: int) -> Image.Image:
    """What is the same in every legend of that width."""
    size = _text_size(width)
    ground = Image.new('RGB', (width, round(4.3 * size)), PAPER)
    pen, font = ImageDraw.Draw(ground), _font(size)
    names = ('patches recomputed', 'recomputed'), ('tokens sent to the language model', 'tokens sent')
    for (begin, end), texts in zip(_columns(width), names):
        pen.text((begin, 0.55 * size), _fitting(texts, font, end - begin - 3 * size), fill=SENT, font=font)
        pen.rectangle((begin, 2.05 * size, end, 2.4 * size), fill=TRACK)
    return ground


def _text_size(width: int) -> int:
    """Height of the text, px."""
    return min(max(width // 46, 12), 22)


def _columns(width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where the two gauges begin and end, px."""
    margin = min(_text_size(width), width // 4)
    half = (width - margin) // 2
    return (margin, half), (half + margin, width - margin)


def _fitting(texts: tuple[str, ...], font, room: float) -> str:
    """The first text that is no wider than `room` px, or the last."""
    return next((text for text in texts if font.getlength(text) <= room), texts[-1])


@functools.lru_cache
def _font(size: int):
    try:  # without ligatures: half of the time
        return ImageFont.load_default(size).font_variant(layout_engine=ImageFont.Layout.BASIC)
    except (TypeError, AttributeError):  # Pillow before 10.1 has a bitmap font of one size
        return ImageFont.load_default()
