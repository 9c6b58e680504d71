"""Two results beside each other: which answers got better and worse, and whether that may be chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stc_ros.evaluation.intervals import sign_test
from stc_ros.evaluation.requirements import mean
from stc_ros.evaluation.results import PART, RESULT, read_lines

SAME = 1e-9  # scores that differ by no more are the same


@dataclass(frozen=True, slots=True)
class Comparison:
    """Pairs of question lines, before and after, of the questions that both results have."""

    pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]]
    alone: tuple[int, int]  # how many questions only the first and only the second result has

    @property
    def better(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return [(a, b) for a, b in self.pairs if b['score'] > a['score'] + SAME]

    @property
    def worse(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return [(a, b) for a, b in self.pairs if b['score'] < a['score'] - SAME]

    @property
    def p_value(self) -> float:
        """Exact McNemar test, a sign test where scores lie between 0 and 1."""
        return sign_test(len(self.better), len(self.worse))

    @property
    def accuracy(self) -> tuple[float, float]:
        return mean([a['score'] for a, _ in self.pairs]) or 0.0, mean([b['score'] for _, b in self.pairs]) or 0.0

    def significantly_worse(self, alpha: float) -> bool:
        return len(self.worse) > len(self.better) and self.p_value < alpha


def find_result(path: Path) -> Path:
    """A result.jsonl, the folder that has it, or the folder of a single such folder. Raises `ValueError`."""
    if path.is_file():
        return path
    if (path / RESULT).is_file():
        return path / RESULT
    inside = sorted(path.glob(f'*/{RESULT}'))
    if len(inside) == 1:
        return inside[0]
    if inside:
        names = ', '.join(str(file.parent) for file in inside)
        raise ValueError(f'{path} has the results of several settings; name one of them: {names}')
    if list(path.glob(f'**/{RESULT}{PART}')):
        raise ValueError(f'{path}: its evaluation was not finished; the same command again goes on with it')
    raise ValueError(f'{path}: there is no {RESULT}: give the folder that stc_ros evaluate --out wrote')


def compare(before: Path, after: Path) -> Comparison:
    """Raises `ValueError` where the two cannot be compared."""
    first, second = _questions(find_result(before)), _questions(find_result(after))
    both = [id for id in first if id in second]
    for id in both:
        for key in ('question', 'camera', 'stamp', 'expected'):
            if first[id][key] != second[id][key]:
                raise ValueError(
                    f'question {id!r} is not the same in both: its {key} is {first[id][key]!r} in {before}, '
                    f'{second[id][key]!r} in {after}: compare results of one bag and one question file'
                )
    if not both:
        raise ValueError(f'{before} and {after} have no question in common')
    return Comparison([(first[id], second[id]) for id in both], (len(first) - len(both), len(second) - len(both)))


def _questions(file: Path) -> dict[str, dict[str, Any]]:
    lines = [line for line in read_lines(file) if isinstance(line, dict)]
    if not lines or lines[0].get('kind') != 'run' or lines[-1].get('kind') != 'summary':
        raise ValueError(f'{file}: not the whole result of stc_ros evaluate')
    return {line['id']: line for line in lines if line['kind'] == 'question'}


def by_tag(comparison: Comparison) -> dict[str, Comparison]:
    """The same for each tag alone."""
    tags = dict.fromkeys(tag for a, _ in comparison.pairs for tag in a['tags'])
    return {tag: Comparison([p for p in comparison.pairs if tag in p[0]['tags']], (0, 0)) for tag in tags}
