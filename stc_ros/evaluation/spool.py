"""Messages on the disk while a replay goes on, in the order of their time; at its end an MCAP file of them.

An MCAP file has its index at the end, so a killed one cannot be gone on with. A spool can: it is cut at the place that
was noted last.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from stc_ros.io.bag_writer import BagWriter

RECORD = struct.Struct('<HQI')  # number of the channel, stamp, bytes of the message that follows


class Spool:
    """channels: (topic, type) of each. Nothing is written, nor is an old file emptied, before the first `add`."""

    def __init__(self, file: Path, channels: Sequence[tuple[str, str]]):
        self.file, self.channels = file, list(channels)
        self._numbers = {topic: number for number, (topic, _) in enumerate(self.channels)}
        self._open: BinaryIO | None = None

    def add(self, topic: str, stamp: int, message: bytes) -> None:
        """stamp: ns, not before that of the message added last."""
        if self._open is None:
            self._open = self.file.open('wb', buffering=1 << 20)
        self._open.write(RECORD.pack(self._numbers[topic], stamp, len(message)))
        self._open.write(message)

    def checkpoint(self) -> int:
        """Have all of it on the disk -> its size in bytes, for `restore`."""
        if self._open is None:
            return 0
        self._open.flush()
        os.fsync(self._open.fileno())
        return self._open.tell()

    def restore(self, size: int) -> None:
        """Go on behind the first `size` bytes. Raises `ValueError` when they are not there any more."""
        found = self.file.stat().st_size if self.file.exists() else 0
        if found < size:
            raise ValueError(f'{self.file} has {found} of {size} bytes: remove {self.file.parent} and begin anew')
        self.close()
        if size:
            self._open = self.file.open('r+b', buffering=1 << 20)
            self._open.truncate(size)
            self._open.seek(size)

    def close(self) -> None:
        if self._open:
            self._open.close()
            self._open = None

    def assemble(self, target: Path, types) -> None:
        """Write all of it as an indexed MCAP file, compressed by chunk, and remove the spool. types: a typestore.

        A message is read at a time. `target` appears when it is complete.
        """
        self.close()
        folder = target.with_suffix('')  # rosbags writes a folder, and names the file in it as the folder
        shutil.rmtree(folder, ignore_errors=True)
        with BagWriter(folder, compression='chunk', types=types) as bag:
            for topic, type in self.channels:
                bag.advertise(topic, type)
            for number, stamp, message in self._records():
                bag.record(self.channels[number][0], stamp, message)
        os.replace(folder / target.name, target)
        shutil.rmtree(folder)
        self.file.unlink(missing_ok=True)

    def _records(self) -> Iterator[tuple[int, int, bytes]]:
        if not self.file.exists():
            return
        with self.file.open('rb', buffering=1 << 20) as spool:
            while head := spool.read(RECORD.size):
                number, stamp, size = RECORD.unpack(head)
                yield number, stamp, spool.read(size)
