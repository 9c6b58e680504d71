"""Results as JUnit XML, which every CI shows: a test case for each question, expectation and requirement."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_FORBIDDEN = re.compile('[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]')  # in XML 1.0


def write_junit(file: Path, name: str, lines: Iterable[Mapping[str, Any]]) -> None:
    """lines: of a result.jsonl. Where there are requirements they alone fail; a wrong answer is then a skipped case."""
    cases: dict[str, list[ET.Element]] = {'questions': [], 'narration': [], 'events': [], 'requirements': []}
    lines = list(lines)
    judged = any(line['requirements'] for line in lines if line['kind'] == 'summary')
    failure = 'skipped' if judged else 'failure'
    for line in lines:
        if line['kind'] == 'question':
            expected = ', '.join(f'{key}: {value}' for key, value in line['expected'].items())
            told = f'answered {line["answer"]!r}, expected {expected}'
            told += '' if line['error'] == 'NONE' else f' ({line["error"]})'
            case = _case(f'{name}.{line["camera"]}', f'{line["id"]}: {line["question"]}', line['passed'], failure, told)
            cases['questions'].append(case)
        elif line['kind'] == 'expectation':
            case = _case(
                f'{name}.{line["camera"]}',
                f'must {line["must"]}: {line["text"]}',
                line['passed'],
                failure,
                'it does not',
            )
            cases['events' if line['must'].endswith('happen') else 'narration'].append(case)
        elif line['kind'] == 'summary':
            for each in line['requirements']:
                told = f'measured {each["value"]}'
                cases['requirements'].append(
                    _case(f'{name}.requirements', each['text'], each['passed'], 'failure', told)
                )
            cases['input'] = [_case(f'{name}.input', each, False, 'error', each) for each in line['problems']]
    top = ET.Element('testsuites', name='stc_ros evaluate')
    for suite, found in cases.items():
        if found:
            counts = {kind: str(sum(case.find(tag) is not None for case in found)) for kind, tag in _COUNTED}
            ET.SubElement(top, 'testsuite', name=f'{name} {suite}', tests=str(len(found)), **counts).extend(found)
    ET.indent(top)
    ET.ElementTree(top).write(file, encoding='utf-8', xml_declaration=True)


_COUNTED = ('failures', 'failure'), ('errors', 'error'), ('skipped', 'skipped')


def _case(suite: str, name: str, passed: bool, failure: str, told: str) -> ET.Element:
    case = ET.Element('testcase', classname=_clean(suite), name=_clean(name))
    if not passed:
        ET.SubElement(case, failure, message=_clean(told))
    return case


def _clean(text: str) -> str:
    return _FORBIDDEN.sub('\ufffd', text)
