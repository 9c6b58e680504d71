"""The report's timeline: tracks and lanes of events for each camera, and the frames' figures for the script."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from markupsafe import Markup

from stc_ros.evaluation import report_plots as plots
from stc_ros.evaluation import report_tables as tables
from stc_ros.evaluation.report_data import Camera, Run

TRACKS = (  # field, name, unit
    ('recomputed', 'patches recomputed', '%'),
    ('kept', 'visual tokens kept', '%'),
    ('memory', 'visual tokens in memory', ''),
    ('latency', 'time of a frame', 'ms'),
)
TICKS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400]  # s between labels


def camera(name: str, found: list, runs: list[Run], end: float, cards: list[dict], can_plot: bool) -> dict:
    """One camera's tracks and lanes of events."""
    series = {field: [(i, np.asarray(c.frames['t']), values(c, field)) for i, c in found] for field, _, _ in TRACKS}
    tracks = []
    for field, text, unit in TRACKS:
        known = [v[np.isfinite(v)] for _, _, v in series[field]]
        if any(len(v) for v in known):
            top = 100.0 if unit == '%' else max(float(np.quantile(v, 0.98)) for v in known if len(v)) * 1.15
            svg = Markup(plots.along_time(series[field], end, top)) if can_plot else ''
            tracks.append({'field': field, 'name': text, 'unit': unit, 'top': top, 'svg': svg})
    lanes = []
    for i, c in found:
        asked = [(card, a) for card in cards if card['camera'] == name for a in card['answers'] if a['run'] == i]
        said = [n['t'] for n in runs[i].narrations if str(n.get('camera')) == name]
        lanes.append(
            {
                'run': i,
                'name': runs[i].name,
                'scenes': places(c.scenes['t'], end),
                'narrations': places(said, end),
                'events': [
                    {'x': place(e['t'], end), 'title': f'{tables.clock(e["t"])} {e.get("event")}: {e.get("text")}'}
                    for e in runs[i].events
                    if str(e.get('camera')) == name
                ],
                'invalid': places([t for t, _ in c.invalid], end),
                'questions': [
                    {'x': place(card['t'], end), 'anchor': card['anchor'], 'passed': a['passed'],
                     'title': f'{tables.clock(card["t"])} {card["question"][:120]} → {a["text"][:120]}'}
                    for card, a in sorted(asked, key=lambda both: not both[1]['passed'], reverse=True)
                ],
            }
        )  # fmt: skip
    return {'name': name, 'tracks': tracks, 'lanes': lanes}


def values(camera: Camera, field: str) -> np.ndarray:
    """A track of the timeline, [frames]; NaN where it is unknown."""
    if field == 'latency':
        return latency_of_frames(camera)
    whole = {'recomputed': camera.patches / 100, 'kept': camera.tokens / 100}.get(field, 1)
    return np.asarray(camera.frames[field]) / (whole or 1)


def latency_of_frames(camera: Camera) -> np.ndarray:
    """Milliseconds of each frame, [frames]; NaN where the clock's file has none."""
    t, at = np.asarray(camera.frames['t']), np.asarray(camera.latency['t'])
    if not len(at):
        return np.full(len(t), np.nan)
    order = np.argsort(at, kind='stable')
    found = order[np.searchsorted(at[order], t).clip(max=len(at) - 1)]
    return np.where(np.abs(at[found] - t) < 1e-3, np.asarray(camera.latency['ms'])[found], np.nan)


def frames(number: int, run: int, camera: Camera, stride: int) -> dict:
    """Every `stride`th frame's figures for the script; times in ms as steps, unknown figures null."""
    t = np.rint(np.asarray(camera.frames['t'])[::stride]).astype(int)
    columns = {name: np.asarray(camera.frames[name])[::stride] for name in ('recomputed', 'kept', 'memory')}
    columns['similarity'] = np.asarray(camera.frames['similarity'])[::stride]
    columns['latency'] = latency_of_frames(camera)[::stride]
    listed = {
        name: [None if math.isnan(x) else int(x) if x == int(x) else round(x, 4 if name == 'similarity' else 2)
               for x in column.tolist()]
        for name, column in columns.items()
        if np.isfinite(column).any()
    }  # fmt: skip
    scenes = np.rint(np.asarray(camera.scenes['t'])).astype(int).tolist()
    about = {'camera': number, 'run': run, 'patches': camera.patches, 'tokens': camera.tokens, 'scenes': scenes}
    return about | {'t': np.diff(t, prepend=0).tolist()} | listed


def place(t: float, end: float) -> float:
    """Per cent of the width."""
    return round(100 * min(max(t / (end or 1), 0), 1), 2)


def places(times: Iterable[float], end: float) -> list[float]:
    """Where marks stand, a tenth of a per cent apart at least."""
    return sorted({round(place(t, end), 1) for t in times})


def labels(end: float) -> list[tuple[float, str]]:
    """Places and texts of the time axis, at most seven."""
    step = next((s for s in TICKS if end / 1000 / s <= 6), TICKS[-1]) * 1000
    return [(place(t, end), tables.clock(t)[:-2]) for t in range(0, int(end) + 1, step) if t <= 0.96 * end]
