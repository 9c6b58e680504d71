"""Real camera video behind the objects of a world: at any moment a crop of a clip that plays on as the world does.

    backdrop = Backdrop(['cars.mp4', 'people.mp4'], part=EVALUATED)
    clip = record('busy', 7, frames=16, size=196, backdrop=backdrop)

Where the crop lies, how large it is, whether it is mirrored, stands or drifts, when it begins and how bright it is are
drawn by the scene's seed, so that a new scene has another one. The objects and the truth about them stay the same.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from stc_ros.io.video import Video, VideoError
from stc_ros.synthetic.render import UNIT

WIDTH = 384  # pixels of the longest side, as clips are held in memory
RATE = 8.0  # frames of a world in a second
LEARNED, EVALUATED = (0.0, 0.7), (0.75, 1.0)  # parts of a clip's length: what a model learns from, and what not
SIDES = (0.5, 0.9)  # of the square that is shown, as a share of the clip's height
DRIFTING = 0.5  # of the crops move
DRIFT = 0.4  # fastest drift, units a frame: slower than any object moves
LIGHT = (0.45, 0.7)  # of the video's own: a white wall at full light would hide a white object
CLIPS = Path(__file__).parents[3] / 'shared' / 'clips'  # beside the repository, where there are any


@dataclass(frozen=True, slots=True)
class View:
    """A crop: which clip from which of its frames on, its side in pixels, its corner, and how that moves in a frame."""

    clip: int
    start: float
    side: float
    x: float
    y: float
    drift: tuple[float, float]
    mirrored: bool
    light: float


class Backdrop:
    """Crops of video files. Each is decoded once, when it is first needed, and held as uint8.

    part: which part of each file's length may be seen, two shares. Raises `VideoError` for a file that cannot be read,
    and `ValueError` when there is none.
    """

    def __init__(self, files: list[str | Path], part: tuple[float, float] = (0.0, 1.0)):
        if not files:
            raise ValueError('a backdrop needs at least one video')
        if missing := [str(f) for f in files if not Path(f).is_file()]:
            raise VideoError(f'there is no video {missing[0]}')
        self.files, self.part = tuple(map(str, files)), part

    def crop(self, seed: int, frame: int, camera_x: float, camera_y: float, size: int) -> np.ndarray:
        """What a camera shifted by camera_x, camera_y (units) sees at `frame`: a new float32 [size, size, 3]."""
        view = self._view(seed)
        pictures, rate = decode(self.files[view.clip], self.part)
        picture = pictures[bounce(round(view.start + frame * rate / RATE), len(pictures) - 1)]
        unit = view.side / UNIT  # pixels of the clip
        x = reflect(view.x + unit * (camera_x + view.drift[0] * frame), picture.shape[1] - view.side)
        y = reflect(view.y + unit * (camera_y + view.drift[1] * frame), picture.shape[0] - view.side)
        if view.mirrored:
            picture = picture[:, ::-1]
        return enlarge(picture, x, y, view.side, size) * np.float32(view.light)

    def _view(self, seed: int) -> View:
        draw = random.Random(f'{seed}/backdrop')
        clip = draw.randrange(len(self.files))
        pictures, _ = decode(self.files[clip], self.part)
        height, width = pictures.shape[1:3]
        side = draw.uniform(*SIDES) * min(height, width)
        drift = tuple(draw.uniform(-DRIFT, DRIFT) for _ in range(2))
        return View(
            clip,
            draw.uniform(0, len(pictures)),
            side,
            draw.uniform(0, width - side),
            draw.uniform(0, height - side),
            drift if draw.random() < DRIFTING else (0.0, 0.0),
            draw.random() < 0.5,
            draw.uniform(*LIGHT),
        )


def find_clips() -> tuple[str, ...]:
    """The videos that lie beside the repository; () where there are none."""
    return tuple(sorted(map(str, CLIPS.glob('*.mp4'))))


@lru_cache(maxsize=8)
def decode(file: str, part: tuple[float, float]) -> tuple[np.ndarray, float]:
    """The pictures of that part of a video, uint8 [T, h, w, 3], and how many there are in a second."""
    video = Video(file, WIDTH)
    try:
        pictures = list(video)
    finally:
        video.close()
    first, last = (round(share * len(pictures)) for share in part)
    return np.stack(pictures[first : max(last, first + 1)]), video.rate


def bounce(at: int, last: int) -> int:
    """`at` on a way that goes forth from 0 to `last` and back, again and again."""
    at %= max(2 * last, 1)
    return min(at, 2 * last - at) if last else 0


def reflect(at: float, last: float) -> float:
    """The same for a place."""
    at %= 2 * last
    return min(at, 2 * last - at)


def enlarge(picture: np.ndarray, x: float, y: float, side: float, size: int) -> np.ndarray:
    """A square of `picture` [h, w, 3], its corner at x, y, its side `side` pixels: float32 [size, size, 3]."""
    rows, cols = (
        np.clip(corner + (np.arange(size) + 0.5) * (side / size) - 0.5, 0, edge - 1.001)
        for corner, edge in ((y, picture.shape[0]), (x, picture.shape[1]))
    )
    top, left = rows.astype(int), cols.astype(int)
    down, right = (rows - top).astype(np.float32)[:, None, None], (cols - left).astype(np.float32)[:, None]
    box = picture[top[0] : top[-1] + 2, left[0] : left[-1] + 2].astype(np.float32)
    top, left = top - top[0], left - left[0]
    wide = box[:, left] * (1 - right) + box[:, left + 1] * right
    return wide[top] * (1 - down) + wide[top + 1] * down
