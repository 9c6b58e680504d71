"""Synthetic pictures for features.py, five frames a second, each hard for a cacher in its own way:

rest    a fixed camera with sensor noise before an empty scene
static  a fixed camera with sensor noise; somebody comes, stands for eight seconds, and goes
light   exposure and colour temperature drift, a soft shadow crosses the picture; one small mover
camera  the camera shakes always, and pans from one end to the other with rests between
large   things that cover a third of the picture cross it
small   fourteen small things move and rest, each at its own pace

Backgrounds, people and cars are cut out of ../shared/clips, an even seed's out of the room, an odd one's out of the
road; where a clip is missing a texture and discs stand in, and the input's name says so.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

SIZE = 378
CLIPS = Path(__file__).resolve().parents[2] / 'shared' / 'clips'
CLEAR = 22.0  # grey levels from the empty scene above which a pixel belongs to what is cut out


class Sprite(NamedTuple):
    """Something cut out: its light float32 [h, w, 3], and how much it hides, float32 [h, w, 1]."""

    light: np.ndarray
    cover: np.ndarray


class Place(NamedTuple):
    """An empty scene, float32 [432, 768, 3], and what may move in it."""

    empty: np.ndarray
    sprites: tuple[Sprite, ...]
    real: bool


# clip, its empty frame, and what is cut out: frame and box (left, top, right, bottom)
PLACES = (
    ('one-by-one-person-detection', 0, ((150, (370, 0, 540, 405)), (300, (370, 0, 550, 395)))),
    ('car-detection', 0, ((200, (100, 0, 275, 265)), (200, (305, 210, 500, 432)))),
)


def world(name: str, seed: int, size: int = SIZE, clips: Path = CLIPS) -> tuple[Iterator[np.ndarray], str]:
    """Endless frames of a world, uint8 [size, size, 3], the same for the same seed; and what to call them."""
    place = load_place(seed % len(PLACES), clips)
    if not place.real:
        print(
            f'{clips}/{PLACES[seed % len(PLACES)][0]}.mp4 is missing: the world "{name}" is made of a texture and '
            'discs',
            file=sys.stderr,
        )
    return _frames(name, seed, size, place), f'{name} {seed}' + ('' if place.real else ' (texture)')


def _frames(name: str, seed: int, size: int, place: Place) -> Iterator[np.ndarray]:
    draw = WORLDS[name](np.random.default_rng((seed, len(name))), place)
    number = 0
    while True:
        noise = np.random.default_rng((seed, number)).normal(0, 1.5, (SIZE, SIZE, 3)).astype(np.float32)
        light = draw(number) + noise
        yield np.clip(light if size == SIZE else scaled(light, size, size), 0, 255).round().astype(np.uint8)
        number += 1


def rest(rng, place: Place):
    ground = window(place.empty, rng)
    return lambda t: ground


def still(rng, place: Place):
    ground, who = window(place.empty, rng), tall(place.sprites[0], 0.75 * SIZE)
    wide, spot = who.cover.shape[1], rng.integers(60, 200)
    times, across = (0, 8, 20, 60, 72, 95), (-wide, -wide, spot, spot, SIZE, SIZE)

    def draw(t: int) -> np.ndarray:
        return put(ground, who, np.interp(t % 95, times, across), 0.2 * SIZE)

    return draw


def light(rng, place: Place):
    ground, who = window(place.empty, rng), tall(place.sprites[0], 0.3 * SIZE)
    phase = rng.uniform(0, 2 * np.pi, 2)
    diagonal = (np.arange(SIZE) + 0.6 * np.arange(SIZE)[:, None])[..., None].astype(np.float32)

    def draw(t: int) -> np.ndarray:
        gain = 1 + 0.22 * np.sin(2 * np.pi * t / 150 + phase[0])
        warm = 0.08 * np.sin(2 * np.pi * t / 210 + phase[1])
        shade = 1 - 0.45 * np.exp(-(((diagonal - (12.0 * t % 1200 - 200)) / 90) ** 2))
        picture = put(ground, who, (3 * t) % (SIZE + 150) - 150, 0.6 * SIZE)
        return picture * shade * (gain * np.array((1 + warm, 1, 1 - warm))).astype(np.float32)

    return draw


def camera(rng, place: Place):
    ground = scaled(place.empty, 540, 960)
    for sprite, left in zip(place.sprites, (230, 560)):
        ground = put(ground, tall(sprite, 290), left, 120)
    phase, jolts = rng.uniform(0, 2 * np.pi, 2), rng.normal(0, 0.8, (4096, 2))
    picture = torch.from_numpy(ground).permute(2, 0, 1)[None]

    def draw(t: int) -> np.ndarray:
        swing = np.clip(1.4 * np.sin(2 * np.pi * t / np.array((120, 190)) + phase), -1, 1)
        x, y = np.array((480, 270)) + swing * (280, 75) + jolts[t % len(jolts)]
        return cut(picture, x, y)

    return draw


def large(rng, place: Place):
    ground = window(place.empty, rng)
    movers = [tall(s, s.cover.shape[0] * (SIZE**2 / 3 / s.cover.sum()) ** 0.5) for s in place.sprites]
    pace = int(rng.integers(20, 30))
    turn = (SIZE + max(m.cover.shape[1] for m in movers)) // pace + 8  # frames, eight of them of rest

    def draw(t: int) -> np.ndarray:
        count, part = divmod(t + 3, turn)
        mover = movers[count % len(movers)]
        x = part * pace - mover.cover.shape[1]
        return put(ground, mover, SIZE - mover.cover.shape[1] - x if count % 2 else x, SIZE - mover.cover.shape[0])

    return draw


def small(rng, place: Place):
    ground = window(place.empty, rng)
    movers = [tall(place.sprites[i % len(place.sprites)], rng.uniform(36, 60)) for i in range(14)]
    start, speed = rng.uniform(0, SIZE, (14, 2)), rng.uniform(2, 9, 14)[:, None]
    angle, period = rng.uniform(0, 2 * np.pi, 14), rng.uniform(15, 45, 14)
    step = speed * np.stack((np.cos(angle), np.sin(angle)), 1)

    def draw(t: int) -> np.ndarray:
        picture = ground
        turns, part = np.divmod(t + start[:, 0], period)
        walked = (turns * 0.6 * period + np.minimum(part, 0.6 * period))[:, None]  # of each period it rests .4
        for mover, at in zip(movers, np.abs((start + step * walked) % (2 * SIZE) - SIZE)):
            picture = put(picture, mover, at[0] - 20, at[1] - 20)
        return picture

    return draw


WORLDS = {'rest': rest, 'static': still, 'light': light, 'camera': camera, 'large': large, 'small': small}


@lru_cache(2)
def load_place(number: int, clips: Path) -> Place:
    """The room (0) or the road (1), cut out of its clip; a stand-in where there is none."""
    name, bare, boxes = PLACES[number]
    file = clips / f'{name}.mp4'
    if not file.is_file():
        return stand_in(number)
    from stc_ros.io.video import Video

    wanted = {bare, *(at for at, _ in boxes)}
    frames = zip(range(max(wanted) + 1), Video(str(file)))
    shown = {at: frame.astype(np.float32) for at, frame in frames if at in wanted}
    sprites = tuple(cut_out(shown[at], shown[bare], box) for at, box in boxes)
    return Place(shown[bare], sprites, True)


def cut_out(frame: np.ndarray, empty: np.ndarray, box: tuple[int, int, int, int]) -> Sprite:
    """What stands in the box of a frame, by its difference from the empty scene; small holes are closed."""
    left, top, right, bottom = box
    piece = frame[top:bottom, left:right]
    clear = np.abs(piece - empty[top:bottom, left:right]).max(-1) > CLEAR
    cover = torch.from_numpy(clear.astype(np.float32))[None, None]
    cover = -F.max_pool2d(-F.max_pool2d(cover, 15, 1, 7), 15, 1, 7)
    cover = -F.max_pool2d(-cover, 3, 1, 1)  # the rim shows the old background
    return Sprite(piece, F.avg_pool2d(cover, 3, 1, 1)[0, 0, :, :, None].numpy())


def stand_in(number: int) -> Place:
    from stc_ros.synthetic.render import COLOURS, texture

    disc = np.hypot(*np.meshgrid(np.linspace(-1, 1, 200), np.linspace(-1, 1, 200)))[..., None]
    rim = np.clip(50 * (1 - disc), 0, 1).astype(np.float32)
    stripes = 0.7 + 0.3 * np.sin(40 * disc).astype(np.float32)
    sprites = (Sprite(stripes * np.array(COLOURS[c], np.float32), rim) for c in ('red', 'blue'))
    return Place(texture(number, 540)[:432, :768], tuple(sprites), False)


def window(empty: np.ndarray, rng) -> np.ndarray:
    """A square of the scene, float32 [SIZE, SIZE, 3]."""
    side = empty.shape[0]
    left = int(rng.integers(0, empty.shape[1] - side))
    return scaled(empty[:, left : left + side], SIZE, SIZE)


def scaled(array: np.ndarray, height: int, width: int) -> np.ndarray:
    x = torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)[None]
    x = F.interpolate(x, (height, width), mode='bilinear', antialias=True)
    return np.ascontiguousarray(x[0].permute(1, 2, 0).numpy())


def tall(sprite: Sprite, height: float) -> Sprite:
    """The sprite at another height, its aspect kept."""
    rows, cols = sprite.cover.shape[:2]
    size = max(1, round(height)), max(1, round(height * cols / rows))
    return Sprite(scaled(sprite.light, *size), scaled(sprite.cover, *size))


def put(ground: np.ndarray, sprite: Sprite, x: float, y: float) -> np.ndarray:
    """A copy of `ground` [h, w, 3] with the sprite's upper left corner at x, y; what lies outside is cut off."""
    picture, left, top = ground.copy(), round(float(x)), round(float(y))
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + sprite.cover.shape[1], ground.shape[1]), min(top + sprite.cover.shape[0], ground.shape[0])
    if x0 < x1 and y0 < y1:
        inside = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
        cover = sprite.cover[inside]
        picture[y0:y1, x0:x1] = picture[y0:y1, x0:x1] * (1 - cover) + sprite.light[inside] * cover
    return picture


def cut(picture: torch.Tensor, x: float, y: float) -> np.ndarray:
    """SIZE x SIZE pixels of `picture` [1, 3, h, w] around x, y, between pixels too."""
    height, width = picture.shape[2:]
    axis = torch.arange(SIZE, dtype=torch.float32) - (SIZE - 1) / 2
    across, down = (axis + float(x)) * 2 / (width - 1) - 1, (axis + float(y)) * 2 / (height - 1) - 1
    at = torch.stack(torch.meshgrid(down, across, indexing='ij')[::-1], -1)[None]
    crop = F.grid_sample(picture, at, mode='bilinear', padding_mode='border', align_corners=True)
    return crop[0].permute(1, 2, 0).numpy()
