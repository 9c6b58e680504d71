"""The form in which somebody enters what is right: from what is expected to its fields, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stc_ros.evaluation.expectations import NO, NUMBERS, YES, Proposed
from stc_ros.evaluation.question_edit import Plain
from stc_ros.evaluation.question_fields import BESIDE
from stc_ros.evaluation.questions import Question


class LabelError(ValueError):
    """What was entered cannot be written; the file is as it was."""


def expectation(form: Mapping[str, str]) -> dict[str, Any]:
    """What is entered as what stands behind `expect:`. Raises `LabelError`; the rest is checked with the file."""
    kind, value = form.get('kind', ''), form.get('value', '').strip()
    lines = [line.strip() for line in value.splitlines() if line.strip()]
    if not lines:
        raise LabelError('nothing is entered as the right answer')
    if kind in ('exact', 'contains'):
        return {kind: lines[0] if len(lines) == 1 else lines}
    if len(lines) > 1:
        raise LabelError(f'{kind} takes one line')
    beside = form.get(BESIDE.get(kind, ''), '').strip()
    if kind == 'choice':
        options = [line.strip() for line in beside.splitlines() if line.strip()]
        lettered = [re.fullmatch(r'(\w)\s*[:.)]\s*(.+)', option) for option in options]
        of = dict(found.groups() for found in lettered) if options and all(lettered) else options
        return {kind: value, 'of': of}
    if kind == 'number':
        return {kind: Plain(value)} | ({'tolerance': Plain(beside)} if beside else {})
    return {kind: Plain(value.lower()) if kind == 'yes/no' else value}


def as_form(question: Question) -> dict[str, str]:
    """What a form holds at first: what is expected, else a guess from what the robot answered."""
    form = {'kind': 'exact', 'value': '', 'of': '', 'tolerance': '', 'tags': ', '.join(question.tags)}
    if isinstance(question.expect, Proposed):
        proposed = form['value'] = question.expect.text
        words = re.findall(r'\w+', proposed.lower())
        if words and words[0] in YES | NO:
            form |= {'kind': 'yes/no', 'value': 'yes' if words[0] in YES else 'no'}
        elif re.fullmatch(r'[-+]?\d+(\.\d+)?', proposed):
            form['kind'] = 'number'
        elif proposed.lower() in NUMBERS:
            form |= {'kind': 'number', 'value': str(NUMBERS.index(proposed.lower()))}
        return form
    (kind, value), *beside = question.expect.describe().items()
    form |= {'kind': kind, 'value': '\n'.join(value) if isinstance(value, list) else _shortest(value)}
    for name, other in beside:
        if isinstance(other, dict):
            other = [f'{letter}: {text}' for letter, text in other.items()]
        form[name] = '\n'.join(other) if isinstance(other, list) else _shortest(other)
    return form


def _shortest(value: Any) -> str:
    return f'{value:.15g}' if isinstance(value, float) else str(value)
