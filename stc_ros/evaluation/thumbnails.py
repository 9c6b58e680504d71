"""The pictures of a question: the frame it was asked about, and the same with what STC did to it."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from stc_ros.io import overlay
from stc_ros.report import FrameReport

FOLDER = 'frames'
WIDTH = 320  # px of a thumbnail
SHORTEST_SIDE = overlay.SHORTEST_SIDE  # px of what an overlay is drawn on: its legend stays legible


def save_pictures(folder: Path, name: str, picture: np.ndarray, report: FrameReport) -> tuple[str, str]:
    """Write thumbnail and overlay as JPEG files under `folder`; -> their paths, relative to it.

    name: unlike all others in that folder, such as a question's id; picture: uint8 RGB [H, W, 3]; report: its own.
    """
    stem = file_stem(name)
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    frame = Image.fromarray(picture)
    drawn = overlay.draw(np.asarray(smaller(frame, SHORTEST_SIDE / min(frame.size))), report)
    paths = f'{FOLDER}/{stem}.jpg', f'{FOLDER}/{stem}-overlay.jpg'
    for path, image, quality in zip(paths, (smaller(frame, WIDTH / frame.width), Image.fromarray(drawn)), (72, 66)):
        (folder / path).write_bytes(to_jpeg(image, quality))
    return paths


def file_stem(name: str) -> str:
    """A file name that every system takes; names that differ stay different."""
    plain = re.sub(r'[^A-Za-z0-9_-]+', '_', name)[:60]
    return plain if plain == name else f'{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}'


def to_jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.convert('RGB').save(file, 'JPEG', quality=quality, optimize=True)
    return file.getvalue()


def smaller(image: Image.Image, scale: float) -> Image.Image:
    """By a scale; as it is where that is 1 or more."""
    if scale >= 1:
        return image
    size = tuple(max(1, round(side * scale)) for side in image.size)
    return image.resize(size, Image.LANCZOS, reducing_gap=3.0)
