"""What each pruner costs per frame, projector included, and how many tokens it keeps.

Every pruner that is registered sees the same frames through the plain tower and then the projector, of which some need
less than others. The ideal counts the operations of the projector alone: choosing should cost nothing.
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

    from stc_ros.parameters import cachers, pruners
    from stc_ros.vision.encode import FrameFeatures, encode_frame

    model = load(chosen)
    device = model.device
    names, late = pruners.names(), {}
    methods, plain, times = {name: pruners.create(name) for name in names}, cachers.create('none'), Times(device)
    with torch.inference_mode():
        for number, frame in enumerate(tqdm(pictures(chosen), total=chosen.frames, desc='frames', disable=None)):
            encoded = encode_frame(model, plain, model.pixels.resize(frame), 1.0).encoded
            for name in names[number % len(names) :] + names[: number % len(names)]:
                seen = FrameFeatures(model, encoded)

                def prune(name=name, seen=seen):
                    kept = methods[name].select(seen, chosen.prune_ratio)
                    return len(kept.index) / len(seen.hidden)

                times.run(name, prune, keep=number > 0)
                late[name] = 'tokens' not in vars(seen)  # only what it keeps went through the projector's last layer
    whole = projector_flops(model, model.visual_tokens)
    rows = []
    for name in names:
        figures = times.figures(name, plain='none')
        projected = figures['share'] if late[name] else 1.0
        tokens = projected * model.visual_tokens
        rows.append(
            Row(
                f'{chosen.model} {chosen.dtype}',
                input_name(chosen),
                name,
                f'prune_ratio {chosen.prune_ratio:g}',
                machine=machine(chosen, device),
                ideal_ratio=round(projector_flops(model, tokens) / whole, 4),
                **figures,
            )
        )
    return report(rows, chosen)


def projector_flops(model, tokens: float) -> float:
    """All patches through the first layer, `tokens` through the last."""
    inner, outer = model.tower.width, model.newline.shape[-1]
    return 2 * model.tower.grid[0] * model.tower.grid[1] * inner * outer + 2 * tokens * outer * outer


if __name__ == '__main__':
    sys.exit(main())
