"""The tables that `stc_ros evaluate` prints: one for each recording, and one over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stc_ros.evaluation.controls import CONTROLS
from stc_ros.evaluation.intervals import wilson
from stc_ros.evaluation.report import as_text

Summary = Mapping[str, Any]  # the last line of a result.jsonl
FEWEST = 5  # recordings over which a bootstrap makes sense
DRAWS = 2000
MOST = 20  # recordings that get a table with their tags; of more, a row each
ALL = 'all recordings'
NOTE = """\
95 %: as if all questions were independent. recordings: 95 % from a bootstrap over recordings, since questions of one
recording are not; with fewer than 5 recordings there is none."""


def tables(summaries: Mapping[str, Mapping[str, Summary]]) -> str:
    """All that is printed. summaries: of each run, by recording and settings."""
    if len(summaries) == 1:
        return '\n'.join(_about(next(iter(summaries.values()))))
    lines: list[str] = []
    for name, by_settings in summaries.items():
        lines += [name, '', *_about(by_settings, tags=len(summaries) <= MOST), '']
    settings = dict.fromkeys(name for by_settings in summaries.values() for name in by_settings)
    rows = [['settings, tag', 'recordings', 'n', 'accuracy', '95 %', 'recordings', *CONTROLS]]
    for name in settings:
        found = [by_settings[name] for by_settings in summaries.values() if name in by_settings]
        for label, each, count, spread in _pooled_rows(name, found):
            label, n, accuracy, interval, *controls = _row(label, each)
            rows.append([label, str(count), n, accuracy, interval, _interval(spread), *controls])
    return '\n'.join([*lines, ALL, '', as_text(rows), '', NOTE])


def pooled(summaries: Sequence[Summary]) -> dict[str, Any]:
    """Accuracy, n, interval and controls of the questions of all these, in the form of one."""
    counted = [each for each in summaries if each['n']]
    n = sum(each['n'] for each in counted)

    def mean(value: Any) -> float:
        return sum(value(each) * each['n'] for each in counted) / max(n, 1)

    accuracy = mean(lambda each: each['accuracy'])
    names = [name for name in CONTROLS if counted and all(name in each['controls'] for each in counted)]
    return {
        'accuracy': round(accuracy, 6) if n else None,
        'n': n,
        'interval': wilson(accuracy, n),
        'controls': {name: round(mean(lambda each, name=name: each['controls'][name]), 6) for name in names},
    }


def over_recordings(summaries: Sequence[Summary]) -> list[float] | None:
    """95 % interval of the pooled accuracy from a bootstrap over recordings; None of fewer than `FEWEST`."""
    counted = [(each['accuracy'] * each['n'], each['n']) for each in summaries if each['n']]
    if len(counted) < FEWEST:
        return None
    right, n = np.array(counted).T
    drawn = np.random.default_rng(0).integers(0, len(counted), (DRAWS, len(counted)))
    return [float(bound) for bound in np.quantile(right[drawn].sum(1) / n[drawn].sum(1), (0.025, 0.975))]


def by_settings(summaries: Mapping[str, Mapping[str, Summary]]) -> dict[str, Any]:
    """What overall.json holds: the pooled figures of each settings file, in all and by tag."""
    settings = dict.fromkeys(name for found in summaries.values() for name in found)
    whole: dict[str, Any] = {}
    for name in settings:
        found = [of[name] for of in summaries.values() if name in of]
        (_, total, count, spread), *tags = _pooled_rows(name, found)
        whole[name] = {
            **total,
            'recordings': count,
            'interval_over_recordings': spread,
            'by_tag': {label.strip(): each for label, each, _, _ in tags},
            'passed': all(each['passed'] for each in found),
        }
    return whole


def _pooled_rows(name: str, found: Sequence[Summary]) -> list[tuple[str, dict[str, Any], int, list[float] | None]]:
    """(label, pooled figures, number of recordings, interval over them): of all questions, then by tag."""
    tags = dict.fromkeys(tag for each in found for tag in each['by_tag'])
    groups = {name: found, **{f'  {tag}': [e['by_tag'][tag] for e in found if tag in e['by_tag']] for tag in tags}}
    return [(label, pooled(each), len(each), over_recordings(each)) for label, each in groups.items()]


def _about(by_settings: Mapping[str, Summary], tags: bool = True) -> list[str]:
    """A table of one recording's runs, and under it what was required."""
    rows = [['settings, tag', 'n', 'accuracy', '95 %', *CONTROLS]]
    for name, summary in by_settings.items():
        rows.append(_row(name, summary))
        rows += [_row(f'  {tag}', of) for tag, of in summary['by_tag'].items() if tags]
    lines = [as_text(rows)]
    for name, summary in by_settings.items():
        for what in ('narration', 'events'):
            if summary[what]['n']:
                counts = f'{summary[what]["passed"]} of {summary[what]["n"]}'
                lines.append(f'{name}: {counts} expectations of {what} met')
        for each in summary['requirements']:
            value = 'nothing to measure' if each['value'] is None else f'{each["value"]:.3f}'
            lines.append(f'{name}: {"passed" if each["passed"] else "FAILED"}: {each["text"]} ({value})')
    return lines


def _row(label: str, each: Summary) -> list[str]:
    accuracy = '-' if each['accuracy'] is None else f'{each["accuracy"]:.3f}'
    controls = [f'{each["controls"][c]:.3f}' if c in each['controls'] else '-' for c in CONTROLS]
    return [label, str(each['n']), accuracy, _interval(each['interval'] if each['n'] else None), *controls]


def _interval(bounds: Sequence[float] | None) -> str:
    return '-' if bounds is None else f'{bounds[0]:.2f}..{bounds[1]:.2f}'
