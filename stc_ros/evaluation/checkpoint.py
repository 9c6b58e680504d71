"""Writes down, now and then, what a replay needs to go on after a kill, and finds it again.

A checkpoint is one file in the run's folder: a line of JSON, which says what the rest belongs to, and the state as a
pickle (see pickled_state.py). The pickle is read only when that line says that it is whole, of this very run, source
code, torch and device; otherwise the run says why and begins anew. Whoever can write into the folder can write a
checkpoint, too: go on only in folders of your own.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from stc_ros.engine.errors import describe
from stc_ros.evaluation.part_file import PART, to_line

CHECKPOINT = 'checkpoint.pt'
EVERY_S = 20.0  # of the clock, between two checkpoints
MOST = 0.01  # share of the time that goes into them: what is dear to write is written more rarely
LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint of this run. frames: numbers of those among the first `frames_read` that its state rests on."""

    frames_read: int
    frames: frozenset[int]
    data: memoryview


class Checkpoints:
    """The checkpoints of one run, of which the newest is kept. head: the run's first line. every_s: seconds between."""

    def __init__(self, folder: Path, head: dict[str, Any], every_s: float = EVERY_S):
        self.file, self._head, self._every_s = folder / CHECKPOINT, head, every_s
        self._next, self._possible = time.monotonic() + every_s, True

    @property
    def due(self) -> bool:
        return self._possible and time.monotonic() >= self._next

    def write(self, model: Any, streams: Sequence[Any], state: Any, frames_read: int, stamp: int) -> None:
        """state: of a replay by these streams that has read so many frames, up to `stamp` (ns)."""
        from stc_ros.evaluation.pickled_state import pack  # here, because it imports torch

        began = time.monotonic()
        try:
            data, frames = pack(state, model, streams)
            line = self._identity(model) | {
                'stamp': stamp,
                'frames_read': frames_read,
                'frames': sorted(frames),
                'bytes': len(data),
                'crc32': zlib.crc32(data),
            }
            part = self.file.with_name(CHECKPOINT + PART)
            with part.open('wb') as file:
                file.write(to_line(line).encode())
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.file)
        except Exception as error:  # somebody else's part raises whatever it likes
            self._possible = False
            self._say(f'the run cannot be written down on its way ({describe(error)}): killed, it begins anew')
        self._next = time.monotonic() + max(self._every_s, (time.monotonic() - began) / MOST)

    def read(self, model: Any) -> Found | None:
        """The newest checkpoint; None, and a word about it, where there is none of this run."""
        try:
            with self.file.open('rb') as file:
                first, data = file.readline(LONGEST_LINE), memoryview(file.read())
        except FileNotFoundError:
            return None
        try:
            line = json.loads(first)
            other = [name for name, value in self._identity(model).items() if line[name] != value]
            whole = (line['bytes'], line['crc32']) == (len(data), zlib.crc32(data))
            found = Found(line['frames_read'], frozenset(line['frames']), data)
        except (ValueError, KeyError, TypeError):
            other, whole = [], False
        if other or not whole:
            self.refuse(f'it is of another {other[0]}' if other else 'it is damaged')
            return None
        return found

    def refuse(self, why: object) -> None:
        """Say that the run begins anew, and why."""
        self._say(f'{CHECKPOINT} is of no use, the run begins anew: {why}')

    def discard(self) -> None:
        """Remove what is there: of a run that has ended, or of another one."""
        for file in (self.file, self.file.with_name(CHECKPOINT + PART)):
            file.unlink(missing_ok=True)

    def _identity(self, model: Any) -> dict[str, Any]:
        """What has to be the same, by what to call it."""
        import torch

        device = f'{getattr(model, "device", "")} {getattr(model, "dtype", "")}'
        return {'run': self._head, 'version of stc_ros': _source(), 'torch': torch.__version__, 'device': device}

    def _say(self, text: str) -> None:
        from tqdm import tqdm

        tqdm.write(f'evaluate: {self.file.parent}: {text}', file=sys.stderr)


@cache
def _source() -> str:
    """A digest of this package's source code: between two versions it changes, too."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for file in sorted(root.rglob('*.py')):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
