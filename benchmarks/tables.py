"""Tables of docs/performance.md."""

from __future__ import annotations


def number(value, form: str) -> str:
    return '' if value is None or value != value else f'{value:{form}}'


def table(head: tuple, lines: list) -> str:
    return '\n'.join('| ' + ' | '.join(map(str, line)) + ' |' for line in (head, ['---'] * len(head), *lines)) + '\n'
