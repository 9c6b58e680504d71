"""How much memory a whole `stc_ros evaluate` takes, report included, on a short bag and on a long one.

    ./dev bench evaluation_memory [--gb 0.2 2] [--limit-mb 1000] [--folder /tmp] [--json FILE]

Each bag holds raw pictures of a synthetic world, repeated until it has so many bytes; the same number of questions is
asked of each, so that only the length differs. What the process allocates is limited by the kernel (RLIMIT_DATA), and
what is resident, of its children, too, is sampled 50 times a second; pages of the bag that it maps would count. Ends
with 0 when every evaluation ended well within the limit, and the longest bag took at most 32 MB more than the shortest.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from measure import write_rows
from tqdm import tqdm

from stc_ros.evaluation.made_bags import BEGIN_NS, FRAME_ID
from stc_ros.io.bag_writer import STORAGES, BagWriter
from stc_ros.synthetic import World

TOPIC, SIZE, RATE = '/camera/image_raw', 480, 10.0  # px of a side; Hz
DISTINCT = 40  # pictures that are repeated
QUESTIONS = 20
GROWTH_MB = 32
SAMPLE_S = 0.02


def make(folder: Path, gb: float, storage: str) -> tuple[int, Path, Path]:
    """-> frames, bag, questions."""
    world, pictures = World('busy', seed=3), []
    for _ in range(DISTINCT):
        pictures.append(np.ascontiguousarray(world.render(SIZE)))
        world.step()
    frames, bag = round(gb * 1e9 / pictures[0].nbytes), folder / f'{gb:g}GB'
    with BagWriter(bag, storage) as writer:
        for number in tqdm(range(frames), desc=f'{gb:g} GB', unit=' frames', disable=None):
            writer.image(TOPIC, BEGIN_NS + round(number * 1e9 / RATE), pictures[number % DISTINCT], FRAME_ID)
    questions = bag.with_suffix('.yaml')
    times = np.linspace(1, (frames - 2) / RATE, QUESTIONS)
    asked = [
        {'at': round(float(at), 3), 'question': 'what is there ?', 'expect': {'contains': 'circle'}} for at in times
    ]
    questions.write_text(json.dumps({'questions': asked}))  # JSON is YAML
    return frames, bag, questions


def resident(process: psutil.Process) -> int:
    """Bytes of it and of all that it started."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            total += each.memory_info().rss
    return total


def evaluate(bag: Path, questions: Path, limit: int) -> dict:
    """Run it -> its exit code, peak of the resident memory (MB), seconds of the clock and of all cores."""
    words = ['evaluate', bag, '--questions', questions, '--out', bag.with_suffix('.result')]

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    began, used, peak = time.monotonic(), core_s(), 0
    process = psutil.Popen(
        [sys.executable, '-m', 'stc_ros', *map(str, words)], preexec_fn=limited, stdout=subprocess.DEVNULL
    )
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            peak = max(peak, resident(process))
        time.sleep(SAMPLE_S)
    seconds, core = time.monotonic() - began, core_s() - used
    return {
        'code': process.returncode,
        'peak_mb': round(peak / 1e6),
        'seconds': round(seconds, 1),
        'core_s': round(core, 1),
    }


def core_s() -> float:
    """Of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--gb', type=float, nargs='+', default=[0.2, 2.0], help='lengths of the bags (0.2 2)')
    parser.add_argument('--limit-mb', type=int, default=1000, help='memory that is allowed (1000)')
    parser.add_argument('--storage', choices=sorted(STORAGES), default='mcap', help='kind of file (mcap)')
    parser.add_argument('--folder', type=Path, help='where the bags are made, and removed again (the temporary folder)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the rows there, too')
    options = parser.parse_args()
    rows = []
    print('   GB  frames  peak MB  seconds  core s  exit code', flush=True)
    for gb in sorted(options.gb):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            frames, bag, questions = make(Path(folder), gb, options.storage)
            row = {'gb': gb, 'frames': frames, **evaluate(bag, questions, options.limit_mb * 10**6)}
        figures = f'{row["peak_mb"]:7}  {row["seconds"]:7}  {row["core_s"]:6}  {row["code"]}'
        print(f'{gb:5g}  {frames:6}  {figures}', flush=True)
        rows.append(row)
    grown = rows[-1]['peak_mb'] - rows[0]['peak_mb']
    more = rows[-1]['frames'] - rows[0]['frames']
    well = all(row['code'] in (0, 1) and row['peak_mb'] <= options.limit_mb for row in rows) and grown <= GROWTH_MB
    print(f'{rows[-1]["gb"] - rows[0]["gb"]:g} GB more took {grown} MB more; {options.limit_mb} MB are allowed')
    if more:  # what does not depend on the length, as loading the model, is no part of it
        each = 1e3 * (rows[-1]['core_s'] - rows[0]['core_s']) / more
        print(f'{more} frames more took {each:.1f} ms of a core each')
    if options.json:
        write_rows(options.json, rows)
    return 0 if well else 1


if __name__ == '__main__':
    sys.exit(main())
