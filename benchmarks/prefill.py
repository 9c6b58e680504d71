"""What the language model's prefill of a frame costs behind a full window, by how many tokens are kept and how.

plain: all tokens of a frame. dense mask: those kept, frame by frame, every key behind a mask, as version 0.1 did it.
frame by frame: old keys without a mask. in batches: several frames wait and run in one pass; the time is a frame's
share. Tokens are random: latency does not depend on them. The modes take turns, each with a window of its own. The
ideal counts floating-point operations, attention over the window included.

--roofline measures nothing: it prints what a pass takes on other machines if each number of the weights and of the
window is read once and the operations run at the machine's peak, whichever takes longer (Williams et al. 2009).
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from measure import Row, Times, in_turn, load, machine, options, read, report

KEPT = (0.25, 0.5)  # shares of a frame's tokens; the first is the floor of the delta pruner
BATCHES = (2, 4)  # frames
MACHINES = {'H100 SXM': (3350, 989), 'RTX 4090': (1008, 165), 'Jetson AGX Orin 64 GB': (205, 42.5)}  # GB/s, Tflop/s


def main(arguments: list[str] | None = None) -> int:
    parser = options(__doc__, ('0.5b', 'embedded', '7b', 'toy'), frames=40, quick=8)
    parser.add_argument('--memory-tokens', type=int, default=6272, help='visual tokens in the window (6272)')
    parser.add_argument('--roofline', action='store_true', help='what operations and bytes allow on other machines')
    chosen = read(parser, arguments)
    if chosen.roofline:
        return print_roofline(chosen)
    import torch
    from tqdm import tqdm

    model = load(chosen)
    device, places = model.device, model.visual_tokens
    with torch.inference_mode():
        modes = make_modes(model, chosen.memory_tokens)
        x = torch.randn(1, places, model.newline.shape[-1], device=device, dtype=model.dtype)
        times = Times(device)
        for number in tqdm(range(chosen.frames + 1), desc='rounds', disable=None):
            for name in in_turn(modes, number):
                window, share, frames = modes[name]
                kept = spread(places, share, device)

                def add(window=window, kept=kept, frames=frames):
                    for _ in range(frames):
                        window.add(x[:, kept], kept, places, window.frames[-1].stamp + 1)
                    window.prefill()
                    return frames * len(kept) / places

                times.run(name, add, keep=number > 0)
    rows = []
    for name, (window, share, frames) in modes.items():
        figures, count, tokens = times.figures(name), len(spread(places, share, 'cpu')), window.tokens
        for part in ('median_ms', 'p99_ms', 'ratio_to_plain', 'share'):
            figures[part] = round(figures[part] / frames, 4)
        # a pass of several frames saves what operations do not count: reading the weights, calls
        ideal = flops(model, count, tokens) / flops(model, places, tokens) if frames == 1 else 0.0
        rows.append(
            Row(
                f'{chosen.model} {chosen.dtype}',
                f'window of {tokens} tokens',
                name,
                f'{count} of {places} tokens',
                machine=machine(chosen, device),
                ideal_ratio=round(ideal, 4),
                **figures,
            )
        )
    status = report(rows, chosen)
    dense = rows[1].ratio_to_plain
    for row in rows[2 : 2 + 1 + len(BATCHES)]:
        print(f'{row.mode}: {row.ratio_to_plain / dense:.2f} of the dense mask')
    return status


def make_modes(model, tokens: int) -> dict:
    """By name: a full window, the share of a frame's tokens that is kept, and the frames of a pass."""
    first, *others = KEPT
    modes = {
        'plain': (full_window(model, tokens), 1.0, 1),
        'dense mask': (full_window(model, tokens, kind=dense_window()), first, 1),
        'frame by frame': (full_window(model, tokens), first, 1),
    }
    batch = max(BATCHES) * model.visual_tokens
    modes |= {f'batch of {n}': (full_window(model, tokens, batch=batch), first, n) for n in BATCHES}
    modes |= {
        f'batch of {BATCHES[-1]}, {share:g}': (full_window(model, tokens, batch=batch), share, BATCHES[-1])
        for share in others
    }
    return modes


def spread(places: int, share: float, device):
    """Evenly spread tokens of a frame, ascending."""
    import torch

    return torch.linspace(0, places - 1, max(1, round(share * places)), device=device).round().long()


