"""What the vision tower costs per frame: plain, the cachers stc, threshold and incremental, fixed shares.

The modes take turns on every frame, each with a state of its own. Modes whose work does not depend on the picture run
on every --stride-th frame only. Shares are of the patches recomputed, mean over layers and frames; the ideal counts
floating-point operations.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from measure import Row, Times, input_name, load, machine, options, pictures, read, report

SIMILARITIES = (0.999, 0.995, 0.99, 0.97, 0.9)
FIXED = (1.0, 0.25, 0.1)


def main(arguments: list[str] | None = None) -> int:
    parser = options(__doc__, ('so400m', 'embedded'), frames=150, quick=12)
    parser.add_argument('--stride', type=int, default=1, help='plain, stc and fixed shares on every n-th frame (1)')
    parser.add_argument('--only', nargs='+', metavar='MODE', help='these modes (and plain), named as in the table')
    parser.add_argument(
        '--compile', action='store_true', help='plain and rows of fixed share, each as it is and through torch.compile'
    )
    chosen = read(parser, arguments)
    import torch
    from tqdm import tqdm

    model = load(chosen)
    device = model.device
    with torch.inference_mode():
        modes = make_modes(model, chosen)
        times, warm = Times(device), 3 if chosen.compile else 1
        for number, frame in enumerate(tqdm(pictures(chosen), total=chosen.frames, desc='frames', disable=None)):
            image = model.pixels.resize(frame)
            for mode in modes[number % len(modes) :] + modes[: number % len(modes)]:
                if mode.follows_picture or number % chosen.stride == 0 or number < warm:
                    times.run(mode.key, lambda mode=mode, image=image: mode.encode(image), keep=number >= warm)
    rows = [
        Row(
            f'{chosen.model} {chosen.dtype}',
            input_name(chosen),
            mode.name,
            mode.about,
            machine=machine(chosen, device),
            ideal_ratio=round(mode.ideal(times.shares(mode.key)), 4),
            **times.figures(mode.key),
        )
        for mode in modes
    ]
    return report(rows, chosen)


def make_modes(model, chosen) -> list:
    from stc_ros.settings import Settings

    modes = [Cached(model, 'plain', '', Settings({'cacher': 'none'})), Stock(model)]
    if chosen.compile:
        from stc_ros.models.compiled import Compiler

        fast = replace(model, tower=replace(model.tower, compiler=Compiler()))
        return [
            *modes,
            Stock(model, compiled=True),
            Cached(fast, 'plain', 'compiled', Settings({'cacher': 'none'})),
            *(Fixed(m, share, about) for share in FIXED[1:] for m, about in ((model, ''), (fast, ', compiled'))),
        ]
    for interval in (2, 4):
        modes.append(
            Cached(
                model,
                'stc',
                f'update_ratio 0.25, interval {interval}',
                Settings({'cacher': 'stc', 'cacher.stc.cache_interval': interval}),
            )
        )
    modes.append(
        Cached(
            model,
            'threshold',
            'cache_similarity 0.85, interval 4',
            Settings({'cacher': 'threshold', 'cache_similarity': 0.85}),
        )
    )
    for tau in SIMILARITIES[1:3] if chosen.quick else SIMILARITIES:
        modes.append(
            Cached(
                model,
                'incremental',
                f'cache_similarity {tau:g}',
                Settings({'cacher': 'incremental', 'cache_similarity': tau}),
            )
        )
    modes += [Fixed(model, share) for share in FIXED]
    return [m for m in modes if not chosen.only or m.name in ('plain', *chosen.only)]


def layer_flops(tower, k: int, keys: int | None = None) -> float:
    """One block's operations with `k` tokens computed and `keys` of them (k) projected to keys."""
    block = tower.blocks[0]
    d, t = block.v.in_features, tower.tokens
    inner = block.mlp.fc1.out_features
    return 2 * (keys or k) * d * d + 6 * k * d * d + 4 * k * t * d + 4 * k * d * inner


class Mode:
    """A way of seeing frames, with the state it needs. `encode` returns the share of the tokens recomputed."""

    follows_picture = False

    def __init__(self, model, name: str, about: str):
        self.model, self.name, self.about = model, name, about
        self.key = f'{name} {about}'.strip()

    def embed(self, image):
        return self.model.tower.embed(self.model.pixels.normalise(image, self.model.device, self.model.dtype))

    def ideal(self, shares: list[float]) -> float:
        """The operations of frames with these shares, as a share of plain ones."""
        return sum(shares) / len(shares)


def stock_tower(model):
    """transformers' own tower of that model, which the embedded one is loaded without."""
    tower = model.weights.model.vision_tower
    if type(tower).__module__.startswith('transformers'):
        return tower
    from stc_ros.models import EMBEDDED
    from stc_ros.models.families import llava_onevision

    return llava_onevision.load(str(EMBEDDED), model.device, model.dtype).weights.model.vision_tower


class Stock(Mode):
    """transformers' own tower, as a check that our plain one is no straw man."""

    def __init__(self, model, compiled: bool = False):
        super().__init__(model, 'plain', 'transformers' + ', compiled' * compiled)
        tower = stock_tower(model)
        if compiled:
            import torch

            tower = torch.compile(tower)
        self.tower = tower

    def encode(self, image):
        self.tower(self.model.pixels.normalise(image, self.model.device, self.model.dtype))
        return 1.0


class Cached(Mode):
    """One of the stream's own cachers, its choice of patches included."""

    def __init__(self, model, name, about, settings):
        from stc_ros.parameters import cachers

        super().__init__(model, name, about)
        self.cacher, self.similarity = cachers.create(settings['cacher.method'], settings), settings['cache_similarity']
        self.follows_picture = name in ('threshold', 'incremental')

    def encode(self, image):
        seen = self.cacher.encode(self.model.tower, image, lambda: self.embed(image), self.similarity)
        return 0.0 if seen is None else seen.recomputed.mean()

    def ideal(self, shares):
        if self.name == 'incremental':
            return super().ideal(shares)
        tower = self.model.tower  # dense where the share is 1, else with the keys of all
        t, dense = tower.tokens, layer_flops(tower, tower.tokens)
        return sum(dense if s == 1 else layer_flops(tower, round(s * t), keys=t) for s in shares) / dense / len(shares)


class Fixed(Mode):
    """The incremental cacher's rows, always this share of the patches: those whose pixels changed most."""

    def __init__(self, model, share: float, about: str = ''):
        super().__init__(model, 'incremental rows', f'share {share:g}{about}')
        self.rows = max(1, round(share * model.tower.grid[0] * model.tower.grid[1]))
        self.state = self.shown = None

    def encode(self, image):
        from stc_ros.vision.cachers.patches import replace_patches, similarity
        from stc_ros.vision.cachers.rows import compute_all, compute_rows

        grid = self.model.tower.grid
        if self.state is None:
            self.state, self.shown = compute_all(self.model.tower, self.embed(image)), image
            return 1.0
        rows = similarity(image, self.shown, grid).argsort()[: self.rows].sort().values
        which = image.new_zeros(grid[0] * grid[1], dtype=bool)
        which[rows] = True
        compute_rows(self.model.tower, self.state, self.embed(image), rows)
        self.shown = replace_patches(self.shown, image, which.view(grid))
        return self.rows / len(which)


if __name__ == '__main__':
    sys.exit(main())
