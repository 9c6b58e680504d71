"""Pixels: smooth-edged shapes over muted textures, as a camera with noise and exposure would see them.

All lengths are in units of a 112-pixel frame (`UNIT`), so that a world looks alike at every size.
A shape is a signed distance, evaluated only inside its bounding box and cached per quarter pixel.
"""

from functools import lru_cache

import numpy as np

UNIT = 112  # a frame is this many units wide and high
MARGIN = 24  # units of background beyond each edge, for the camera to move in

COLOURS = {
    'red': (222, 40, 36),
    'green': (44, 176, 52),
    'blue': (40, 72, 232),
    'yellow': (238, 214, 30),
    'purple': (176, 52, 206),
    'cyan': (44, 210, 216),
    'white': (246, 246, 246),
}
SHAPES = ('circle', 'square', 'triangle', 'star', 'diamond', 'cross')
RIM = np.float32(0.55)  # how bright the rim is, a share of the colour
RADII = {'small': 6.6, 'medium': 10.2, 'large': 15.2}

# the reach of each shape, as a multiple of the radius: shapes of one size cover about the same area
_REACH = {'circle': 1.0, 'square': 0.89, 'triangle': 1.36, 'star': 1.36, 'diamond': 1.2, 'cross': 1.1}


def reach(shape: str, radius: float) -> float:
    """Half the side of the box around the shape, units."""
    return _REACH[shape] * radius


