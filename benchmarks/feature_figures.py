"""What features.py shows: its table, and pictures of the error along a clip and of error against cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from feature_scores import Trace, error

LEAST = 1e-5  # error and cost that are drawn as this much when they are less, or nothing at all
CHEAPEST = 0.01
CONTROLS = ('hold', 'first frame', 'random rows')
# key, heading, form, and what it is (for the legend under the table)
COLUMNS = (
    ('share', 'share', '.3f', 'of the patches recomputed'),
    ('cost', 'cost', '.3f', "time of a frame over the plain tower's"),
    ('cost_operations', 'ops', '.3f', 'cost by floating-point operations'),
    ('dearest', 'dearest', '.2f', "the dearest kind of frame over plain's"),
    ('cosine', 'cosine', '.4f', "of patches' features with the plain tower's"),
    ('cosine_p1', 'p1', '.3f', 'its first percentile'),
    ('cosine_moving', 'moving', '.3f', 'where the true feature changed from the last frame'),
    ('cosine_still', 'still', '.4f', 'elsewhere'),
    ('worst_frame', 'worst', '.3f', 'mean of the worst frame'),
    ('iou', 'IoU', '.3f', "of the head's masks"),
    ('ms_p50', 'p50', '.0f', 'milliseconds of a frame'),
    ('ms_p99', 'p99', '.0f', 'milliseconds of a frame'),
    ('reused', 'reused', '.4f', 'cosine of what a frame reused'),
    ('stated', 'stated', '.4f', "the cacher's own estimate of it"),
    ('stated_error', 'off by', '.4f', 'its error over 16 frames'),
    ('held', 'held', '.2f', 'of 16-frame windows that kept the similarity asked for'),
)


def table(rows: list[dict]) -> str:
    """The rows of one input as aligned text; '-' where there is nothing to measure."""
    first = max(len('mode'), *(len(row['mode']) for row in rows)) + 1
    lines = ['mode'.ljust(first) + ''.join(head.rjust(8) for _, head, _, _ in COLUMNS) + '  settings']
    for row in rows:
        cells = ('-' if row[key] is None else format(row[key], form) for key, _, form, _ in COLUMNS)
        lines.append(row['mode'].ljust(first) + ''.join(cell.rjust(8) for cell in cells) + '  ' + row['settings'])
    return '\n'.join(lines)


def legend() -> str:
    return '; '.join(f'{head}: {text}' for _, head, _, text in COLUMNS)


def draw_along(traces: list[Trace], title: str, file: Path) -> None:
    """1 - mean cosine of each frame, by mode."""
    pyplot = load_pyplot()
    figure, axes = pyplot.subplots(figsize=(11, 5))
    for number, trace in enumerate(t for t in traces if t.name != 'plain'):
        values = np.maximum(error(trace), LEAST)
        control = trace.name in CONTROLS
        axes.plot(
            range(1, len(values) + 1),
            values,
            color=f'C{number % 10}',
            linewidth=1.0 if control else 1.8,
            linestyle='--' if control else '-',
            label=label(trace),
        )
    axes.set(xlabel='frame', ylabel='1 - mean cosine', yscale='log', title=title)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3, which='both')
    axes.legend(fontsize=8, loc='upper left', bbox_to_anchor=(1.01, 1))
    save(figure, file)


def draw_frontier(rows: list[dict], held: list[dict], title: str, file: Path) -> None:
    """1 - mean cosine against cost; `held` are rows of the hold control at several costs, the line to stay below."""
    pyplot = load_pyplot()
    figure, axes = pyplot.subplots(figsize=(8, 6))
    axes.plot(
        *zip(*sorted(point(row) for row in held)),
        color='grey',
        linestyle='--',
        linewidth=1,
        label='hold every n-th frame',
    )
    for number, row in enumerate(row for row in rows if row['mode'] != 'plain'):  # colours as along the clip
        if row['mode'] == 'hold':
            continue
        x, y = point(row)
        axes.plot(x, y, 'x' if row['mode'] in CONTROLS else 'o', color=f'C{number % 10}', markersize=7)
        text = row['mode'] + ('' if row['cost'] >= CHEAPEST else ' (next to nothing)')
        axes.annotate(text, (x, y), xytext=(6, -11 if number % 2 else 5), textcoords='offset points', fontsize=8)
    axes.set(
        xlabel="cost, time over the plain tower's", ylabel='1 - mean cosine', xscale='log', yscale='log', title=title
    )
    axes.grid(alpha=0.3, which='both')
    axes.margins(x=0.15)
    axes.legend(fontsize=8)
    save(figure, file)


def point(row: dict) -> tuple[float, float]:
    return max(row['cost'], CHEAPEST), max(1 - row['cosine'], LEAST)


def label(trace: Trace) -> str:
    return f'{trace.name} {trace.about}' if trace.name == 'hold' else trace.name


def load_pyplot():
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    return pyplot


def save(figure, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    load_pyplot().close(figure)
