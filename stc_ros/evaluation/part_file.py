"""A file of JSON lines that has its name only when it is whole, and that a killed run can go on with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TextIO

PART = '.part'  # behind the name of a file that is being written


class PartFile:
    """`begin` or `restore` it, write, `finish`. Until then it is called `file` + PART."""

    def __init__(self, file: Path):
        self.file, self.part = file, file.with_name(file.name + PART)
        self._open: TextIO | None = None

    def begin(self) -> None:
        """Begin anew; what was there is lost."""
        self.close()
        self.file.unlink(missing_ok=True)
        self._open = self.part.open('w', encoding='utf-8')

    def restore(self, size: int) -> None:
        """Go on behind the first `size` bytes. Raises `ValueError` when they are not there."""
        self.close()
        if self.file.exists() and not self.part.exists():  # killed while several files were given their names
            os.replace(self.file, self.part)
        there = self.part.stat().st_size if self.part.exists() else 0
        if there < size:
            raise ValueError(f'{self.part} has {there} of {size} bytes')
        os.truncate(self.part, size)
        self._open = self.part.open('a', encoding='utf-8')

    def write(self, line: dict[str, Any]) -> None:
        self._open.write(to_line(line))

    def checkpoint(self) -> int:
        """How many bytes were written; they are on the disk."""
        self._open.flush()
        os.fsync(self._open.fileno())
        return os.fstat(self._open.fileno()).st_size

    def close(self) -> None:
        if self._open:
            self._open.close()

    def finish(self) -> None:
        """Give the file its name."""
        self.close()
        os.replace(self.part, self.file)


def to_line(line: dict[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False, allow_nan=False) + '\n'
