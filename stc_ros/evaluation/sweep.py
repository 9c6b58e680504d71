"""Many settings on tuning streams: what accuracy is left at which share recomputed, and at which share kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stc_ros.evaluation.conditions import ABLATIONS, Condition, controls, plain
from stc_ros.evaluation.measure import Outcome
from stc_ros.evaluation.summary import accuracy, divide, summarise
from stc_ros.parameters import pruners
from stc_ros.settings import Settings
from stc_ros.synthetic import PROFILES
from stc_ros.synthetic.forms import TYPES

GOOD_ENOUGH = 0.98  # retention that an operating point must reach on the tuning streams
CHEAPEST = 'cheapest of the sweep'
CHANCE = ('random', 'uniform')  # pruners that do not look; they are compared with, not recommended
OWN = ('none', 'stc', 'delta')  # pruners of the paper and of ours; all others are compared with, at one ratio only
PAPER = {'cacher': 'stc', 'cacher.stc.update_ratio': 0.25, 'pruner': 'stc', 'prune_ratio': 0.67}


@dataclass(frozen=True, slots=True)
class Point:
    """One setting of a sweep.

    curve: "recomputed" or "kept", whose share is the abscissa. change: what differs from `bare` settings.
    """

    curve: str
    series: str
    label: str
    change: dict

    @property
    def name(self) -> str:
        return f'{self.series} {self.label}'

    def condition(self, settings: Settings) -> Condition:
        return Condition(self.name, bare(settings) | self.change)


def bare(settings: Settings) -> Settings:
    """No compression, answers that read no more than was kept."""
    return plain(settings) | {'query.full_latest_frame': 'never'}


def points() -> list[Point]:
    """Every point of both curves."""
    found = []
    for n, similarities in ((4, (0.85, 0.95, 0.99)), (16, (0.7, 0.85, 0.95, 0.99))):
        for s in similarities:
            change = {'cacher': 'threshold', 'cache_similarity': s, 'cacher.threshold.cache_interval': n}
            found.append(Point('recomputed', f'threshold, N={n}', f'{s:g}', change))
    for n, ratios in ((2, (0.25,)), (4, (0.1, 0.25, 0.5)), (16, (0.1, 0.25, 0.5))):
        for r in ratios:
            change = {'cacher': 'stc', 'cacher.stc.update_ratio': r, 'cacher.stc.cache_interval': n}
            found.append(Point('recomputed', f'stc, N={n}', f'r={r:g}', change))
    for s in (0.9, 0.97, 0.99, 0.995, 0.999):
        found.append(Point('recomputed', 'incremental', f'{s:g}', {'cacher': 'incremental', 'cache_similarity': s}))
    for ratio in (0.5, 0.67, 0.8, 0.9):
        for pruner in ('stc', 'delta', *CHANCE):
            found.append(Point('kept', pruner, f'{ratio:g}', {'pruner': pruner, 'prune_ratio': ratio}))
        change = {'pruner': 'delta', 'prune_ratio': ratio, 'query.full_latest_frame': 'always'}
        found.append(Point('kept', 'delta, full latest frame', f'{ratio:g}', change))
        change = {'pruner': 'stc', 'prune_ratio': ratio, 'expert.contiguous_positions': True}
        found.append(Point('kept', 'stc, contiguous positions', f'{ratio:g}', change))
    ratio = PAPER['prune_ratio']
    for pruner in (name for name in pruners.names() if name not in (*OWN, *CHANCE)):
        found.append(Point('kept', pruner, f'{ratio:g}', {'pruner': pruner, 'prune_ratio': ratio}))
    return found


def sweep_conditions(settings: Settings) -> list[Condition]:
    """What the sweep measures: plain, what decides which types count, and every point."""
    return [
        Condition('plain', plain(settings)),
        *(c for c in controls(settings) if c.name in ABLATIONS),
        *(p.condition(settings) for p in points()),
    ]


def read_sweep(outcome: Outcome) -> dict:
    """The sweep's figures, ready for JSON.

    {"tested": types that count, "streams": how many there were,
     "profiles": {profile or "all": {"plain": accuracy, "no_refresh": accuracy, "points": {name: [share, accuracy]}}}}
    Accuracy is the mean over the types that count in all profiles together.
    """
    tested = summarise(outcome, 'plain').tested
    columns = [TYPES.index(name) for name in tested] or list(range(len(TYPES)))
    profiles = {}
    for profile in ('all', *(p for p in PROFILES if p in outcome.profiles)):
        part = outcome if profile == 'all' else outcome.only(profile)

        def mean(condition: str, part: Outcome = part) -> float:
            return float(np.nanmean(accuracy(part.right(condition), part.asked)[columns]))

        profiles[profile] = {
            'plain': round(mean('plain'), 4),
            'no_refresh': round(mean('no_refresh'), 4),
            'points': {p.name: [round(part.share(p.name, p.curve), 4), round(mean(p.name), 4)] for p in points()},
        }
    return {'tested': tested, 'streams': len(outcome.profiles), 'profiles': profiles}


def recommend(swept: dict) -> dict:
    """What the cheapest cacher and the cheapest pruner that lose little enough change of `bare` settings."""
    everything = swept['profiles']['all']
    change = {}
    for curve in ('recomputed', 'kept'):
        candidates = [p for p in points() if p.curve == curve and p.series not in CHANCE]
        best = max(candidates, key=lambda p: _merit(everything['points'][p.name], everything['plain']))
        change.update(best.change)
    return change


def _merit(point: list[float], before: float) -> tuple[bool, float]:
    """Points that are good enough come first, among them the cheapest; else the most accurate."""
    share, after = point
    enough = divide(after, before) >= GOOD_ENOUGH
    return enough, -share if enough else after


def choose_others(settings: Settings, swept: dict) -> dict[str, Settings]:
    """The settings whose cost is measured on test streams, beside those given.

    The sweep's cheapest, the paper's, and those given with answers that read only what was kept of the newest frame,
    and with narrations of which nothing is left out.
    """
    off = bare(settings)
    others = {
        'latest frame pruned': (settings | {'query.full_latest_frame': 'never'}),
        'all clauses': (settings | {'narration.min_confidence': 0.0}),
    }
    two, four = ((off | {**PAPER, 'cacher.stc.cache_interval': n}) for n in (2, 4))
    return {
        CHEAPEST: off | recommend(swept),
        'stc, N=2': two,
        'stc, N=4': four,
        'stc, N=4, contiguous': (four | {'expert.contiguous_positions': True}),
        **{name: one for name, one in others.items() if one != settings},
    }
