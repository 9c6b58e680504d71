"""The tables that are printed and that stand in docs/quality.md."""

from __future__ import annotations

import math
import platform

from stc_ros.evaluation.conditions import CONTROLS, HOLD
from stc_ros.evaluation.measure import usable_cores
from stc_ros.evaluation.summary import MARGIN, Interval, Summary
from stc_ros.synthetic.narration import Score

HEADER = ['type', 'n', 'plain', 'with settings', 'retention', *CONTROLS, 'tests it']
LEGEND = f"""\
plain: cacher and pruner none. In brackets: 95 % intervals, from a bootstrap over streams.
blank: grey frames. newest: a stream that saw only the newest frame. no_refresh: a cacher that never refreshes; behind
the first frame no layer computes anything anew. reversed: the frames backwards, the oldest one last. random, uniform:
the settings, with as many tokens of each frame as their pruner keeps, but chosen without looking. held: plain, but
shown only every {HOLD}th frame, which stays for {HOLD}.
tests it: blank, newest and no_refresh are each more than {MARGIN * 100:.0f} points below plain, so that losing
what was seen, what is past or what is new would show. Other types do not count for the retention of all."""


def table(summary: Summary) -> list[list[str]]:
    """A row per type, under `HEADER`."""
    rows = []
    for name, f in summary.types.items():
        rows.append(
            [
                name,
                str(f.n),
                about(f.plain, f.plain_interval),
                about(f.with_settings, f.settings_interval),
                about(f.retention, f.interval),
                *(number(f.controls.get(c, math.nan)) for c in CONTROLS),
                'yes' if f.tests_it else 'does not test this',
            ]
        )
    return rows


def verdict(summary: Summary) -> list[str]:
    """Retention, narration and savings, a line each."""
    types = ', '.join(summary.tested) or 'no type tests it'
    narration, narration_plain = scores(summary.narration), scores(summary.narration_plain)
    return [
        f'retention {about(summary.retention, summary.interval)} over {types}; '
        f'over all types {number(summary.retention_all)}',
        'narration with settings: object F1 {}, clause F1 {}, {} of the clauses said are right; plain: {}, {}, '
        '{}'.format(*narration, *narration_plain),
        f'patches recomputed {summary.recomputed:.0%}, visual tokens kept {summary.kept:.0%}',
    ]


def scores(narration: Score) -> tuple[str, str, str]:
    """Object F1, clause F1, and the share of the clauses said that are right."""
    return number(narration.object_f1), number(narration.clause_f1), number(narration.clause_precision)


def print_summary(summary: Summary, title: str) -> None:
    print(f'\n{title}\n')
    print(as_text([HEADER, *table(summary)]))
    print()
    print('\n'.join(verdict(summary)))
    print(f'\n{LEGEND}')


def as_text(rows: list[list[str]]) -> str:
    """Columns side by side, the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append('  '.join([row[0].ljust(widths[0]), *cells]).rstrip())
    return '\n'.join(lines)


def as_markdown(rows: list[list[str]]) -> str:
    head, *body = ['| ' + ' | '.join(row) + ' |' for row in rows]
    return '\n'.join([head, '|---' + '|---:' * (len(rows[0]) - 1) + '|', *body])


def about(value: float, bounds: Interval) -> str:
    """0.93 [0.90, 0.95]"""
    return number(value) if math.isnan(value) else f'{number(value)} [{number(bounds[0])}, {number(bounds[1])}]'


def number(value: float) -> str:
    return '-' if math.isnan(value) else f'{value:.2f}'


def machine() -> str:
    """The machine in words: processor and usable cores."""
    name = platform.processor() or platform.machine()
    try:
        with open('/proc/cpuinfo') as file:
            name = next(line.split(':')[1].strip() for line in file if line.startswith('model name'))
    except (OSError, StopIteration):
        pass
    return f'{name}, {usable_cores()} cores'
