"""The node under --realtime against the evaluation without a clock, on the same bag and questions.

    ./dev bench realtime [--seconds 30] [--rate 0.2] [--profile busy] [--json FILE]

Slowly enough that nothing is dropped, both give the same answers to the same questions on the same frames. Questions
are asked halfway between two frames. Ends with 0 when no frame was missed, and every frame and answer is the same.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RESTS_ON = ('answer', 'error', 'first_stamp', 'last_stamp', 'frames')
FRAME = ('camera', 'visual_tokens_kept', 'scene_change', 'memory_tokens')  # what has to be the same of each, ...
ROUNDED = ('patches_recomputed',)  # ... and what the node's messages round


def differences(exact: Iterable[dict], heard: Iterable[dict]) -> dict[str, list[Any]]:
    """By question id or frame stamp what two results, lines of result.jsonl, have of it."""
    first, second = _compared(exact), _compared(heard)
    names = dict.fromkeys((*first, *second))
    return {name: [first.get(name), second.get(name)] for name in names if first.get(name) != second.get(name)}


def _compared(lines: Iterable[dict]) -> dict[str, dict[str, Any]]:
    found = {}
    for line in lines:
        if line['kind'] == 'question':
            found[line['id']] = {key: line[key] for key in RESTS_ON}
        elif line['kind'] == 'frame':
            found[f'frame {line["stamp"]}'] = {key: line[key] for key in FRAME} | {
                key: round(line[key]) for key in ROUNDED
            }
    return found


def read(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / 'result.jsonl').read_text().splitlines()]


def run(*words: Any) -> None:
    done = subprocess.run([sys.executable, '-m', 'stc_ros', *map(str, words)], stdout=subprocess.DEVNULL)
    if done.returncode not in (0, 1):
        raise SystemExit(f'realtime: stc_ros {words[0]} ended with {done.returncode}')


def compare(seconds: float, rate: float, profile: str, folder: Path, count: int) -> dict[str, Any]:
    """Make a bag, evaluate it both ways -> what differs, and the metrics."""
    questions, evaluate = folder / 'questions.yaml', ('evaluate', folder / 'bag', '--no-bag')
    made = ('bag', 'from-synthetic', '--out', folder / 'bag', '--seconds', seconds, '--profile', profile)
    run(*made, '--questions', questions, '--count', count)
    run(*evaluate, '--questions', questions, '--no-controls', '--out', folder / 'exact')
    run(*evaluate, '--questions', questions, '--realtime', rate, '--out', folder / 'played')
    exact, heard = (read(folder / out / 'default') for out in ('exact', 'played'))
    return {
        'questions': sum(line['kind'] == 'question' for line in exact),
        'frames': sum(line['kind'] == 'frame' for line in exact),
        'differ': differences(exact, heard),
        'metrics': json.loads((folder / 'played' / 'default' / 'metrics.json').read_text()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=float, default=30.0, help='length of the bag (30)')
    parser.add_argument('--count', type=int, default=20, help='questions (20)')
    parser.add_argument('--rate', type=float, default=0.2, help='how fast it is played (0.2)')
    parser.add_argument('--profile', default='busy', help='of the world (busy)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write what differs and the metrics there')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = compare(options.seconds, options.rate, options.profile, Path(folder), options.count)
    (camera,) = found['metrics']['cameras'].values()
    missed = camera['BasicPerformanceMetrics.NUM_MISSED_FRAMES']
    print(f'{found["questions"]} questions, {found["frames"]} frames: {len(found["differ"])} differ, {missed} missed')
    for name, (exact, heard) in found['differ'].items():
        print(f'{name}:\n  without a clock {exact}\n  with it         {heard}')
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + '\n')
    return int(bool(found['differ'] or missed))


if __name__ == '__main__':
    sys.exit(main())
