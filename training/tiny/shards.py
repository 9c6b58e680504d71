"""Clips on disk, in shards, with the tower's features: written by one process while another trains on them.

Shard s is the same whenever it is made, so a killed run goes on where it was.
"""

import os
import time
from pathlib import Path

import numpy as np
import torch

from stc_ros.parent_watchdog import end_with_parent
from stc_ros.synthetic import PROFILES
from stc_ros.synthetic.seeds import TRAIN, TUNE
from training.tiny.clips import make_clip
from training.tiny.feature_extractor import FeatureExtractor
from training.tiny.tokenizer import Coder

CLIPS = 32  # in a shard
AHEAD = 10  # shards that may wait unused
BEHIND = 150  # shards that stay after their use, for a run that is started again
PATIENCE = 600.0  # seconds
CLIP_SEEDS = TRAIN.start + 500_000_000  # the tower's own stage used the seeds from TRAIN.start on


def frames_of(shard: int) -> int:
    """How many frames the clips of a shard have: short ones first, then up to a whole window."""
    if shard < 20:
        return 6
    if shard < 60:
        return (6, 8, 10, 12)[shard % 4]
    if shard < 130:
        return (8, 16, 12, 20)[shard % 4]
    return (12, 24, 32, 16, 32)[shard % 5]


def build_shard(extractor: FeatureExtractor, first_seed: int, count: int, frames: int) -> dict[str, torch.Tensor]:
    """`count` clips of all profiles in turn: what `make_clip` returns, and `features` and `late`.

    Both bfloat16 [count, T, TOKENS, D]: as the plain tower sees, and as a stream does that reuses features.
    """
    coder = Coder()
    rows, features, late = [], [], []
    for i in range(count):
        pixels, arrays = make_clip(PROFILES[i % len(PROFILES)], first_seed + i, frames, coder)
        rows.append(arrays)
        features.append(extractor.see(pixels))
        late.append(extractor.see_late(pixels))
    out = {key: torch.from_numpy(np.stack([row[key] for row in rows])) for key in rows[0]}
    return out | {'features': torch.stack(features), 'late': torch.stack(late)}


def path_of(folder: Path, shard: int) -> Path:
    return folder / f'clips-{shard:06d}.pt'


def write_shards(model, folder: Path, device: str, begin: int = 0) -> None:
    """Writes shards from `begin` on, in a process of its own, while the trainer lives that made it.

    At most AHEAD of the number that it notes in FOLDER/used.
    """
    end_with_parent()
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    extractor = FeatureExtractor(model, device)
    shard = max(first_shard(folder), begin)
    while True:
        if path_of(folder, shard).exists():
            shard += 1
            continue
        used = int((folder / 'used').read_text() or 0)
        if shard > used + AHEAD:
            path_of(folder, used - BEHIND).unlink(missing_ok=True)
            time.sleep(1)
            continue
        save_shard(build_shard(extractor, CLIP_SEEDS + shard * CLIPS, CLIPS, frames_of(shard)), path_of(folder, shard))
        shard += 1


def first_shard(folder: Path) -> int:
    """The lowest number of a shard in the folder, 0 when there is none."""
    return min((int(path.stem[6:]) for path in folder.glob('clips-*.pt')), default=0)


def save_shard(shard: dict, path: Path) -> None:
    part = path.with_suffix('.part')
    torch.save(shard, part)
    os.replace(part, path)


def load_shard(folder: Path, shard: int) -> dict[str, torch.Tensor]:
    """A shard, mapped from disk; waits until it is there. Raises RuntimeError when none comes for PATIENCE seconds."""
    waited = time.monotonic()
    while not path_of(folder, shard).exists():
        if time.monotonic() - waited > PATIENCE:
            raise RuntimeError(f'{path_of(folder, shard)} was not made: the maker of clips ended; start again')
        time.sleep(0.2)
    return torch.load(path_of(folder, shard), mmap=True, weights_only=True)


def tune_shard(model, folder: Path, frames: int, count: int, device: str) -> dict[str, torch.Tensor]:
    """Clips of the tuning seeds, made once and kept."""
    path = folder / f'tuning-{frames}-{count}.pt'
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        save_shard(build_shard(FeatureExtractor(model, device), TUNE.start + frames * 1000, count, frames), path)
    return torch.load(path, weights_only=True)
