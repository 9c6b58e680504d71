"""How well and at what cost watches tell when something happens, on worlds that know the truth about every frame.

    ./dev bench watches [--quick] [--json FILE]

Seeds were never used in training; thresholds were chosen with --tune, on other seeds. Beside the defaults stand
controls that must fail: `blank`, a stream that is shown grey frames, and `eager`, a threshold of 0.5 on a single frame.
"""

import argparse
import json
import platform
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tables import table
from tqdm import tqdm

from stc_ros.evaluation.episodes import FRAME_NS, draw_streams
from stc_ros.evaluation.watch_measures import Tally, count
from stc_ros.models import load_model
from stc_ros.settings import Settings
from stc_ros.stream import open_stream
from stc_ros.synthetic import record
from stc_ros.synthetic.forms import FORMS
from stc_ros.synthetic.view import View
from stc_ros.watch_parameters import WatchParameters
from stc_ros.watches.judge import judge, read_condition
from stc_ros.watches.lookup import lean
from stc_ros.watches.rule import Change, Standing, Watch, look

YES_NO = ('is_there', 'is_there_shape', 'is_moving', 'did_leave', 'was_there')
ANSWERED = {'count_moving': 'zero', 'count_shape': 'two', 'colour_of_shape': 'red'}  # a condition: this answer
KINDS = (*YES_NO, *ANSWERED)
MOST = 4  # conditions of one kind in one stream
GRID = [(hi, lo, looks) for hi in (0.5, 0.7, 0.8, 0.9, 0.95) for lo in (0.02, 0.05, 0.2, 0.4) for looks in (1, 2, 3, 4)]


def conditions_of(clip) -> dict[str, dict[str, list]]:
    """By kind the conditions that can be asked of a clip, each with its truth per frame."""
    found: dict[str, dict[str, list]] = {kind: {} for kind in KINDS}
    for t in range(len(clip)):
        view = View(clip, t)
        for kind in KINDS:
            form = FORMS[kind]
            for slots, answer, _, _ in form.cases(view):
                right = ANSWERED.get(kind)
                text = form.wording.format(**slots) + (f' = {right}' if right else '')
                truth = found[kind].setdefault(text, [None] * len(clip))
                truth[t] = answer == (right or 'yes')
    for kind, texts in found.items():  # those that become true first, then those that never do
        order = sorted(texts, key=lambda text: (not any(texts[text]), -sum(v is not None for v in texts[text]), text))
        found[kind] = {text: texts[text] for text in order[:MOST]}
    return found


def odds_of(model, clip, texts: list[str], settings: Settings, blank: bool) -> np.ndarray:
    """Log odds [frames, conditions], corrected as a watch corrects them."""
    conditions = [read_condition(model, text) for text in texts]
    grey = open_stream(model, settings)
    grey.see(np.full_like(clip.frames[0], 128), 1)
    bias = np.array([lean(odd, WatchParameters().threshold) for odd in judge(grey, conditions)])
    stream, rows = open_stream(model, settings), []
    for t, frame in enumerate(clip.frames):
        report = stream.see(np.full_like(frame, 128) if blank else frame, (t + 1) * FRAME_NS)
        rows.append(judge(stream, conditions) if report.visual_tokens_kept or not rows else rows[-1])
    return np.array(rows) - bias


def fires_of(odds: np.ndarray, watch: Watch) -> list[int]:
    """Frames at which a watch rises."""
    standing, fires = Standing(), []
    for t, odd in enumerate(odds):
        standing, change = look(watch, standing, float(1 / (1 + np.exp(-np.clip(odd, -50, 50)))), (t + 1) * FRAME_NS)
        fires += [t] if change is Change.RISING else []
    return fires


def score(cases: list, watch: Watch) -> dict[str, Tally]:
    """By kind and for all: cases are (kind, truth, odds)."""
    tallies = {kind: Tally() for kind in (*KINDS, 'all')}
    for kind, truth, odds in cases:
        fires = fires_of(odds, watch)
        for name in (kind, 'all'):
            count(tallies[name], truth, fires, FRAME_NS / 1e9)
    return tallies


