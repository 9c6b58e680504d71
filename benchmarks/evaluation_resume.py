"""Kills an evaluation at random moments, goes on each time, and compares the result with one that nobody killed.

    ./dev bench evaluation_resume BAG --questions Q.yaml [--kills 20] [--seed 0]

Ends with 0 when all results are the same, byte for byte.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SETTINGS = {'A': 'prune_ratio: 0.5', 'B': 'prune_ratio: 0.8', 'C': 'cacher: threshold', 'D': 'pruner: uniform'}


def results(out: Path) -> dict[str, bytes]:
    """What has to be the same; timing.jsonl holds times of the clock."""
    files = sorted(f for f in out.rglob('*') if f.is_file() and f.name != 'timing.jsonl' and f.suffix != '.html')
    return {str(file.relative_to(out)): file.read_bytes() for file in files}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('bag', type=Path)
    parser.add_argument('--questions', type=Path, required=True)
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, '-m', 'stc_ros', 'evaluate', options.bag, '--questions', options.questions]
        for name, text in SETTINGS.items():
            file = Path(folder, f'{name}.yaml')
            file.write_text(text)
            command += ['--settings', file]
        began = time.monotonic()
        whole = subprocess.run([*command, '--out', f'{folder}/whole'], stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - began
        kills = 0
        while kills < options.kills:
            process = subprocess.Popen(
                [*command, '--out', f'{folder}/killed'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                process.wait(draw.uniform(0.1, 0.6) * seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
            else:  # it came to its end: begin anew with a part of it
                done = draw.choice(list(SETTINGS))
                Path(folder, 'killed', done, 'result.jsonl').unlink()
        ended = subprocess.run([*command, '--out', f'{folder}/killed'], stdout=subprocess.DEVNULL)
        first, second = results(Path(folder, 'whole')), results(Path(folder, 'killed'))
    same = first == second and whole.returncode == ended.returncode
    print(f'{kills} kills of {seconds:.0f} s of work: {len(first)} files {"the same" if same else "DIFFER"}')
    return 0 if same else 1


if __name__ == '__main__':
    sys.exit(main())
