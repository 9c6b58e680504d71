"""What a frame costs from picture to memory: plain, as published, and with the default cacher and pruner.

Each mode is a stream of its own behind a window that is full from the beginning, as after a while of any stream; they
take turns on every frame. Plain and stc, whose work does not depend on the picture, may run on every --stride-th
frame only. --trace writes each frame's milliseconds, for the picture of latency along the clip.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from measure import Row, Times, in_turn, input_name, load, machine, options, pictures, read, report
from prefill import flops, open_streams
from vision import layer_flops

from stc_ros.settings import Settings

PARTS = {'vision': ('vision',), 'prefill': ('prefill',), 'frame': ('preprocess', 'vision', 'prune', 'prefill')}


def main(arguments: list[str] | None = None) -> int:
    parser = options(__doc__, ('0.5b', 'embedded', '7b', 'toy'), frames=120, quick=12)
    parser.add_argument('--stride', type=int, default=1, help='plain and stc on every n-th frame (1)')
    usual = Settings()
    parser.add_argument(
        '--similarity',
        type=float,
        default=usual['cache_similarity'],
        help='cache_similarity of incremental (%(default)s)',
    )
    parser.add_argument('--prune-ratio', type=float, default=usual['prune_ratio'], help='of incremental (%(default)s)')
    parser.add_argument('--still', action='store_true', help='hold the first picture, with the noise of a camera')
    parser.add_argument('--trace', type=Path, metavar='FILE', help='write milliseconds by frame and mode')
    chosen = read(parser, arguments)
    if chosen.stride >= chosen.frames:
        parser.error('--stride must be less than --frames, or plain and stc are never timed')
    from tqdm import tqdm

    from stc_ros import timing
    from stc_ros.evaluation.sweep import PAPER

    model = load(chosen)
    device = model.device
    default = usual | {'cache_similarity': chosen.similarity, 'prune_ratio': chosen.prune_ratio}
    modes = {'plain': Settings({'cacher': 'none', 'pruner': 'none'}), 'stc': Settings(PAPER), 'incremental': default}
    streams = open_streams(model, modes)

    trace, selection = [], 0.0
    times = {part: Times(device, bursts=part != 'vision') for part in PARTS}
    shown = still(pictures(chosen), chosen.frames) if chosen.still else pictures(chosen)
    for number, frame in enumerate(tqdm(shown, total=chosen.frames, desc='frames', disable=None)):
        seen = {'frame': number}
        for name in in_turn(modes, number):
            if name != 'incremental' and number and number % chosen.stride:
                continue
            if name == 'incremental' and number:
                selection = time_selection(model, streams[name], frame)
            result = streams[name].see(frame, number)
            if number == chosen.frames - 1:  # what waits is to be paid, too
                start = timing.now()
                streams[name].prefill()
                result.ms['prefill'] += (timing.now() - start) * 1e3
            shares = {
                'vision': result.patches_recomputed / result.patches,
                'prefill': result.visual_tokens_kept / result.visual_tokens,
            }
            shares['frame'] = (shares['vision'] + shares['prefill']) / 2
            seen[name] = {
                'share': round(shares['vision'], 4),
                'kept': result.visual_tokens_kept,
                'scene_change': result.scene_change,
                **{k: round(v, 3) for k, v in result.ms.items()},
            }
            if name == 'incremental':
                seen[name]['selection'] = round(selection, 3)  # part of vision
            if number:
                for part, stages in PARTS.items():
                    times[part].add(name, shares[part], sum(result.ms[stage] for stage in stages))
        trace.append(seen)

    works = {
        name: works_of(model, modes[name]['cacher.method'], trace[1:], name, streams[name].memory.tokens)
        for name in modes
    }
    rows = [
        Row(
            f'{chosen.model} {chosen.dtype}',
            input_name(chosen) + (' held still' if chosen.still else ''),
            f'{name} {part}',
            about(modes[name]),
            machine=machine(chosen, device),
            ideal_ratio=round(works[name][part] / works['plain'][part], 4),
            **times[part].figures(name),
        )
        for part in PARTS
        for name in modes
    ]
    print_steadiness(trace[1:], times)
    if chosen.trace:
        chosen.trace.parent.mkdir(parents=True, exist_ok=True)
        chosen.trace.write_text('[\n' + ',\n'.join(json.dumps(seen) for seen in trace) + '\n]\n')
    return report(rows, chosen)


def still(frames, count: int):
    """The first picture `count` times, each with a camera's noise of 1.5 grey levels."""
    rng, first = np.random.default_rng(0), next(iter(frames))
    for _ in range(count):
        noise = rng.normal(0, 1.5, first.shape)
        yield np.clip(first + noise, 0, 255).round().astype(np.uint8)


def about(settings) -> str:
    text = {
        'none': '',
        'stc': f'ratio 0.25, interval {settings["cacher.stc.cache_interval"]}',
        'incremental': f'similarity {settings["cache_similarity"]:g}',
    }[settings['cacher.method']]
    return text + (f', pruner {settings["pruner.method"]} {settings["prune_ratio"]:g}' if text else '')


def time_selection(model, stream, frame) -> float:
    """Milliseconds in which the incremental cacher chooses its patches, which its vision time includes."""
    import torch

    from stc_ros import timing
    from stc_ros.vision.cachers.patches import choose_changed, pooled_with, similarity

    image, state = model.pixels.resize(frame), stream.cacher.state
    allowed = 1 - stream.parameters.cache_similarity
    with torch.inference_mode():
        start = timing.now()
        alike = similarity(image, state.image, model.tower.grid)
        int(pooled_with(choose_changed(alike, state.bound, allowed), model.tower).sum())
        return (timing.now() - start) * 1e3


def works_of(model, cacher: str, trace: list[dict], name: str, window: int) -> dict:
    """Floating-point operations of vision, prefill and both, mean over the frames."""
    tower, blocks = model.tower, len(model.tower.blocks)
    t = tower.tokens
    vision = [
        blocks
        * layer_flops(
            tower, round(seen[name]['share'] * t), keys=t if cacher == 'stc' and seen[name]['share'] else None
        )
        for seen in trace
        if name in seen
    ]
    prefill = [flops(model, seen[name]['kept'], window) for seen in trace if name in seen]
    works = {'vision': float(np.mean(vision)), 'prefill': float(np.mean(prefill))}
    return works | {'frame': sum(works.values())}


def print_steadiness(trace: list[dict], times: dict) -> None:
    """p99 / p50 of vision outside scene cuts, and what choosing costs."""
    print('\nincremental vision outside scene cuts, p99 / p50:', end=' ')
    seen = [s['incremental'] for s in trace if not s['incremental']['scene_change']]
    ms = np.array([s['vision'] for s in seen])
    print(f'{np.percentile(ms, 99) / np.median(ms):.2f}; among frames of equal work:', end=' ')
    for share in sorted({s['share'] for s in seen}):
        group = np.array([s['vision'] for s in seen if s['share'] == share])
        if len(group) >= 10:
            print(f'{share:.2f} ({len(group)}): {np.percentile(group, 99) / np.median(group):.2f}', end='  ')
    overhead = np.median([s['preprocess'] + s['selection'] + s['prune'] for s in seen])
    print(
        f'\npreprocess + selection + pruner: {overhead:.1f} ms, '
        f'{overhead / times["frame"].typical("plain"):.2%} of the plain frame'
    )


if __name__ == '__main__':
    sys.exit(main())
