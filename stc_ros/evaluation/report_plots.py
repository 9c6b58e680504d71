"""The report's plots: SVG to stand inside HTML, whose colours and fonts are the page's own. Drawn by matplotlib."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import numpy as np

SERIES = 8  # colours --s0 to --s7 of the page
TEXT, GRID = '#00b001', '#00b002'  # stand for colours of the page; see `_inline`
BINS = 240  # of a plot along time: at most that many steps
NOT_INLINE = re.compile(  # prologue, a style for the whole page, names that would be there twice, empty groups
    r'<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<style.*?</style>| id="[a-z0-9.]+_\d+"|<g/>|font-family: [^;]*; ', re.DOTALL
)


def available() -> bool:
    """Whether matplotlib is installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def along_time(series: Sequence[tuple[int, np.ndarray, np.ndarray]], end: float, top: float) -> str:
    """Lines over the whole width and height, to be stretched: x from 0 to `end`, y from 0 to `top`.

    series: number of the colour, times and values, [n] both. Of more than `BINS` values a line shows the mean of each
    step and a band from its least to its largest.
    """
    figure, axes = _figure(700, 100)
    axes.set_position((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, end or 1)
    axes.set_ylim(0, top or 1)
    for colour, t, values in series:
        known = np.isfinite(values)
        t, values = t[known], values[known]
        if len(t) > BINS:
            t, least, values, most = _binned(t, values, end)
            axes.fill_between(t, least, most, color=_series(colour), alpha=0.25, linewidth=0, clip_on=False)
        axes.plot(t, values, color=_series(colour), linewidth=1.3, clip_on=False, solid_joinstyle='round')
    return _inline(figure).replace('<svg ', '<svg preserveAspectRatio="none" ', 1)


def _binned(t: np.ndarray, values: np.ndarray, end: float) -> tuple[np.ndarray, ...]:
    """Times, least, mean and largest value of each step that has any."""
    place = np.minimum((t / (end or 1) * BINS).astype(int), BINS - 1)
    first = np.flatnonzero(np.diff(place, prepend=-1))
    counts = np.diff(np.append(first, len(t)))
    mean = np.add.reduceat(values, first) / counts
    return t[first], np.minimum.reduceat(values, first), mean, np.maximum.reduceat(values, first)


def histogram(series: Sequence[tuple[int, np.ndarray]], unit: str) -> str:
    """How often which value came, as a share of each series; the axis of values is logarithmic."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

    figure, axes = _figure(440, 210)
    axes.set_position((0.105, 0.2, 0.875, 0.74))
    everything = np.concatenate([values[values > 0] for _, values in series])
    low, high = everything.min(), everything.max()
    low, high = (low, high) if high > 1.05 * low else (low / 1.3, high * 1.3)
    edges = np.geomspace(low, high * 1.0001, 1 + min(max(round(len(everything) ** 0.5), 8), 40))
    for colour, values in series:
        shares = np.histogram(values, edges)[0] / max(len(values), 1)
        axes.stairs(shares, edges, fill=True, color=_series(colour), alpha=0.22, linewidth=0)
        axes.stairs(shares, edges, color=_series(colour), linewidth=1.5)
        middle = np.median(values)
        axes.axvline(middle, color=_series(colour), linewidth=1, linestyle=(0, (3, 2)))
    axes.set_xscale('log')
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 5, 10), min_n_ticks=2))
    axes.set_xlabel(unit, color=TEXT, labelpad=2)
    axes.tick_params(colors=TEXT, which='both', length=0, labelsize=11)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set(visible=side == 'bottom', color=GRID)
    return _inline(figure)


def _figure(width: int, height: int):
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure((width / 72, height / 72), dpi=72, frameon=False)
    FigureCanvasSVG(figure)
    return figure, figure.add_subplot(frameon=True, facecolor='none')


def _series(number: int) -> str:
    return f'#00a00{number % SERIES}'


def _inline(figure) -> str:
    """The figure as an <svg> element without what a page has already; its colours are variables of the page."""
    import matplotlib

    file = io.StringIO()
    nothing = dict.fromkeys(('Creator', 'Date', 'Format', 'Type'))
    with matplotlib.rc_context({'svg.fonttype': 'none', 'svg.hashsalt': 'stc_ros', 'font.size': 11}):
        figure.savefig(file, format='svg', metadata=nothing, transparent=True)
    svg = NOT_INLINE.sub('', re.sub(r' id="[a-z0-9.]+_\d+"', '', file.getvalue()))
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', '', svg)
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r'(\.\d)\d+', r'\1', path[0]), svg)
    svg = re.sub(r'#00a00(\d)', r'var(--s\1)', svg).replace(TEXT, 'var(--quiet)').replace(GRID, 'var(--line)')
    return re.sub(r'\s+', ' ', svg).strip()
