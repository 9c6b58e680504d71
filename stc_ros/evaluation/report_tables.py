"""What stands in the report's tables and cards, made of the results: plain lists and dictionaries for the template."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from stc_ros.evaluation.realtime_metrics import KEY
from stc_ros.evaluation.report_data import NAN, Accuracy, Camera, Run, accuracies, number

CONTROLS = {'blank': 'blank frames', 'newest': 'newest frame only', 'last4': 'last four frames whole, no memory'}
LONGEST_TEXT = 2000  # characters of an answer that are shown


def percent(share: float) -> str:
    return '–' if math.isnan(share) else f'{100 * share:.1f} %'


def figure(value: float) -> str:
    """Three digits, more for large ones; a dash for NaN."""
    if math.isnan(value):
        return '–'
    return (
        f'{value:,.0f}'.replace(',', ' ')
        if abs(value) >= 100
        else f'{value:.0f}'
        if value == int(value)
        else f'{value:#.3g}'
    )


def clock(milliseconds: float) -> str:
    """0:07.5, 12:07.5, 1:12:07.5"""
    tenths = round(max(milliseconds, 0) / 100)
    hours, minutes, seconds = tenths // 36000, tenths // 600 % 60, tenths % 600 / 10
    return f'{hours}:{minutes:02d}:{seconds:04.1f}' if hours else f'{minutes}:{seconds:04.1f}'


def cut(text: object) -> str:
    text = str(text)
    return text if len(text) <= LONGEST_TEXT else f'{text[:LONGEST_TEXT]} … ({len(text)} characters)'


def plain(value: object) -> str:
    """A value of a settings or questions file as one would write it."""
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if isinstance(value, float):
        return f'{value:g}'
    if isinstance(value, dict):
        return ', '.join(f'{key} {plain(each)}' for key, each in value.items())
    return ' | '.join(map(plain, value)) if isinstance(value, list) else str(value)


def total(run: Run, what: str) -> float:
    return sum(getattr(camera, what) for camera in run.cameras.values())


def share(part: float, whole: float) -> float:
    return part / whole if whole else NAN


def latencies(run: Run, column: str = 'ms') -> np.ndarray:
    """All cameras' together, without what is unknown, [n]."""
    return known(np.concatenate([np.asarray(c.latency[column]) for c in run.cameras.values()] or [[]]))


def camera_total(run: Run, key: str) -> float:
    """A count of metrics.json over all cameras; NaN where the run was not played with the clock."""
    cameras = run.metrics.get('cameras') or {}
    return sum(number(each.get(key)) for each in cameras.values()) if cameras else NAN


def answer_times(run: Run, what: str) -> np.ndarray:
    """Of each answer, without zeros: an answer of one token has no rate, one that failed no first token."""
    values = known(np.array([number(times.get(what)) for times in run.answers.values()]))
    return values[values > 0]


