"""Results of an evaluation as `stc_ros evaluate` writes them, made up: for tests of what reads them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

START = 1_700_000_000_000_000_000  # ns
CAMERA = '/camera/image_raw'
PATCHES, TOKENS = 196, 49


def frame(number: int, rng, camera: str = CAMERA, **other) -> dict:
    scene = number % 97 == 0
    values = {
        'kind': 'frame',
        'camera': camera,
        'stamp': START + number * 100_000_000,
        'patches': PATCHES,
        'patches_recomputed': float(PATCHES) if scene else round(float(rng.gamma(2, 12)) % PATCHES, 4),
        'visual_tokens': TOKENS,
        'visual_tokens_kept': TOKENS if scene else int(rng.integers(4, 20)),
        'scene_change': scene,
        'memory_tokens': min(2048, number * 12),
        'reused_similarity': None if scene else round(0.97 + 0.03 * float(rng.random()), 6),
        'invalid': '',
    }
    return values | other


def question(number: int, passed: bool, **other) -> dict:
    stamp = START + number * 700_000_000 + 1_000_000_000
    values = {
        'kind': 'question',
        'id': f'q{number}',
        'camera': CAMERA,
        'stamp': stamp,
        'question': f'what is seen, number {number}?',
        'answer': 'a red circle' if passed else 'a blue square',
        'error': 'NONE',
        'expected': {'contains': 'red'},
        'score': float(passed),
        'passed': passed,
        'tags': ['colour', 'door'] if number % 3 == 0 else ['colour'],
        'first_stamp': START,
        'last_stamp': stamp,
        'frames': number + 10,
        'thumbnail': '',
        'overlay': '',
        'strip': [],
        'controls': {
            'blank': {'answer': 'grey', 'score': 0.0},
            'newest': {'answer': 'red', 'score': 1.0},
            'last4': {'answer': 'red', 'score': 1.0},
        },
    }
    return values | other


def narration(number: int, text: str, **other) -> dict:
    stamp = START + number * 1_000_000_000
    values = {'kind': 'narration', 'camera': CAMERA, 'stamp': stamp, 'first_stamp': stamp - 10**9, 'text': text}
    return values | {'scene_change': False, 'checks': []} | other


def event(number: int, text: str) -> dict:
    stamp = START + number * 1_000_000_000
    return {'kind': 'event', 'camera': CAMERA, 'stamp': stamp, 'event': 'reset', 'text': text}


def expectation(text: str, passed: bool, must: str = 'say') -> dict:
    between = {'between': [START, START + 10**10]}
    return {
        'kind': 'expectation',
        'camera': CAMERA,
        **between,
        'must': must,
        'text': text,
        'passed': passed,
        'tags': [],
    }


def head(name: str, **other) -> dict:
    values = {
        'kind': 'run',
        'bag': ['kitchen.mcap'],
        'bag_bytes': 123_456,
        'topics': [CAMERA],
        'settings': {'prune_ratio': 0.6},
        'name': name,
        'questions': 'kitchen.yaml',
        'questions_sha256': '0' * 64,
        'model': 'embedded',
        'controls': True,
        'narration': True,
    }
    return values | other


def summary(questions: list[dict]) -> dict:
    def accuracy(rows):
        mean = sum(q['score'] for q in rows) / max(len(rows), 1)
        return {'accuracy': round(mean, 6), 'n': len(rows), 'interval': [max(0.0, mean - 0.2), min(1.0, mean + 0.15)],
                'controls': {'blank': 0.0, 'newest': 0.25, 'last4': 0.5}}  # fmt: skip

    tags = dict.fromkeys(tag for q in questions for tag in q['tags'])
    return {
        'kind': 'summary',
        **accuracy(questions),
        'by_tag': {tag: accuracy([q for q in questions if tag in q['tags']]) for tag in tags},
        'narration': {'n': 1, 'passed': 1},
        'events': {'n': 0, 'passed': 0},
        'requirements': [{'text': 'accuracy >= 0.5 on tag:door', 'value': 0.75, 'passed': True}],
        'passed': True,
        'problems': [],
    }


def timing(frames: list[dict], questions: list[dict], rng) -> list[dict]:
    rows = []
    for f in frames:
        ms = {'preprocess': 1.1, 'vision': round(float(rng.lognormal(2.3, 0.3)), 3), 'prune': 0.4, 'prefill': 4.5}
        rows.append({'stamp': f['stamp'], 'camera': f['camera'], 'ms': ms, 'total_ms': round(sum(ms.values()), 3)})
    answered = {'time_to_first_token': 0.08, 'tokens_per_second': 61.5, 'seconds': 0.12}
    return rows + [{'id': q['id'], **answered} for q in questions]


def write(folder: Path, records: list[dict], times: list[dict] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in (('result.jsonl', records), ('timing.jsonl', times)):
        if lines is not None:
            (folder / name).write_text(''.join(json.dumps(line) + '\n' for line in lines))
    return folder


def write_run(
    folder: Path, frames: int = 120, passed=(True, False, True, True), pictures: bool = False, **other
) -> Path:
    """A whole run: frames at 10 Hz, a question every 0.7 s, of which `passed` says how it went; two narrations."""
    rng = np.random.default_rng(len(folder.name))
    seen, asked = [frame(n, rng) for n in range(frames)], [question(n, ok) for n, ok in enumerate(passed)]
    if pictures:
        (folder / 'frames').mkdir(parents=True)
        for q in asked:
            q['thumbnail'], q['overlay'] = f'frames/{q["id"]}.jpg', f'frames/{q["id"]}-overlay.jpg'
            before = f'frames/{q["id"]}-before.jpg'
            q['strip'] = [{'stamp': q['last_stamp'] - 2_500_000_000, 'overlay': before}]
            for path in (q['thumbnail'], q['overlay'], before):
                Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).save(folder / path)
    check = {'must': 'say', 'text': 'red', 'passed': True}
    said = [narration(2, 'a red circle moves left', checks=[check]), narration(5, 'it stops', scene_change=True)]
    told = sorted([*seen, *asked, *said, event(4, 'memory ran out')], key=lambda r: r['stamp'])
    records = [head(folder.name, **other), *told, expectation('red', True), summary(asked)]
    return write(folder, records, timing(seen, asked, rng))
