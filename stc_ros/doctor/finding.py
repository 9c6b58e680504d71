"""What a check has found, and how findings are written."""

from __future__ import annotations

import enum
import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 100


class Level(enum.IntEnum):
    """As in diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


COLOURS = {Level.OK: '32', Level.WARN: '33', Level.ERROR: '31'}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is right, may go wrong, or is wrong; the latter two with their remedy."""

    check: str
    level: Level
    text: str
    remedy: str = ''

    def __str__(self) -> str:
        return f'{self.check}: {self.text}' + (f' -> {self.remedy}' if self.remedy else '')


def worst(findings: Sequence[Finding]) -> Level:
    return max((finding.level for finding in findings), default=Level.OK)


def as_text(findings: Sequence[Finding], colours: bool = False) -> str:
    """A paragraph for each finding; remedies stand behind an arrow."""
    lines = []
    for finding in findings:
        name = f'{finding.level.name:<5}'
        mark = f'\033[{COLOURS[finding.level]}m{name}\033[0m' if colours else name
        text = textwrap.wrap(f'{finding.check}: {finding.text}', WIDTH, subsequent_indent=' ' * 6)
        remedy = textwrap.wrap(finding.remedy, WIDTH, initial_indent='   -> ', subsequent_indent=' ' * 6)
        lines += [f'{mark} {text[0]}', *text[1:], *remedy]
    return '\n'.join(lines)


def as_json(findings: Sequence[Finding]) -> str:
    """A JSON object: the worst level, and a list of findings."""
    listed = [
        {'check': f.check, 'level': f.level.name, 'text': f.text, 'remedy': f.remedy} for f in findings
    ]  # fmt: skip
    return json.dumps({'level': worst(findings).name, 'findings': listed}, indent=2)
