"""The frames that questions are about, as JPEG files: what somebody has to see who says what is right."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from tqdm import tqdm

from stc_ros.evaluation.thumbnails import smaller, to_jpeg
from stc_ros.io.bag_files import BagError
from stc_ros.io.image_messages import FrameInvalid

if TYPE_CHECKING:
    from stc_ros.io.bags import Bag, BagFrame

EARLIER_S = (1.0, 2.0, 4.0, 8.0)  # s before the question: what the memory of it may rest on
LARGE, SMALL = 960, 320  # px of the longest side: of the newest frame, of the earlier ones
QUALITY = 85


def save_frames(bag: Bag, wanted: Iterable[tuple[str, int]], folder: Path) -> dict[tuple[str, int, float], Path]:
    """Of each (topic, stamp in ns) the newest frame up to it, and those EARLIER_S before -> files.

    By (topic, stamp, s before it); what lies before a topic's first frame is missing. Reads the bag once, up to the
    last stamp; where it cannot be read on, that is said on stderr.
    """
    waiting: dict[str, list[tuple[int, int, float]]] = defaultdict(list)  # (moment, stamp, s before)
    for topic, stamp in wanted:
        for back in (0.0, *EARLIER_S):
            waiting[topic].append((stamp - round(back * 1e9), stamp, back))
    if not waiting:
        return {}
    for each in waiting.values():
        each.sort(reverse=True)
    newest: dict[str, BagFrame] = {}
    found: dict[tuple[str, int, float], Path] = {}
    made: dict[tuple[str, int, int], Path] = {}  # by (topic, stamp of the frame, px): questions share them

    def until(topic: str, moment: int | None) -> None:
        """Save what is wanted before a moment (all of it: None)."""
        while waiting[topic] and (moment is None or waiting[topic][-1][0] < moment):
            _, stamp, back = waiting[topic].pop()
            if topic not in newest:
                continue
            key = topic, newest[topic].stamp, SMALL if back else LARGE
            if key not in made and (path := _save(newest[topic], folder / f'{len(made)}.jpg', key[2])):
                made[key] = path
            if key in made:
                found[topic, stamp, back] = made[key]

    broken = ''
    total = (max(each[0][0] for each in waiting.values()) - bag.start_ns) / 1e9
    with tqdm(total=max(total, 0.0), desc='frames', unit='s', disable=None) as bar:
        try:
            for frame in bag.frames(list(waiting)):
                until(frame.topic, frame.stamp)
                if not any(waiting.values()):
                    break
                if frame.picture is not None:
                    newest[frame.topic] = frame
                bar.update(max(min((frame.stamp - bag.start_ns) / 1e9, bar.total) - bar.n, 0.0))
        except BagError as error:  # what came before it counts
            broken = f'{error}; there are no frames of what comes after it'
    if broken:
        print(broken, file=sys.stderr)
    else:
        for topic in waiting:
            until(topic, None)
    return found


def _save(frame: BagFrame, path: Path, size: int) -> Path | None:
    try:
        image = Image.fromarray(frame.picture.array(size))
    except FrameInvalid:  # of a compressed one that is broken
        return None
    path.write_bytes(to_jpeg(smaller(image, size / max(image.size)), QUALITY))
    return path
