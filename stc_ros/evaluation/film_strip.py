"""What led to a question: frames of the seconds before it, small, with what STC did to each.

A frame a second is drawn as it comes, since nothing says which ones a question will need; the few that one does are
written when it is asked.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stc_ros.engine.events import FrameProcessed
from stc_ros.evaluation.thumbnails import FOLDER, file_stem, smaller, to_jpeg
from stc_ros.io import overlay

BEFORE_S = (8.0, 4.0, 2.0, 1.0)  # s before the newest frame; where there is none, the nearest one counts
EVERY_NS = 1_000_000_000  # of the stream, between two that are drawn
SIZE, QUALITY = 240, 60  # px of the longest side


class FilmStrip:
    """Of each camera, the frames of the last seconds. folder: of a result, in which pictures have their own."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._drawn: dict[str, deque[tuple[int, bytes]]] = {}  # (stamp, JPEG), the oldest first

    def see(self, camera: str, event: FrameProcessed) -> None:
        """Draw a frame if it is its turn."""
        drawn = self._drawn.setdefault(camera, deque(maxlen=round(max(BEFORE_S)) + 2))
        stamp = event.report.stamp
        if not drawn or stamp - drawn[-1][0] >= EVERY_NS:
            picture = Image.fromarray(event.frame.picture.array(SIZE))
            picture = smaller(picture, SIZE / max(picture.size))
            drawn.append((stamp, to_jpeg(overlay.compose(np.asarray(picture), event.report, 1), QUALITY)))

    def save(self, camera: str, newest: int) -> list[dict[str, Any]]:
        """Write what was seen before the frame of stamp `newest` -> stamp and path of each, the oldest first."""
        earlier = [each for each in self._drawn.get(camera, ()) if each[0] < newest]
        chosen = {min(earlier, key=lambda each: abs(newest - back * 1e9 - each[0])) for back in BEFORE_S if earlier}
        found = []
        for stamp, jpeg in sorted(chosen):
            path = f'{FOLDER}/{file_stem(f"{camera}-{stamp}")}.jpg'
            (self._folder / path).write_bytes(jpeg)
            found.append({'stamp': stamp, 'overlay': path})
        return found

    def state(self) -> Any:
        """What `restore` takes."""
        return {camera: list(drawn) for camera, drawn in self._drawn.items()}

    def restore(self, state: Any) -> None:
        self._drawn = {camera: deque(drawn, round(max(BEFORE_S)) + 2) for camera, drawn in state.items()}