def _distance(shape: str, x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    """Signed distance (negative inside) from points to the edge of a shape of reach `r` centred on 0; y is down."""
    ax, ay = np.abs(x), np.abs(y)
    if shape == 'circle':
        return np.hypot(x, y) - r
    if shape == 'square':
        return np.maximum(ax, ay) - r
    if shape == 'diamond':
        return (ax + ay - r) * np.sqrt(0.5)
    if shape == 'cross':
        arm = 0.36 * r
        return np.minimum(np.maximum(ax - r, ay - arm), np.maximum(ax - arm, ay - r))
    if shape == 'triangle':  # equilateral, point up, centred on its middle height
        low = y - 0.75 * r
        slope = (ax * 1.5 - (y + 0.75 * r) * 0.866) / np.hypot(1.5, 0.866)
        return np.maximum(low, slope)
    # star: fold the plane into one of the ten mirrored sectors of 36 degrees, where its edge is one straight line
    angle = np.arctan2(x, -y)
    angle = np.abs((angle + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
    radius = np.hypot(x, y)
    u, v = radius * np.cos(angle), radius * np.sin(angle)
    inner_u, inner_v = 0.45 * r * np.cos(np.pi / 5), 0.45 * r * np.sin(np.pi / 5)
    along_u, along_v = inner_u - r, inner_v
    return ((u - r) * along_v - v * along_u) / np.hypot(along_u, along_v)


@lru_cache(maxsize=20_000)
def stamp(shape: str, radius: float, quarter_x: int, quarter_y: int, scale: float):
    """A shape whose centre lies a number of quarters of a pixel past the middle pixel.

    Returns what it lets through float32 [n, n, 1] in 0..1, its ink float32 [n, n, 1] in 0..1 (darker at the rim,
    so that two objects of one colour stay apart), solid bool [n, n] and the number of solid pixels.
    """
    r = reach(shape, radius) * scale
    half = int(np.ceil(r)) + 1
    axis = np.arange(-half, half + 1, dtype=np.float32)
    x, y = np.meshgrid(axis - quarter_x / 4, axis - quarter_y / 4)
    distance = _distance(shape, x, y, r)
    cover = np.clip(0.5 - distance, 0.0, 1.0).astype(np.float32)
    inner = np.clip(0.5 - distance - 0.9 * scale, 0.0, 1.0).astype(np.float32)
    solid = cover > 0.5
    ink = cover * RIM + inner * (1 - RIM)
    return (1 - cover)[:, :, None], ink[:, :, None], solid, int(solid.sum())


def place_stamp(shape: str, radius: float, x: float, y: float, size: int):
    """Where a shape at image position x, y (units) falls on a frame of `size` pixels.

    Returns (rows slice, columns slice, let_through, ink, solid, area); the slices are empty when it lies outside.
    """
    scale = size / UNIT
    quarters_x, quarters_y = round((x * scale - 0.5) * 4), round((y * scale - 0.5) * 4)
    let_through, ink, solid, area = stamp(shape, radius, quarters_x & 3, quarters_y & 3, scale)
    half = solid.shape[0] // 2
    left, top = (quarters_x >> 2) - half, (quarters_y >> 2) - half
    x0, x1 = max(left, 0), max(min(left + 2 * half + 1, size), 0)
    y0, y1 = max(top, 0), max(min(top + 2 * half + 1, size), 0)
    if x1 <= x0 or y1 <= y0:
        return slice(0, 0), slice(0, 0), ink[:0, :0], ink[:0, :0], solid[:0, :0], area
    inside = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    return slice(y0, y1), slice(x0, x1), let_through[inside], ink[inside], solid[inside], area


# ---- background

_KINDS = ('gradient', 'checks', 'stripes', 'blobs', 'blobs')


@lru_cache(maxsize=4)  # large pictures' take hundreds of MB
def texture(seed: int, size: int) -> np.ndarray:
    """A muted background, the same at every size.

    float32 [n, n, 3] in 0..255 with n = size * (112 + 2 * MARGIN) / 112: the frame and MARGIN around it.
    """
    rng = np.random.default_rng((seed, 77))
    n = round(size * (UNIT + 2 * MARGIN) / UNIT)
    axis = ((np.arange(n, dtype=np.float32) + 0.5) * (UNIT / size)).astype(np.float32)  # units
    kind = _KINDS[rng.integers(len(_KINDS))]
    angle, period, phase = rng.uniform(0, np.pi), rng.uniform(9, 30), rng.uniform(0, 40, 2)
    if kind == 'gradient':
        field = np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None]
        field = (field - field.mean()) / (np.abs(field - field.mean()).max())
    elif kind == 'stripes':
        wave = np.sin((np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None]) * (2 * np.pi / period) + phase[0])
        field = np.clip(wave * period / 4, -1, 1)
    elif kind == 'checks':
        across = np.clip(np.sin(axis * (np.pi / period) + phase[0]) * period / 2.5, -1, 1)
        down = np.clip(np.sin(axis * (np.pi / period) + phase[1]) * period / 2.5, -1, 1)
        field = across[None, :] * down[:, None]
    else:
        field = _blobs(rng, axis, int(rng.integers(6, 14)))
    field = field.astype(np.float32) + 0.35 * _blobs(rng, axis, 5) + 0.15 * _blobs(rng, axis, 48)
    base = rng.uniform(62, 128) + rng.uniform(-14, 14, 3)
    tint = rng.uniform(8, 22) + rng.uniform(-7, 7, 3)
    out = base.astype(np.float32) + field[:, :, None] * tint.astype(np.float32)
    out.flags.writeable = False
    return out


def _blobs(rng: np.random.Generator, axis: np.ndarray, knots: int) -> np.ndarray:
    """Smooth noise in about -1..1, [n, n]: random values at knots, blended between them."""
    values = rng.uniform(-1, 1, (knots + 1, knots + 1)).astype(np.float32)
    at = axis / (UNIT + 2 * MARGIN) * knots
    cell = np.minimum(at.astype(np.int64), knots - 1)
    part = at - cell
    part = part * part * (3 - 2 * part)
    weights = np.zeros((axis.size, knots + 1), np.float32)
    rows = np.arange(axis.size)
    weights[rows, cell] = 1 - part
    weights[rows, cell + 1] = part
    return weights @ values @ weights.T


def crop_background(seed: int, camera_x: float, camera_y: float, size: int) -> np.ndarray:
    """The background that a camera shifted by camera_x, camera_y (units) sees: a new float32 [size, size, 3]."""
    full = texture(seed, size)
    scale = size / UNIT
    x = min(max((MARGIN + camera_x) * scale, 0.0), full.shape[1] - size - 1.001)
    y = min(max((MARGIN + camera_y) * scale, 0.0), full.shape[0] - size - 1.001)
    col, row = int(x), int(y)
    fx, fy = np.float32(x - col), np.float32(y - row)
    rows = full[row : row + size + 1, col : col + size + 1]
    if fx or fy:
        wide = rows[:-1] * (1 - fy) + rows[1:] * fy
        return wide[:, :-1] * (1 - fx) + wide[:, 1:] * fx
    return rows[:-1, :-1].copy()


# ---- sensor


@lru_cache(maxsize=1)
def _noise_pool() -> np.ndarray:
    return np.random.default_rng(20).standard_normal(1 << 20, dtype=np.float32)


def expose(light: np.ndarray, gain: float, noise: float, seed: int) -> np.ndarray:
    """Light float32 [S, S, 3] in 0..255 (overwritten) to a uint8 frame: exposure, then sensor noise drawn by `seed`.

    `noise` is the standard deviation on a 112-pixel frame; larger frames get more per pixel, so that
    they look alike once they are made small.
    """
    light *= np.float32(gain)
    if noise:
        pool = _noise_pool()
        if light.size >= pool.size:
            grain = np.resize(np.roll(pool, seed * 2654435761 % pool.size), light.size)
        else:
            start = (seed * 2654435761) % (pool.size - light.size)
            grain = pool[start : start + light.size]
        light += grain.reshape(light.shape) * np.float32(noise * light.shape[0] / UNIT)
    np.clip(light, 0, 255, out=light)
    return (light + np.float32(0.5)).astype(np.uint8)
