"""What a search has found: the Pareto front as a table, as a picture, and as files of settings that the node takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stc_ros.evaluation.compare import compare
from stc_ros.evaluation.controls import CONTROLS
from stc_ros.evaluation.intervals import sign_test, wilson
from stc_ros.evaluation.overall import pooled
from stc_ros.evaluation.results import read_summary
from stc_ros.evaluation.tune import Trial
from stc_ros.evaluation.tune_space import Space
from stc_ros.evaluation.tune_trial import UNITS, changes
from stc_ros.parameters import in_use
from stc_ros.settings import Settings

FRONT, PICTURE, TABLE, BEST = 'pareto', 'pareto.png', 'pareto.md', 'best.yaml'
NODE = '/**'  # of any name


@dataclass(frozen=True, slots=True)
class Found:
    """A search's outcome. held: by number of a trial its figures on the held-out questions, and its folders of them."""

    trials: Sequence[Trial]
    front: Sequence[Trial]
    best: Trial
    space: Space
    cost: str
    held: Mapping[int, tuple[dict[str, Any], Sequence[Path]]]

    @property
    def first(self) -> Trial:
        return self.trials[0]

    @property
    def shown(self) -> list[Trial]:
        """The front, and the defaults, where they are no part of it."""
        rest = [] if any(each.number == self.first.number for each in self.front) else [self.first]
        return [*self.front, *rest]


def held_out(folders: Sequence[Path]) -> tuple[dict[str, Any], Sequence[Path]]:
    """Figures over recordings, of folders that have been evaluated."""
    return pooled([read_summary(folder) for folder in folders]), folders


def rows(found: Found) -> list[list[str]]:
    """The table: a row for each point of the front, and for the defaults."""
    head = ['trial', UNITS[found.cost], 'saved', 'accuracy', '95 %']
    head += ['held out', '95 %', *CONTROLS] if found.held else []
    lines = [head]
    for each in found.shown:
        mark = {found.best.number: f'{each.number} best', 0: '0 defaults'}.get(each.number, str(each.number))
        mark = '0 defaults, best' if each.number == found.best.number == 0 else mark
        line = [mark, f'{each.cost:.1f}', f'{1 - each.cost / found.first.cost if found.first.cost else 0:.0%}']
        line += [f'{each.accuracy:.3f}', _interval(wilson(each.accuracy, each.n))]
        if found.held:
            figures, _ = found.held[each.number]
            line += [_number(figures['accuracy']), _interval(figures['interval'])]
            line += [_number(figures['controls'].get(name)) for name in CONTROLS]
        lines.append(line)
    return lines


def settings_of(found: Found) -> list[str]:
    """A line for each row of the table: what its settings change."""
    changed = {each.number: changes(each.settings, found.space.base) for each in found.shown if each.number}
    return [f'{number}: ' + ', '.join(f'{k} {v}' for k, v in values.items()) for number, values in changed.items()]


def verdict(found: Found) -> list[str]:
    """What was gained, and how far that may be believed."""
    best, first = found.best, found.first
    lines = [
        f'best: trial {best.number}, {best.cost:.1f} {UNITS[found.cost]} against {first.cost:.1f} with the defaults, '
        f'accuracy {best.accuracy:.3f} against {first.accuracy:.3f} on the {best.n} questions it was tuned on'
    ]
    if found.held:
        (mine, folders), (theirs, others) = found.held[best.number], found.held[first.number]
        better, worse = _against(others, folders)
        lines.append(
            f'held out: {mine["accuracy"]:.3f} against {theirs["accuracy"]:.3f} on {mine["n"]} questions: {better} '
            f'better, {worse} worse (p = {sign_test(better, worse):.2g})'
        )
    lines.append(
        f'The best of {len(found.trials)} trials on {best.n} questions is best by luck, too: expect less on others'
        + (', as on those that were held out.' if found.held else ', and hold some out (--holdout).')
    )
    return lines


def _against(before: Sequence[Path], after: Sequence[Path]) -> tuple[int, int]:
    """How many answers got better and worse, over all recordings."""
    pairs = [compare(a, b) for a, b in zip(before, after)]
    return sum(len(each.better) for each in pairs), sum(len(each.worse) for each in pairs)


def node_file(settings: Settings, names: Sequence[str], comment: Sequence[str]) -> str:
    """A file of parameters in the form of config/stream.yaml: these names, and all that differs from the defaults."""
    wanted = {*names, *settings.changed()}
    content: dict[str, Any] = {}
    for name in in_use(settings):
        if name in wanted:
            *groups, leaf = name.split('.')
            inner = content
            for group in groups:
                inner = inner.setdefault(group, {})
            inner[leaf] = settings[name]
    text = yaml.safe_dump({NODE: {'ros__parameters': content}}, sort_keys=False, allow_unicode=True)
    return ''.join(f'# {line}\n' for line in comment) + text


def write_files(found: Found, out: Path, about: str) -> list[Path]:
    """A file of settings for each point of the front, and one for the best -> their paths, the best's first."""
    folder = out / FRONT
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob('*.yaml'):
        old.unlink()
    written = []
    for path, each in [(out / BEST, found.best), *((folder / f'{t.number}.yaml', t) for t in found.front)]:
        said = f'Trial {each.number} of {about}: accuracy {each.accuracy:.3f} on the {each.n} questions of the search,'
        first = f'(defaults: {found.first.accuracy:.3f}, {found.first.cost:.1f})'
        lines = [said, f'{each.cost:.1f} {UNITS[found.cost]} {first}.']
        if found.held:
            figures, _ = found.held[each.number]
            lines.append(f'On {figures["n"]} questions that were held out: accuracy {_number(figures["accuracy"])}.')
        path.write_text(node_file(each.settings, found.space.names(each.settings), lines), encoding='utf-8')
        written.append(path)
    return written


def draw(found: Found, file: Path) -> bool:
    """The picture of all trials; False where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(7, 4.5), layout='constrained')
    axes = figure.add_subplot()
    axes.scatter([t.cost for t in found.trials], [t.accuracy for t in found.trials], s=18, c='#9aa3ad', label='trials')
    axes.step(
        [t.cost for t in found.front], [t.accuracy for t in found.front], where='post', marker='o', c='#1f77b4',
        label='Pareto front',
    )  # fmt: skip
    if found.held:
        held = [(t.cost, found.held[t.number][0]['accuracy']) for t in found.shown]
        axes.scatter(*zip(*held), s=40, facecolors='none', edgecolors='#d62728', label='the same, held-out questions')
    axes.scatter(found.first.cost, found.first.accuracy, marker='s', s=60, c='#2ca02c', zorder=3, label='defaults')
    axes.scatter(found.best.cost, found.best.accuracy, marker='*', s=160, c='#ff7f0e', zorder=4, label='best.yaml')
    for each in found.front:
        axes.annotate(str(each.number), (each.cost, each.accuracy), (4, -11), textcoords='offset points', fontsize=8)
    axes.set_xlabel(f'{UNITS[found.cost]} (less is better)')
    axes.set_ylabel(f'accuracy on {found.first.n} questions')
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(file, dpi=140)
    return True


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.3f}'


def _interval(bounds: Sequence[float]) -> str:
    return f'{bounds[0]:.2f}..{bounds[1]:.2f}'
