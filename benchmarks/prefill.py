"""What the language model's prefill of one frame costs behind a full window, by the share of tokens kept.

Tokens are random: latency does not depend on them. The modes take turns, each with a window of its own. The ideal
counts floating-point operations, attention over the window included.
"""

from __future__ import annotations

import sys

from measure import Row, Times, load, machine, options, read, report

from stc_ros.settings import Settings

RATIOS = (0.0, 0.5, Settings().prune_ratio, 0.8, 0.9)


def main(arguments: list[str] | None = None) -> int:
    parser = options(__doc__, ('0.5b', 'embedded', '7b', 'toy'), frames=40, quick=10)
    parser.add_argument('--memory-tokens', type=int, default=6272, help='visual tokens in the window (6272)')
    chosen = read(parser, arguments)
    import torch
    from tqdm import tqdm

    from stc_ros.compression.pruner import budget

    model = load(chosen)
    device = model.device
    places, width = model.visual_tokens, len(model.newline)
    with torch.inference_mode():
        windows = {ratio: full_window(model, chosen.memory_tokens) for ratio in RATIOS}
        tokens = next(iter(windows.values())).tokens
        x = torch.randn(1, places, width, device=device, dtype=model.dtype)
        times = Times(device)
        for number in tqdm(range(chosen.frames + 1), desc='frames', disable=None):
            for ratio in RATIOS[number % len(RATIOS):] + RATIOS[:number % len(RATIOS)]:
                kept = torch.randperm(places, device=device)[:budget(places, ratio)].sort().values

                def add(window=windows[ratio], kept=kept, number=number):
                    window.add(x[:, kept], kept, places, number)
                    return len(kept) / places

                times.run(name(ratio), add, keep=number > 0)
    rows = [Row(f'{chosen.model} {chosen.dtype}', f'window of {tokens} tokens', name(ratio),
                f'prune_ratio {ratio:g}' if ratio else '', machine=machine(chosen, device),
                ideal_ratio=round(flops(model, budget(places, ratio), tokens) / flops(model, places, tokens), 4),
                **times.figures(name(ratio))) for ratio in RATIOS]
    return report(rows, chosen)


def name(ratio: float) -> str:
    return f'pruned {ratio:g}' if ratio else 'plain'


def full_window(model, tokens: int):
    """A window that is full already: as a long stream leaves it, with keys and values of no meaning."""
    import torch

    from stc_ros.memory.window import Window
    window = Window(model.decoder, model.words.head(), tokens, 8 << 30, model.dtype)
    run, model.decoder.run = model.decoder.run, lambda *_: None         # the bookkeeping without the model
    places = model.visual_tokens
    while not window.frames or window.frames[0].stamp == 0:
        stamp = window.frames[-1].stamp + 1 if window.frames else 0
        window.add(torch.zeros(1, places, 1, device=model.device), torch.arange(places, device=model.device), places,
                   stamp)
    model.decoder.run = run
    window.keys.normal_(), window.values.normal_()
    return window


def open_streams(model, modes: dict) -> dict:
    """A stream of each mode's settings, behind a window that is full already."""
    import torch

    from stc_ros.stream import Stream
    streams = {name: Stream(model, settings) for name, settings in modes.items()}
    with torch.inference_mode():
        for stream in streams.values():
            stream.memory = full_window(model, stream.settings.memory_tokens)
    return streams


def flops(model, new: int, tokens: int) -> float:
    """Operations of `new` tokens that attend to `tokens`: every weight of the blocks twice, and the attention."""
    body, decoder = model.decoder.body, model.decoder
    linears = [part for part in body.layers.modules() if hasattr(part, 'in_features')]
    weights = sum(part.in_features * part.out_features for part in linears)
    heads = body.config.num_attention_heads
    return 2 * new * weights + 4 * new * tokens * heads * decoder.head_size * decoder.layers


if __name__ == '__main__':
    sys.exit(main())
