"""The last line of a result: accuracy over all and by tag, the controls beside it, and what was required."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stc_ros.evaluation.controls import CONTROLS
from stc_ros.evaluation.intervals import wilson
from stc_ros.evaluation.requirements import VERBS, Requirement, mean


def summarize(
    rows: Sequence[dict[str, Any]],
    checks: Sequence[dict[str, Any]],
    requirements: Sequence[Requirement],
    problems: Sequence[str],
) -> dict[str, Any]:
    """The last line: accuracy over all and by tag, beside it the controls', and what was required."""
    tags = dict.fromkeys(tag for row in rows for tag in row['tags'])
    required = [requirement.check(rows, checks) for requirement in requirements]
    met = {name: [check['passed'] for check in checks if check['must'].endswith(verb)] for name, verb in VERBS.items()}
    return {
        'kind': 'summary',
        **_accuracy(rows),
        'by_tag': {tag: _accuracy([row for row in rows if tag in row['tags']]) for tag in tags},
        **{name: {'n': len(each), 'passed': sum(each)} for name, each in met.items()},
        'requirements': required,
        'passed': all(each['passed'] for each in required),
        'problems': list(problems),
    }


def _accuracy(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    accuracy = mean([row['score'] for row in rows])
    controls = {
        name: round(mean([row['controls'][name]['score'] for row in rows]) or 0.0, 6)
        for name in CONTROLS
        if rows and all(name in row['controls'] for row in rows)
    }
    return {
        'accuracy': None if accuracy is None else round(accuracy, 6),
        'n': len(rows),
        'interval': wilson(accuracy or 0.0, len(rows)),
        'controls': controls,
    }
