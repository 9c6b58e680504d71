"""What asking a data set has shown, as tables: one for each metric, with the controls beside the stream in question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stc_ros.evaluation.dataset_ask import VIEWS
from stc_ros.evaluation.datasets.base import Part, Scored, mean
from stc_ros.evaluation.intervals import combined

Totals = Callable[[Sequence[Scored]], dict[str, list[Part]]]


def metrics(rows: Sequence[dict[str, Any]]) -> list[str]:
    """All metrics that were scored, those of the first row first."""
    return list(dict.fromkeys(m for row in rows for scores in row['scores'].values() for m in scores))


def table(rows: Sequence[dict[str, Any]], metric: str, totals: Totals | None = None) -> list[list[str]]:
    """A line by tag, over all questions, and for each figure of the data set's authors; 95 % intervals in brackets.

    n is the number of questions; those that a metric does not speak of are left out.
    """
    views = [view for view in VIEWS if all(view in row['scores'] for row in rows)]
    scored = [row for row in rows if all(metric in row['scores'][view] for view in views)]
    lines = [[metric, 'n', *views]]
    if not scored:
        return lines
    by_view = {
        view: [Scored(row['id'], tuple(row['tags']), row['scores'][view][metric]) for row in scored] for view in views
    }
    for tag in dict.fromkeys(tag for row in scored for tag in row['tags']):
        lines.append(_line(tag, [[mean(1.0, (s.score for s in by_view[v] if tag in s.tags))] for v in views]))
    lines.append(_line('all', [[mean(1.0, (s.score for s in by_view[v]))] for v in views]))
    figures = [totals(by_view[view]) for view in views] if totals else [{}]
    lines += [_line(name, [found[name] for found in figures]) for name in figures[0]]
    return lines


def _line(name: str, figures: list[list[Part]]) -> list[str]:
    cells = []
    for parts in figures:
        value, (low, high) = combined(parts)
        cells.append(f'{value:.3f} [{low:.2f}, {high:.2f}]')
    return [name, str(sum(part.n for part in figures[0])), *cells]