def dense_window():
    """A window that puts a mask over all keys, a control: what version 0.1 did."""
    from stc_ros.memory.window import Window
    from stc_ros.models.attention import Piece
    from stc_ros.models.decoder import rotate

    class DenseWindow(Window):
        def prefill(self, *asked):
            if asked or not self.waiting:
                return super().prefill(*asked)
            (chunk,), count = self.waiting, self.tokens_waiting
            self._make_room(chunk.oldest, count)
            new, seen = self._slots(self.stored, self.stored + count), self._slots(chunk.oldest, self.stored + count)
            cos_sin = self.decoder.rotation(chunk.positions)
            sinks = self._sinks_at([chunk.rope_offset])
            causal = chunk.positions.new_ones(count, seen.stop - seen.start, dtype=bool).tril(new.start - seen.start)
            mask = self.decoder.mask(causal, self.keys.dtype)

            def write(layer, keys, values):
                self.keys[layer][:, :, new], self.values[layer][:, :, new] = rotate(keys, *cos_sin), values
                return [
                    Piece(sinks[0][layer], sinks[1][layer]),
                    Piece(self.keys[layer][:, :, seen], self.values[layer][:, :, seen], mask),
                ]

            self.decoder.run(chunk.embeddings, chunk.positions, write)
            self.stored += count
            self.waiting = []

    return DenseWindow


def full_window(model, tokens: int, batch: int = 0, kind: Callable | None = None):
    """A window that is full already: as a long stream leaves it, with keys and values of no meaning."""
    import torch

    from stc_ros.memory.window import Window

    window = (kind or Window)(model.decoder, model.chat.prefix(), tokens, 8 << 30, model.dtype, batch)
    run, model.decoder.run = model.decoder.run, lambda *_: torch.zeros(1, 1, 1)  # the bookkeeping without the model
    places = model.visual_tokens
    while not window.frames or window.frames[0].stamp == 0:
        stamp = window.frames[-1].stamp + 1 if window.frames else 0
        window.add(
            torch.zeros(1, places, 1, device=model.device), torch.arange(places, device=model.device), places, stamp
        )
    window.prefill()
    model.decoder.run = run
    window.keys.normal_(), window.values.normal_()
    return window


def open_streams(model, modes: dict) -> dict:
    """A stream of each mode's settings, behind a window that is full already."""
    import torch

    from stc_ros.stream import open_stream

    streams = {name: open_stream(model, settings) for name, settings in modes.items()}
    with torch.inference_mode():
        for name, stream in streams.items():
            stream.memory = full_window(model, modes[name]['memory.max_tokens'], stream.memory.batch)
    return streams


def flops(model, new: int, tokens: int) -> float:
    """Operations of `new` tokens that attend to `tokens`: every weight of the blocks twice, and the attention."""
    decoder = model.decoder
    return 2 * new * decoder.weights + 4 * new * tokens * decoder.heads * decoder.head_size * decoder.layers


def print_roofline(chosen) -> int:
    """A table of milliseconds a frame in bfloat16: plain, pruned, and in batches."""
    from stc_ros.models.random import SIZES

    text = SIZES[chosen.model][1]
    layers, d, inner = (text[k] for k in ('num_hidden_layers', 'hidden_size', 'intermediate_size'))
    head = d // text['num_attention_heads']
    narrow = head * text['num_key_value_heads']
    weights, window = layers * (2 * d * d + 2 * d * narrow + 3 * d * inner), chosen.memory_tokens
    plain, kept = 196, 49
    print(
        f'{chosen.model}, bfloat16: {weights / 1e9:.2f} billion weights, window of {window} tokens; computed, not '
        f'measured: ms a frame\n{"machine":<24}{"plain":>8}{f"{kept} tokens":>12}'
        + ''.join(f'{f"batch of {n}":>12}' for n in BATCHES)
        + f'{"of frame by frame":>20}'
    )
    for name, (bandwidth, peak) in MACHINES.items():

        def pass_ms(rows: int, bandwidth=bandwidth, peak=peak) -> float:
            bytes_read = 2 * weights + 2 * 2 * layers * narrow * window
            operations = 2 * rows * weights + 4 * rows * window * d * layers
            return max(bytes_read / (bandwidth * 1e6), operations / (peak * 1e9))

        alone = pass_ms(kept)
        batched = [pass_ms(n * kept) / n for n in BATCHES]
        print(
            f'{name:<24}{pass_ms(plain):>8.2f}{alone:>12.2f}'
            + ''.join(f'{ms:>12.2f}' for ms in batched)
            + f'{batched[-1] / alone:>20.2f}'
        )
    return 0


if __name__ == '__main__':
    sys.exit(main())
