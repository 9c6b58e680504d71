"""From counts to figures: accuracy, retention, their intervals, and which types of question test anything.

Questions about one stream are not independent, so intervals come from a bootstrap over streams: the middle 95 % of the
figures that 2000 draws of streams give. Two imaginary streams of one question each, one answered by the plain model
alone and one with the settings alone, may be drawn, too; without them, faultless answers would have an interval of no
width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stc_ros.evaluation.conditions import ABLATIONS, CONTROLS
from stc_ros.evaluation.measure import Outcome
from stc_ros.settings import Settings
from stc_ros.synthetic.forms import TYPES
from stc_ros.synthetic.narration import Score

DRAWS = 2000
MARGIN = 0.05  # a control nearer than this to the plain model means that the type does not test compression

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class TypeFigures:
    """Accuracies of one type of question. `interval` is retention's, which is NaN where plain is 0."""

    n: int
    plain: float
    with_settings: float
    retention: float
    interval: Interval
    plain_interval: Interval
    settings_interval: Interval
    controls: dict[str, float]
    tests_it: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures of one outcome. `retention` is over the types that test it, NaN when none does."""

    types: dict[str, TypeFigures]
    retention: float
    interval: Interval
    retention_all: float  # over all types, with those that cannot tell
    narration: Score  # of all narrations together, with the settings
    narration_plain: Score
    recomputed: float
    kept: float

    @property
    def tested(self) -> list[str]:
        return [name for name, figures in self.types.items() if figures.tests_it]


def can_tell(plain: float, controls: dict[str, float]) -> bool:
    """Whether every ablation costs more than five points."""
    return all(controls[name] < plain - MARGIN for name in ABLATIONS)


def summarise(outcome: Outcome, settings: str = 'settings', tested: list[str] | None = None) -> Summary:
    """Figures of the condition called `settings` against the plain one.

    tested: the types that count for retention; None takes those that pass `can_tell` in this outcome.
    """
    asked, plain, ours = outcome.asked, outcome.right('plain'), outcome.right(settings)
    draws = draw_streams(len(asked))
    controls = {name: accuracy(outcome.right(name), asked) for name in CONTROLS if name in outcome.tallies}
    types = {}
    for i, kind in enumerate(TYPES):
        lost = {name: float(values[i]) for name, values in controls.items()}
        before, after = float(accuracy(plain, asked)[i]), float(accuracy(ours, asked)[i])
        befores, afters = redraw(asked, plain, ours, [i], draws)
        types[kind] = TypeFigures(
            int(asked[:, i].sum()),
            before,
            after,
            divide(after, before),
            middle(ratio(afters, befores)),
            middle(befores),
            middle(afters),
            lost,
            can_tell(before, lost) if tested is None else kind in tested,
        )
    counted = [i for i, kind in enumerate(TYPES) if types[kind].tests_it]
    befores, afters = redraw(asked, plain, ours, counted, draws)
    accuracies = accuracy(ours, asked), accuracy(plain, asked)
    retention, retention_all = (divide(*(np.nansum(a[kinds]) for a in accuracies)) for kinds in (counted, slice(None)))
    return Summary(
        types,
        retention,
        middle(ratio(afters, befores)),
        retention_all,
        sum(outcome.narrations(settings), Score()),
        sum(outcome.narrations('plain'), Score()),
        outcome.share(settings, 'recomputed'),
        outcome.share(settings, 'kept'),
    )


def accuracy(right: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """int [streams, types] both -> float [types]; NaN where nothing was asked."""
    total = asked.sum(0)
    return np.divide(right.sum(0), total, out=np.full(len(total), np.nan), where=total > 0)


def draw_streams(count: int, seed: int = 0) -> np.ndarray:
    """How often each of `count` streams and the two imaginary ones is in each draw, int [DRAWS, count + 2]."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(count + 2, np.full(count + 2, 1 / (count + 2)), DRAWS)


def redraw(asked, plain, ours, columns, draws) -> tuple[np.ndarray, np.ndarray]:
    """Mean accuracy over the types `columns`, plain and with the settings, in each draw: two float [DRAWS]."""
    means = []
    for right, imaginary in ((plain, (1, 0)), (ours, (0, 1))):
        hits = np.vstack([right[:, columns], [[x] * right[:, columns].shape[1] for x in imaginary]])
        totals = np.vstack([asked[:, columns], np.ones((2, hits.shape[1]))])
        means.append(((draws @ hits) / np.maximum(draws @ totals, 1)).sum(1) / max(len(columns), 1))
    return means[0], means[1]


def middle(figures: np.ndarray) -> Interval:
    """The middle 95 % of a figure's draws; NaN where it exists in none."""
    figures = figures[np.isfinite(figures)]
    low, high = np.percentile(figures, [2.5, 97.5]) if len(figures) else (math.nan, math.nan)
    return float(low), float(high)


def ratio(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Retention in each draw; NaN where the plain model knew nothing."""
    return np.divide(after, before, out=np.full(len(before), np.nan), where=before > 0)


def divide(a: float, b: float) -> float:
    return a / b if b else math.nan


def to_json(summary: Summary, profile: str, settings: Settings, seed: int) -> dict:
    """What `--json` writes. Figures that do not exist are null."""
    types = {
        name: {
            'n': f.n,
            'plain': figure(f.plain),
            'with_settings': figure(f.with_settings),
            'retention': figure(f.retention),
            'interval': bounds(f),
            'controls': {k: figure(v) for k, v in f.controls.items()},
            'tests_it': f.tests_it,
        }
        for name, f in summary.types.items()
    }
    narration = summary.narration
    return {
        'types': types,
        'retention': figure(summary.retention),
        'narration': {'object_f1': figure(narration.object_f1), 'clause_f1': figure(narration.clause_f1)},
        'profile': profile,
        'settings': dict(settings),
        'seed': seed,
    }


def bounds(f: TypeFigures) -> list[float | None]:
    """The interval of a retention, if there is any."""
    return [None if math.isnan(f.retention) else figure(x) for x in f.interval]


def figure(x: float) -> float | None:
    """Rounded for JSON, which has no NaN."""
    return None if math.isnan(x) else round(float(x), 4)
