"""The two curves of a sweep as pictures: a panel per profile, a line per method."""

from __future__ import annotations

from pathlib import Path

from stc_ros.evaluation.sweep import points

STYLE = {
    'threshold, N=4': ('C0', 'o-'),
    'threshold, N=16': ('C0', 's--'),
    'stc, N=2': ('C1', 'v:'),
    'stc, N=4': ('C1', 'o-'),
    'stc, N=16': ('C1', 's--'),
    'incremental': ('C2', 'D-'),
    'stc': ('C1', 'o-'),
    'delta': ('C2', 'D-'),
    'delta, full latest frame': ('C2', 'd--'),
    'stc, contiguous positions': ('C3', 's--'),
    'random': ('C7', 'x:'),
    'uniform': ('C8', '+:'),
}
MARKS = 'Pp*^<>hHX8dv'  # of the others
ABSCISSA = {'recomputed': 'share of patches recomputed', 'kept': 'share of visual tokens kept'}


def draw(swept: dict, curve: str, file: Path) -> None:
    """Write the picture of one curve, "recomputed" or "kept". Raises `ImportError` without matplotlib."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    profiles = [p for p in swept['profiles'] if p != 'all']
    figure, panels = pyplot.subplots(
        1, len(profiles), figsize=(3.6 * len(profiles), 3.9), sharex=True, sharey=True, squeeze=False
    )
    for panel, profile in zip(panels[0], profiles):
        measured = swept['profiles'][profile]
        panel.axhline(measured['plain'], color='black', linewidth=1, label='plain')
        if curve == 'recomputed':
            panel.axhline(measured['no_refresh'], color='black', linewidth=1, linestyle=':', label='never refreshes')
        lines: dict[str, list] = {}
        for point in points():
            if point.curve == curve:
                lines.setdefault(point.series, []).append(measured['points'][point.name])
        for number, (series, line) in enumerate(lines.items()):
            colour, style = STYLE.get(series, (f'C{number % 10}', MARKS[number % len(MARKS)]))
            panel.plot(*zip(*sorted(line)), style, color=colour, label=series, markersize=4, linewidth=1)
        panel.set_title(profile)
        panel.set_xlabel(ABSCISSA[curve])
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel('accuracy')
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='lower center', ncols=min(len(labels), 7), fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.12 if len(labels) > 7 else 0.07, 1, 1))
    figure.savefig(file, dpi=90)
    pyplot.close(figure)
