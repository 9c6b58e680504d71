"""What each pruner costs per frame, projector included, and how many tokens it keeps.

Every pruner sees the same frames through the plain tower and then the projector, of which some need less than others.
The ideal counts the operations of the projector alone: choosing should cost nothing.
"""

from __future__ import annotations

import sys

from measure import Row, Times, input_name, load, machine, options, pictures, read, report


def main(arguments: list[str] | None = None) -> int:
    parser = options(__doc__, ('so400m', 'embedded'), frames=40, quick=12)
    parser.add_argument('--prune-ratio', type=float, default=0.67, help='share of the tokens left out (0.67)')
    chosen = read(parser, arguments)
    import torch
    from tqdm import tqdm

    from stc_ros.pruning.base import make_pruner
    from stc_ros.settings import PRUNERS, Settings
    from stc_ros.vision.encode import FrameFeatures, VisionState, look

    model = load(chosen)
    device = model.device
    settings = {
        name: Settings({'cacher.method': 'none', 'pruner.method': name, 'prune_ratio': chosen.prune_ratio})
        for name in PRUNERS
    }
    pruners, state, times = {name: make_pruner(name) for name in PRUNERS}, VisionState(), Times(device)
    with torch.inference_mode():
        for number, frame in enumerate(tqdm(pictures(chosen), total=chosen.frames, desc='frames', disable=None)):
            seen = look(model, state, model.pixels.resize(frame), settings['none'], refresh=False)
            for name in PRUNERS[number % len(PRUNERS) :] + PRUNERS[: number % len(PRUNERS)]:
                sight = FrameFeatures(model, seen.features, seen.recomputed, seen.entry)

                def prune(name=name, sight=sight):
                    kept = pruners[name].select(sight, settings[name])
                    return len(kept.index) / len(sight.hidden)

                times.run(name, prune, keep=number > 0)
    plain = projector_flops(model, model.visual_tokens)
    rows = []
    for name in PRUNERS:
        figures = times.figures(name, plain='none')
        projected = figures['share'] if projects_what_it_keeps(name) else 1.0
        tokens = projected * model.visual_tokens
        rows.append(
            Row(
                f'{chosen.model} {chosen.dtype}',
                input_name(chosen),
                name,
                f'prune_ratio {chosen.prune_ratio:g}',
                machine=machine(chosen, device),
                ideal_ratio=round(projector_flops(model, tokens) / plain, 4),
                **figures,
            )
        )
    return report(rows, chosen)


def projects_what_it_keeps(name: str) -> bool:
    """Whether a pruner chooses before the projector's last layer."""
    return name in ('delta', 'uniform', 'random', 'pool', 'tome', 'visionzip', 'fastervlm')


def projector_flops(model, tokens: float) -> float:
    """All patches through the first layer, `tokens` through the last."""
    inner, outer = model.tower.blocks[0].q.in_features, len(model.newline)
    return 2 * model.tower.grid[0] * model.tower.grid[1] * inner * outer + 2 * tokens * outer * outer


if __name__ == '__main__':
    sys.exit(main())