def known(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def quantile(values: np.ndarray, q: float) -> float:
    return float(np.quantile(values, q)) if len(values) else NAN


# ---------------------------------------------------------------- settings side by side


def settings_table(runs: list[Run]) -> list[dict]:
    """Groups of rows {name, cells, best}: a cell per run; `best` are the numbers of the best cells, if it matters."""
    by_tag = [accuracies(run) for run in runs]
    groups = [
        _group(
            'Accuracy',
            _row('questions', runs, lambda run: len(run.questions)),
            _row('accuracy', by_tag, lambda tags: tags[''].share if '' in tags else NAN, percent, max),
            *(
                _row(
                    f'control: {text}',
                    runs,
                    lambda run, c=name: number(((run.summary or {}).get('controls') or {}).get(c)),
                    percent,
                )
                for name, text in CONTROLS.items()
            ),
        ),
        _group(
            'Frames',
            _row('processed', runs, lambda run: sum(camera.frames.count for camera in run.cameras.values())),
            _row('invalid', runs, lambda run: total(run, 'invalid_count')),
            _row('scene changes', runs, lambda run: sum(camera.scenes.count for camera in run.cameras.values())),
            _row('narrations', runs, lambda run: run.narration_count),
            _row('expectations of narrations and events met', runs, _expected_share, percent, max),
        ),
        _group(
            'Compression',
            _row('patches recomputed', runs, lambda run: share(*_sums(run, 'recomputed', 'patches')), percent, min),
            _row('visual tokens kept', runs, lambda run: share(*_sums(run, 'kept', 'tokens')), percent, min),
            _row('most visual tokens in memory', runs, lambda run: float(total(run, 'most_memory'))),
        ),
        _group(
            'Time of a frame [ms]',
            *(
                _row(name, runs, lambda run, q=q: quantile(latencies(run), q), figure, min)
                for name, q in (('median', 0.5), ('90 %', 0.9), ('99 %', 0.99), ('longest', 1.0))
            ),
            *(
                _row(f'{stage}, median', runs, lambda run, s=stage: _stage(run, s))
                for stage in dict.fromkeys(stage for run in runs for stage in run.stages)
            ),
            *(
                _row(f'age, {name}', runs, lambda run, q=q: quantile(latencies(run, 'age'), q), figure, min)
                for name, q in (('median', 0.5), ('99 %', 0.99))
            ),
        ),
        _group(
            'Played with the clock',
            _row('rate', runs, lambda run: number(run.metrics.get('rate'))),
            *(
                _row(name, runs, lambda run, key=key: camera_total(run, key), figure, better)
                for name, key, better in (
                    ('frames sent', f'{KEY}NUM_FRAMES_SENT', None),
                    ('frames missed', f'{KEY}NUM_MISSED_FRAMES', min),
                    ('dropped for newer ones', 'frames_dropped', min),
                    ('lost on the way', 'frames_lost', min),
                )
            ),
            *(
                _row(name, runs, lambda run, key=key: number(run.metrics.get('questions', {}).get(key)), figure, min)
                for name, key in (
                    ('answers behind their deadline', 'answers_late'),
                    ('deadlines missed', 'deadlines_missed'),
                    ('answers that did not know the newest frame', 'answers_behind'),
                )
            ),
        ),
        _group(
            'Time of an answer',
            *(
                _row(
                    f'first token, {name} [s]',
                    runs,
                    lambda run, q=q: quantile(answer_times(run, 'time_to_first_token'), q),
                    figure,
                    min,
                )
                for name, q in (('median', 0.5), ('99 %', 0.99))
            ),
            _row('tokens per second', runs, lambda run: quantile(answer_times(run, 'tokens_per_second'), 0.5)),
        ),
        _group('Settings', *_changed(runs)),
    ]
    return [group for group in groups if group['rows']]


def _group(name: str, *rows: dict) -> dict:
    return {'name': name, 'rows': [row for row in rows if set(row['cells']) - {'–', ''}]}


def _row(name: str, runs: list, value: Callable, write: Callable = figure, better: Callable | None = None) -> dict:
    values = [float(value(run)) for run in runs]
    cells, real = [write(value) for value in values], [value for value in values if not math.isnan(value)]
    best = []
    if better and len(set(cells)) > 1 and real:
        best = [i for i, cell in enumerate(cells) if cell == write(better(real))]
    return {'name': name, 'cells': cells, 'best': best, 'differs': False, 'code': False}


def _stage(run: Run, stage: str) -> float:
    return quantile(known(np.asarray(run.stages[stage]['ms'])), 0.5) if stage in run.stages else NAN


def _sums(run: Run, part: str, whole: str) -> tuple[float, float]:
    return total(run, f'{part}_sum'), total(run, f'{whole}_sum')


def _expected_share(run: Run) -> float:
    return share(sum(bool(e.get('passed')) for e in run.expectations), len(run.expectations))


def _changed(runs: list[Run]) -> list[dict]:
    """What the settings files changed; `differs` where that is not the same in all."""
    changed = [run.head.get('settings') or {} for run in runs]
    names = sorted({name for settings in changed for name in settings})
    rows = []
    for name in names:
        cells = [plain(settings[name]) if name in settings else 'default' for settings in changed]
        rows.append({'name': name, 'cells': cells, 'best': [], 'differs': len(set(cells)) > 1, 'code': True})
    return rows


# ---------------------------------------------------------------- accuracy by tag


def tag_table(runs: list[Run]) -> list[dict]:
    """Rows {name, n, bars}: a bar {run, share, low, high, text, controls} per run; all questions first."""
    by_run = [accuracies(run) for run in runs]
    rows = []
    for tag in dict.fromkeys(tag for found in by_run for tag in sorted(found)):
        bars = [_bar(i, run, found[tag]) for i, (run, found) in enumerate(zip(runs, by_run)) if tag in found]
        rows.append({'name': tag, 'n': max(found[tag].n for found in by_run if tag in found), 'bars': bars})
    return rows


def _bar(index: int, run: Run, accuracy: Accuracy) -> dict:
    text = f'{percent(accuracy.share)} [{100 * accuracy.low:.0f}–{100 * accuracy.high:.0f}]'
    marks = [(CONTROLS.get(name, name), v) for name, v in accuracy.controls.items() if not math.isnan(v)]
    return {'run': index, 'name': run.name, 'text': text, 'accuracy': accuracy, 'controls': marks}


def cameras(runs: list[Run]) -> dict[str, list[tuple[int, Camera]]]:
    """Each camera's results by run, in order of their names."""
    names = sorted({name for run in runs for name in run.cameras})
    return {name: [(i, run.cameras[name]) for i, run in enumerate(runs) if name in run.cameras] for name in names}
