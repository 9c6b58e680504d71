"""The report's questions and narrations, those that failed first: plain dictionaries for the template."""

from __future__ import annotations

import math

import numpy as np

from stc_ros.evaluation.report_data import Run, number
from stc_ros.evaluation.report_tables import CONTROLS, cut, plain, share


def cards(runs: list[Run]) -> list[dict]:
    """A card per question of a bag, with each run's answer; those that any settings failed come first, else by time."""
    found: dict[tuple, dict] = {}
    for index, run in enumerate(runs):
        bag = plain(run.head.get('bag') or '')
        for q in run.questions:
            key = (bag, str(q.get('camera')), str(q.get('id')), str(q['question']))
            card = found.setdefault(key, _card(q))
            card['answers'].append(_answer(index, run, q))
    for card in found.values():
        passed = [answer['passed'] for answer in card['answers']]
        card['failed'], card['differs'] = passed.count(False), len(set(passed)) > 1
    ordered = sorted(found.values(), key=lambda card: (not card['failed'], card['t']))
    for place, card in enumerate(ordered, 1):
        card['anchor'] = f'q{place}'
    return ordered


def _card(q: dict) -> dict:
    since, until = number(q.get('first_stamp')), number(q.get('last_stamp'))
    seconds = (until - since) / 1e9
    return {
        't': q['t'],
        'id': str(q.get('id', '')),
        'camera': str(q.get('camera', '')),
        'question': cut(q['question']),
        'expected': expected(q.get('expected') or {}),
        'tags': [str(tag) for tag in q.get('tags') or []],
        'span': '' if math.isnan(seconds) else f'{seconds:.1f} s in memory',
        'thumbnail': None,
        'answers': [],
    }


def _compression(run: Run, q: dict) -> str:
    """What became of the newest frame that an answer knows."""
    camera, stamp = run.cameras.get(str(q.get('camera'))), number(q.get('last_stamp'))
    if camera is None or math.isnan(stamp):
        return ''
    t, place = run.milliseconds(q['last_stamp']), np.searchsorted(camera.frames['t'], run.milliseconds(q['last_stamp']))
    if place == len(camera.frames) or camera.frames['t'][place] != t:
        return ''
    recomputed = share(camera.frames['recomputed'][place], camera.patches)
    return f'{recomputed:.0%} recomputed, {share(camera.frames["kept"][place], camera.tokens):.0%} kept'


def expected(said: dict) -> dict:
    """What was expected: its kind, the value, and what else belongs to it, as `of a | b` of a choice."""
    (kind, value), *others = said.items() or [('', '')]
    return {'kind': str(kind), 'value': cut(plain(value)), 'more': cut(', '.join(f'{k} {plain(v)}' for k, v in others))}


def _answer(index: int, run: Run, q: dict) -> dict:
    times, error = run.answers.get(str(q.get('id')), {}), str(q.get('error') or 'NONE')
    first = number(times.get('time_to_first_token'))
    return {
        'run': index,
        'name': run.name,
        'text': cut(q.get('answer') or ''),
        'error': '' if error == 'NONE' else error,
        'passed': bool(q.get('passed')),
        'score': number(q.get('score')),
        'frames': q.get('frames'),
        'first_token': '' if math.isnan(first) else f'{first:.2f} s to the first token',
        'late': bool(times.get('late')),
        'controls': [
            {
                'name': CONTROLS.get(name, str(name)),
                'text': cut(c.get('answer', '')),
                'passed': number(c.get('score')) >= 1,
            }
            for name, c in (q.get('controls') or {}).items()
        ],
        'compression': _compression(run, q),
        'files': (run.folder, q.get('thumbnail'), q.get('overlay')),
        'overlay': None,
        'strip': _strip(q),
    }


def _strip(q: dict) -> list[dict]:
    """The frames before the newest that the answer knows; pictures are filled in later."""
    newest = number(q.get('last_stamp'))
    found = [(newest - number(each.get('stamp')), each.get('overlay')) for each in q.get('strip') or []]
    return [{'before': f'−{ns / 1e9:.1f} s', 'file': file, 'picture': None} for ns, file in found if ns == ns]


# ---------------------------------------------------------------- narrations


def narrations(runs: list[Run], most: int) -> tuple[list[dict], int]:
    """The first `most`, by time, those with a failed check always; and how many were left out."""
    rows = []
    for index, run in enumerate(runs):
        for n in run.narrations:
            checks = [
                {'must': str(c.get('must')), 'text': cut(c.get('text')), 'passed': bool(c.get('passed'))}
                for c in n.get('checks') or []
            ]
            rows.append({'run': index, 't': n['t'], 'camera': str(n.get('camera', '')), 'text': cut(n.get('text', '')),
                         'checks': checks, 'failed': any(not c['passed'] for c in checks),
                         'scene_change': bool(n.get('scene_change'))})  # fmt: skip
    rows.sort(key=lambda row: (not row['failed'], row['t']))
    kept = [row for place, row in enumerate(rows) if row['failed'] or place < most]
    return sorted(kept, key=lambda row: row['t']), sum(run.narration_count for run in runs) - len(kept)


def expectations(runs: list[Run]) -> list[dict]:
    """What narrations had to say and did not come first, else by time."""
    rows = [
        {'run': index, 't': e['t'], 'until': e['until'], 'camera': str(e.get('camera', '')), 'must': str(e.get('must')),
         'text': cut(e.get('text')), 'passed': bool(e.get('passed')), 'tags': [str(t) for t in e.get('tags') or []]}
        for index, run in enumerate(runs)
        for e in run.expectations
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row['passed'], row['t'], row['run']))
