"""Kills an evaluation at random moments, goes on each time, and compares the result with one that nobody killed.

    ./dev bench evaluation_resume BAG --questions Q.yaml [--kills 20] [--seed 0] [--every 1]

Prints, too, how much was done twice: what lies between the last checkpoint and the kill. At the end a run whose
checkpoints are a twentieth of it apart is killed when 80 % of the bag have been replayed. Ends with 0 when all results
are the same, byte for byte, nothing before a checkpoint was done twice, and the last run went on behind 70 %.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SETTINGS = {'A': 'prune_ratio: 0.5', 'B': 'prune_ratio: 0.8', 'C': 'cacher: threshold', 'D': 'pruner: uniform'}
# `stc_ros evaluate`, with checkpoints every so many seconds whatever they cost; it notes what it does, and when.
WATCHED = """\
import os, sys, time
from dataclasses import replace
from stc_ros.__main__ import main
from stc_ros.evaluation import checkpoint, replay, run_jobs

every, log = float(sys.argv.pop(1)), os.open(sys.argv.pop(1), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
run_job, write, put = run_jobs.run_job, checkpoint.Checkpoints.write, replay._Replay.put

def note(what, file, stamp):
    os.write(log, f'{what} {file.parent.name} {stamp} {time.time()}\\n'.encode())

def noted_write(self, model, streams, state, frames_read, stamp):
    began = time.monotonic()
    write(self, model, streams, state, frames_read, stamp)
    note(f'checkpoint:{self.file.stat().st_size}:{time.monotonic() - began}', self.file, stamp)

def noted_put(self, frame):
    note('frame', self._checkpoints.file, frame.stamp)
    put(self, frame)

checkpoint.MOST, checkpoint.Checkpoints.write, replay._Replay.put = 1.0, noted_write, noted_put
run_jobs.run_job = lambda job: run_job(replace(job, checkpoint_s=every))
sys.exit(main())
"""


class Watched:
    """Evaluations of one bag into one folder, and the notes that they leave."""

    def __init__(self, folder: Path, bag: Path, questions: Path, every: float, settings: dict[str, str]):
        self.out, self._log = folder / 'out', folder / 'log'
        folder.mkdir()
        words = ['evaluate', bag, '--questions', questions, '--out', self.out]
        for name, text in settings.items():
            (folder / f'{name}.yaml').write_text(text)
            words += ['--settings', folder / f'{name}.yaml']
        self._command = [sys.executable, '-c', WATCHED, str(every), str(self._log), *map(str, words)]

    def run(self, enough: Callable[[float, list], bool] = lambda seconds, notes: False) -> tuple[int, list]:
        """Until it ends or is killed, because `enough` says so -> its exit code and notes."""
        self._log.write_text('')
        process, began = subprocess.Popen(self._command, stdout=subprocess.DEVNULL), time.monotonic()
        while process.poll() is None:
            time.sleep(0.02)
            if enough(time.monotonic() - began, self.notes()):
                process.kill()
        return process.wait(), self.notes()

    def notes(self) -> list[tuple[str, str, int, float]]:
        """(what, settings, stamp in ns, time in s)."""
        lines = [line.split() for line in self._log.read_text().splitlines()]
        return [(what, name, int(stamp), float(at)) for what, name, stamp, at in lines]

    def results(self) -> dict[str, bytes]:
        """What has to be the same; timing.jsonl and result.mcap hold times of the clock."""
        files = sorted(f for f in self.out.rglob('*') if f.is_file() and f.suffix not in ('.html', '.mcap'))
        return {str(f.relative_to(self.out)): f.read_bytes() for f in files if f.name != 'timing.jsonl'}


def done_twice(before: list, after: list) -> tuple[float, float]:
    """Seconds of the stream and of the clock that the second of two attempts did again.

    Raises `AssertionError` where there was a checkpoint behind what it did again.
    """
    _, name, first, _ = next((note for note in after if note[0] == 'frame'), (0, '', 0, 0))
    twice = [number for number, note in enumerate(before) if note[:2] == ('frame', name) and note[2] >= first]
    if not twice:
        return 0.0, 0.0
    behind = before[twice[0] + 1 :]
    assert not [note for note in behind if note[0].startswith('checkpoint') and note[1] == name], 'a checkpoint is lost'
    begin, end = before[twice[0]], before[twice[-1]]
    return (end[2] - begin[2]) / 1e9, end[3] - begin[3]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('bag', type=Path)
    parser.add_argument('--questions', type=Path, required=True)
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--every', type=float, default=1.0, metavar='S', help='seconds between two checkpoints (1)')
    options = parser.parse_args()
    given, draw = (options.bag, options.questions, options.every), random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = (Watched(Path(folder, name), *given, SETTINGS) for name in ('whole', 'killed'))
        began = time.monotonic()
        code, notes = whole.run()
        seconds, before, twice = time.monotonic() - began, [], []
        while len(twice) < options.kills:
            moment = draw.uniform(0.1, 0.6) * seconds
            ended, after = killed.run(lambda passed, _: passed > moment)  # noqa: B023 - called within this turn
            if before:
                twice.append(done_twice(before, after))
            before = after or before
            if ended >= 0:  # it came to its end: begin anew with a part of it
                (killed.out / draw.choice(list(SETTINGS)) / 'result.jsonl').unlink()
                before = []
        ended, after = killed.run()
        same = whole.results() == killed.results() and code == ended

        frames = [note for note in notes if note[:2] == ('frame', 'A')]
        stamps, every = [stamp for _, _, stamp, _ in frames], (frames[-1][3] - frames[0][3]) / 20
        last = Watched(Path(folder, 'last'), options.bag, options.questions, every, {'A': SETTINGS['A']})
        _, before = last.run(lambda _, notes: sum(note[0] == 'frame' for note in notes) >= 0.8 * len(stamps))
        _, after = last.run()
        done_twice(before, after)
        went_on = sum(stamp < after[0][2] for stamp in stamps) / len(stamps)
        same &= last.results() == {name: data for name, data in whole.results().items() if name.startswith('A/')}
    stream, clock = zip(*twice)
    written = [[float(each) for each in what.split(':')[1:]] for what, *_ in notes if what.startswith('checkpoint')]
    print(
        f'{len(twice)} kills of {seconds:.0f} s of work: results {"the same" if same else "DIFFER"}\n'
        f'done twice after a kill: {sum(stream) / len(stream):.1f} s of the stream, at most {max(stream):.1f} s; '
        f'{sum(clock) / len(clock):.1f} s of the clock, at most {max(clock):.1f} s\n'
        f'killed at 80 % of the bag, it went on at {went_on:.0%}\n'
        f'{len(written)} checkpoints of {max(size for size, _ in written) / 1e6:.1f} MB at most, '
        f'{1e3 * sum(each for _, each in written) / len(written):.0f} ms each'
    )
    return 0 if same and went_on > 0.7 else 1


if __name__ == '__main__':
    sys.exit(main())
