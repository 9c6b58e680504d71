"""The node under --realtime against the evaluation without a clock, on the same bag and questions.

    ./dev bench realtime [--seconds 30] [--rate 0.2] [--profile busy] [--json FILE]

Slowly enough that nothing is dropped, both give the same answers to the same questions on the same frames. Questions
are asked between two frames. Ends with 0 when nothing was dropped and all answers, and what they rest on, are equal.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

RESTS_ON = ('answer', 'error', 'first_stamp', 'last_stamp', 'frames')


def evaluate(folder: Path, out: str, *more: str) -> Path:
    """The folder of the results."""
    words = ['evaluate', folder / 'bag', '--questions', folder / 'questions.yaml', '--no-bag', '--out', folder / out]
    done = subprocess.run([sys.executable, '-m', 'stc_ros', *map(str, words), *more], stdout=subprocess.DEVNULL)
    if done.returncode not in (0, 1):
        raise SystemExit(f'realtime: the evaluation ended with {done.returncode}')
    return folder / out / 'default'


def questions_of(folder: Path) -> dict[str, dict]:
    """By id."""
    lines = map(json.loads, (folder / 'result.jsonl').read_text().splitlines())
    return {line['id']: line for line in lines if line['kind'] == 'question'}


def compare(seconds: float, rate: float, profile: str, folder: Path, count: int) -> dict:
    """Make a bag, evaluate it both ways -> what differs, and the metrics."""
    bag = ['bag', 'from-synthetic', '--out', folder / 'bag', '--seconds', seconds, '--profile', profile]
    bag += ['--questions', folder / 'questions.yaml', '--count', count]
    subprocess.run([sys.executable, '-m', 'stc_ros', *map(str, bag)], check=True, stdout=subprocess.DEVNULL)
    exact = questions_of(evaluate(folder, 'exact', '--no-controls'))
    played = evaluate(folder, 'played', '--realtime', str(rate))
    heard, metrics = questions_of(played), json.loads((played / 'metrics.json').read_text())
    differ = {
        name: [{key: each[key] for key in RESTS_ON} for each in (exact[name], heard[name])]
        for name in exact
        if any(exact[name][key] != heard[name][key] for key in RESTS_ON)
    }
    cameras = metrics['cameras'].values()
    return {
        'questions': len(exact),
        'differ': differ,
        'missed_frames': sum(camera['Number of Missed Frames'] for camera in cameras),
        'metrics': metrics,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=float, default=30.0, help='of the bag (30)')
    parser.add_argument('--count', type=int, default=20, help='questions (20)')
    parser.add_argument('--rate', type=float, default=0.2)
    parser.add_argument('--profile', default='busy')
    parser.add_argument('--json', type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = compare(options.seconds, options.rate, options.profile, Path(folder), options.count)
    print(f'{found["questions"]} questions, {len(found["differ"])} differ, {found["missed_frames"]} frames missed')
    for name, (exact, heard) in found['differ'].items():
        print(f'{name}:\n  without a clock {exact}\n  with it         {heard}')
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + '\n')
    return int(bool(found['differ'] or found['missed_frames']))


if __name__ == '__main__':
    sys.exit(main())