def row(name: str, tally: Tally) -> dict:
    delays = tally.delays or [float('nan')]
    return {
        'of': name,
        'onsets': tally.onsets,
        'f1': round(tally.f1, 3),
        'delay_median_s': round(float(np.median(delays)), 3),
        'delay_p95_s': round(float(np.percentile(delays, 95)), 3),
        'early': round(tally.early / max(tally.fires, 1), 4),
        'duplicates': round(tally.duplicates / max(tally.fires, 1), 4),
        'false_alarms_per_hour': round(tally.false_alarms / max(tally.hours, 1e-9), 2),
        'hours': round(tally.hours, 2),
    }


def cost(model, frames: int = 64) -> list[dict]:
    """Time of a frame with 1 and 10 watches as a share of the frame without, in turns on the same frames."""
    clip = record('busy', draw_streams('busy', 1, 99)[0][1], frames)
    condition = read_condition(model, 'is there a red circle ?')
    streams = {n: open_stream(model, Settings()) for n in (0, 1, 10)}
    times: dict[int, list[float]] = {n: [] for n in streams}
    for t, frame in enumerate(clip.frames):
        for n, stream in streams.items():
            began = time.perf_counter()
            stream.see(frame, (t + 1) * FRAME_NS)
            if n:
                judge(stream, [condition] * n)
            times[n].append((time.perf_counter() - began) * 1e3)
    plain = np.array(times[0][8:])
    return [
        {
            'watches': n,
            'ms_median': round(float(np.median(of[8:])), 2),
            'ms_p99': round(float(np.percentile(of[8:], 99)), 2),
            'more_than_a_frame': round(float(np.mean(of[8:]) / plain.mean() - 1), 3),
        }
        for n, of in times.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='a stream of each profile')
    parser.add_argument('--streams', type=int, default=8, help='of each profile (8)')
    parser.add_argument('--frames', type=int, default=160, help='of a stream (160)')
    parser.add_argument('--tune', action='store_true', help='print how thresholds do on the seeds for tuning')
    parser.add_argument('--json', type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, settings = load_model(Settings()), Settings()
    streams = draw_streams('all', 1 if options.quick else options.streams, 0, tune=options.tune)
    cases: dict[str, list] = {'shown': [], 'blank': []}
    for profile, seed in tqdm(streams, desc='streams', disable=None):
        clip = record(profile, seed, options.frames)
        asked = [(kind, text, truth) for kind, of in conditions_of(clip).items() for text, truth in of.items()]
        for view in ('shown',) if options.tune else cases:
            odds = odds_of(model, clip, [text for _, text, _ in asked], settings, blank=view == 'blank')
            cases[view] += [(kind, truth, odds[:, i]) for i, (kind, _, truth) in enumerate(asked)]
    default = WatchParameters()
    watch = Watch('', '', '', default.threshold, default.rearm, default.looks)
    rows = []
    if options.tune:
        for hi, lo, looks in GRID:
            rows.append(
                row(
                    f'{hi} {lo} {looks}',
                    score(cases['shown'], replace(watch, threshold=hi, rearm=lo, looks=looks))['all'],
                )
            )
        rows.sort(key=lambda r: -r['f1'])
    else:
        rows += [row(kind, tally) for kind, tally in score(cases['shown'], watch).items()]
        rows.append(row('control: blank', score(cases['blank'], watch)['all']))
        eager = replace(watch, threshold=0.5, rearm=0.5, looks=1)
        rows.append(row('control: eager', score(cases['shown'], eager)['all']))
    heads = list(rows[0])
    print(table(heads, [[str(r[h]) for h in heads] for r in rows]))
    costs = [] if options.tune else cost(model)
    if costs:
        print(table(list(costs[0]), [[str(v) for v in r.values()] for r in costs]))
    if options.json:
        machine = platform.processor() or platform.machine()
        options.json.write_text(json.dumps({'machine': machine, 'rows': rows, 'cost': costs}, indent=1) + '\n')


if __name__ == '__main__':
    main()
