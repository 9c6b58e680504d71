"""Compare the results of two evaluations, question by question.

A and B are folders that `stc_ros evaluate --out` wrote, of the same bag and the same questions: A before, B after. The
test is exact, two-sided, and made for paired answers (McNemar's; a sign test where scores lie between 0 and 1).

Exit code: 0, 1 where B is significantly worse (--any: worse at any question), 2 where the two cannot be compared.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

LONGEST = 60  # characters of an answer in a table


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        'compare',
        help='what got better and worse between two evaluations',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('before', type=Path, metavar='A', help='result.jsonl or its folder')
    parser.add_argument('after', type=Path, metavar='B', help='result.jsonl or its folder')
    parser.add_argument('--markdown', action='store_true', help='Markdown, for a pull request')
    parser.add_argument('--alpha', type=_share, default=0.05, metavar='P', help='level of significance (0.05)')
    parser.add_argument('--any', action='store_true', help='exit with 1 where any question got worse')


def run(options: argparse.Namespace) -> int:
    from stc_ros.evaluation.compare import compare

    try:
        comparison = compare(options.before, options.after)
    except (OSError, ValueError) as error:
        print(f'compare: {error}', file=sys.stderr)
        return 2
    print(write(comparison, options))
    worse = bool(comparison.worse) if options.any else comparison.significantly_worse(options.alpha)
    return int(worse)


def write(comparison: Any, options: argparse.Namespace) -> str:
    """The comparison in words and tables."""
    from stc_ros.evaluation.compare import by_tag
    from stc_ros.evaluation.report import as_markdown, as_text

    table = as_markdown if options.markdown else as_text
    title = f'{options.before} -> {options.after}'
    lines = [f'### {title}' if options.markdown else title, '']
    rows = [['tag', 'n', 'A', 'B', 'better', 'worse', 'p']]
    for name, each in {**by_tag(comparison), 'all': comparison}.items():
        first, second = each.accuracy
        counts = [str(len(each.better)), str(len(each.worse))]
        rows.append([name, str(len(each.pairs)), f'{first:.3f}', f'{second:.3f}', *counts, f'{each.p_value:.3g}'])
    lines += [table(rows), '', verdict(comparison, options.alpha)]
    if any(comparison.alone):
        lines += ['', f'Left out: {comparison.alone[0]} questions that only A has, {comparison.alone[1]} only B.']
    for what, pairs in (('worse', comparison.worse), ('better', comparison.better)):
        if pairs:
            found = [['id', 'question', 'expected', 'A', 'B']]
            for a, b in pairs:
                expected = ', '.join(str(value) for value in a['expected'].values())
                found.append([_cell(text) for text in (a['id'], a['question'], expected, _said(a), _said(b))])
            lines += ['', f'**{what}**' if options.markdown else f'{what}:', '', table(found)]
    return '\n'.join(lines)


def verdict(comparison: Any, alpha: float) -> str:
    better, worse, p = len(comparison.better), len(comparison.worse), comparison.p_value
    if not better and not worse:
        return 'No answer got better or worse.'
    if p >= alpha:
        return f'{better} better, {worse} worse: that may be chance (p = {p:.3g}).'
    return (
        f'{better} better, {worse} worse: B is significantly {"better" if better > worse else "worse"} (p = {p:.3g}).'
    )


def _said(line: dict[str, Any]) -> str:
    return line['answer'] if line['error'] == 'NONE' else f'{line["error"]} {line["answer"]}'.strip()


def _cell(text: str) -> str:
    text = ' '.join(text.split()).replace('|', '\\|')
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + '…'


def _share(text: str) -> float:
    if not 0 < (value := float(text)) < 1:
        raise argparse.ArgumentTypeError('between 0 and 1')
    return value
