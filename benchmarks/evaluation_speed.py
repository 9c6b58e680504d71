"""How long an evaluation takes against the length of its recording: synthetic bag, controls, result.mcap and report.

    ./dev bench evaluation_speed [--minutes 10] [--rate 10] [--count 200]

Ends with 0 when it was faster than real time.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=10.0)
    parser.add_argument('--rate', type=float, default=10.0, metavar='HZ')
    parser.add_argument('--count', type=int, default=200, help='questions (200)')
    options = parser.parse_args()
    seconds, command = 60 * options.minutes, [sys.executable, '-m', 'stc_ros']
    with tempfile.TemporaryDirectory() as folder:
        bag, questions, out = (Path(folder, name) for name in ('bag', 'questions.yaml', 'out'))
        made = ['bag', 'from-synthetic', '--out', bag, '--seconds', seconds, '--rate', options.rate]
        made += ['--questions', questions, '--count', options.count]
        subprocess.run([*command, *map(str, made)], check=True)
        began = time.monotonic()
        done = subprocess.run([*command, *map(str, ('evaluate', bag, '--questions', questions, '--out', out))])
        taken = time.monotonic() - began
        size = (out / 'report.html').stat().st_size / 1e6
    print(
        f'{options.minutes:g} minutes at {options.rate:g} Hz, {options.count} questions: {taken:.0f} s, '
        f'{taken / seconds:.2f} of real time; report {size:.1f} MB'
    )
    return int(taken >= seconds or done.returncode not in (0, 1))


if __name__ == '__main__':
    sys.exit(main())
