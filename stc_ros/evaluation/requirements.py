"""Pass conditions: `accuracy >= 0.9 on tag:door`."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

COMPARE = {'>=': operator.ge, '<=': operator.le, '>': operator.gt, '<': operator.lt, '==': operator.eq}
METRICS = {
    'accuracy': 'the mean score of the questions',
    'narration': 'the share of the narration expectations that are met',
    'events': 'the share of the event expectations that are met',
    'gain': 'accuracy above that of the best control',
}
VERBS = {'narration': 'say', 'events': 'happen'}  # what an expectation of theirs must do, or must not
FORM = 'METRIC >= NUMBER [on tag:NAME or on camera:NAME], as in "accuracy >= 0.9 on tag:door"'
_READ = re.compile(r'\s*(\w+)\s*(>=|<=|==|>|<)\s*([0-9.]+)(\s*%)?\s*(?:on\s+(tag|camera):(.+?))?\s*')


@dataclass(frozen=True, slots=True)
class Requirement:
    """One pass condition. where: 'tag', 'camera' or '' for all questions."""

    text: str
    metric: str
    compare: str
    wanted: float
    where: str = ''
    name: str = ''

    def check(self, rows: Iterable[Mapping[str, Any]], checks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """The questions' and the expectations' results -> what was measured, and whether that suffices.

        Where nothing could be measured, it is not met.
        """
        value = self.measure([r for r in rows if self.covers(r)], [c for c in checks if self.covers(c)])
        passed = value is not None and COMPARE[self.compare](round(value, 9), self.wanted)
        return {'text': self.text, 'value': None if value is None else round(value, 6), 'passed': passed}

    def covers(self, row: Mapping[str, Any]) -> bool:
        """Whether a question or an expectation counts here."""
        return not self.where or self.name in (row['tags'] if self.where == 'tag' else (row['camera'],))

    def measure(self, rows: list[Mapping[str, Any]], checks: list[Mapping[str, Any]]) -> float | None:
        if verb := VERBS.get(self.metric):
            return mean([check['passed'] for check in checks if check['must'].endswith(verb)])
        accuracy = mean([row['score'] for row in rows])
        if self.metric == 'accuracy' or accuracy is None:
            return accuracy
        named = rows[0].get('controls', {})
        controls = [mean([row['controls'][name]['score'] for row in rows]) for name in named]
        return accuracy - max(controls) if controls else None


def read_requirement(text: str) -> Requirement:
    """Raises `ValueError`, which says what is expected."""
    found = _READ.fullmatch(text)
    if not found:
        raise ValueError(f'{text!r} is no requirement: it has the form {FORM}')
    metric, compare, number, percent, where, name = found.groups()
    if metric not in METRICS:
        raise ValueError(
            f'nothing called {metric!r} is measured; there is ' + ', '.join(f'{m} ({t})' for m, t in METRICS.items())
        )
    try:
        wanted = float(number) / (100 if percent else 1)
    except ValueError:
        raise ValueError(f'{number!r} is no number') from None
    if wanted > 1:
        raise ValueError(f'{metric} lies between 0 and 1; for {number} percent write {number} %')
    return Requirement(' '.join(text.split()), metric, compare, wanted, where or '', name or '')


def mean(values: list) -> float | None:
    return sum(values) / len(values) if values else None
