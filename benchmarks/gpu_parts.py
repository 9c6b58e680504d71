"""What gpu.py measures of one model: frames, first tokens, peak memory. Each part ends at a time that it is given."""

from __future__ import annotations

import gc
import itertools
import time

import numpy as np
import torch
from gpu_streams import QUESTION, STAGES, Plan, Seen, Watched, fill, synchronise
from measure import in_turn
from prefill import flops
from tqdm import tqdm

from stc_ros.models.base import VideoModel
from stc_ros.models.memory_needed import MIB, Sizes, reckon
from stc_ros.settings import Settings

OFF = {'cacher': 'none', 'pruner': 'none'}
MODES = {  # plain may wait as long as it likes: what it gains by larger passes is its own
    'plain': OFF,
    'plain, frame by frame': OFF | {'expert.prefill_batch': 0},
    'plain, passes of 1024': OFF | {'expert.prefill_batch': 1024, 'expert.prefill_wait': 10.0},
    'default': {},
    'default, frame by frame': {'expert.prefill_batch': 0},
}
PLAIN = [name for name in MODES if name.startswith('plain')]
KIND = 20  # frames from which on a p99 is taken of them


def release(device: torch.device) -> None:
    """Give back what nobody holds any more of a GPU's memory."""
    if device.type == 'cuda':
        gc.collect()
        torch.cuda.empty_cache()


def measure_frames(
    model: VideoModel, modes: list[str], pictures: list[np.ndarray], plan: Plan, until: float, cameras: int = 1
) -> dict[str, Watched]:
    """Modes in turn on the same frames, each with streams of its own behind windows that are full."""
    watched = {name: Watched.open(model, MODES[name], pictures, plan, cameras) for name in modes}
    now = time.monotonic()
    fill(list(watched.values()), plan, now + (until - now) / 2)
    for number in tqdm(range(-(-plan.frames // cameras)), desc='frames', disable=None, leave=False):
        if time.monotonic() > until:
            break
        for name in in_turn(modes, number):
            watched[name].see()
    for each in watched.values():
        each.pay()
    return watched


def measure_first_tokens(watched: dict[str, Watched], plan: Plan, until: float) -> None:
    """The first round warms up."""
    for number in tqdm(range(plan.asks + 1), desc='questions', disable=None, leave=False):
        if time.monotonic() > until:
            break
        for name in in_turn(watched, number):
            watched[name].ask(keep=number > 0)


def measure_memory(
    model: VideoModel, sizes: Sizes, pictures: list[np.ndarray], plan: Plan, until: float, cameras: int = 1
) -> dict[str, float | None]:
    """MiB at the default settings, by what they are; None where there is no GPU.

    peak: what PyTorch held of the GPU at most, and beside it the context, with kernels and libraries. allocated: the
    tensors of that. needed: as reckoned from the configuration.
    """
    device, dtype = model.device, str(model.dtype).removeprefix('torch.')
    needed = reckon(sizes, Settings(), dtype, device.type, cameras).total / MIB
    release(device)
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
    watched = Watched.open(model, MODES['default'], pictures, plan, cameras)
    fill([watched], plan, until)
    for stream in watched.streams:
        list(stream.ask(QUESTION, 4))
    found = {'needed_mib': round(needed, 1), 'peak_mib': None, 'allocated_mib': None, 'context_mib': None}
    if device.type == 'cuda':
        synchronise(device)
        free, total = torch.cuda.mem_get_info(device)
        context = total - free - torch.cuda.memory_reserved(device)
        found['peak_mib'] = round((torch.cuda.max_memory_reserved(device) + context) / MIB, 1)
        found['allocated_mib'] = round(torch.cuda.max_memory_allocated(device) / MIB, 1)
        found['context_mib'] = round(context / MIB, 1)
    return found


def figures(watched: Watched) -> dict:
    """Of one mode's frames: shares, and milliseconds of `STAGES` together, then by stage, then by the wall clock."""
    frames = watched.frames
    ms = np.array([seen.total for seen in frames])
    sparse = [seen for seen in frames if seen.recomputed < 1]
    stages = {f'{stage}_ms': mean([seen.ms[stage] for seen in frames]) for stage in ('preprocess', *STAGES)}
    first = watched.first_tokens
    return {
        'share': round(float(np.mean([seen.recomputed for seen in frames])), 4),
        'kept': round(float(np.mean([seen.kept for seen in frames])), 4),
        'frames': len(frames),
        'dense': len(frames) - len(sparse),
        'mean_ms': mean(ms),
        'median_ms': round(float(np.median(ms)), 3),
        'p99_ms': round(float(np.percentile(ms, 99)), 3),
        'p99_to_p50': steadiness(sparse),
        'p99_to_p50_without_pass': steadiness([seen for seen in sparse if not seen.passed]),
        'p99_to_p50_with_pass': steadiness([seen for seen in sparse if seen.passed]),
        **stages,
        'wall_ms': mean([seen.wall for seen in frames]),
        'clocks': round(sum(stages.values()) / mean([seen.wall for seen in frames]), 4),
        'window_tokens': watched.streams[0].memory.tokens,
        'first_token_ms': round(float(np.median(first)), 3) if first else None,
        'first_token_p99_ms': round(float(np.percentile(first, 99)), 3) if first else None,
        'first_tokens': len(first),
    }


def mean(values) -> float:
    return round(float(np.mean(values)), 4)


def steadiness(frames: list[Seen]) -> float | None:
    """p99 / p50; None of too few frames."""
    if len(frames) < KIND:
        return None
    ms = [seen.total for seen in frames]
    return round(float(np.percentile(ms, 99) / max(np.median(ms), 1e-9)), 3)


def operations(model: VideoModel, watched: Watched) -> float:
    """Floating-point operations of a frame, mean: layers of the tower and of the language model."""
    tower, window = model.tower, watched.streams[0].memory.tokens
    block, d, t = tower.blocks[0], tower.width, tower.tokens
    inner = next(m.out_features for m in itertools.islice(block.mlp.modules(), 1, None) if hasattr(m, 'out_features'))
    found = []
    for seen in watched.frames:
        rows = seen.recomputed * t
        vision = len(tower.blocks) * rows * (8 * d * d + 4 * t * d + 4 * d * inner)
        found.append(vision + flops(model, round(seen.kept * model.visual_tokens), window))
    return float(np.mean(found))
