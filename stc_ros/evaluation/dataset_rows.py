"""The rows that asking a data set writes, a line of JSON for each question, and going on where a killed run was.

Every row names its run. A line is written when its question has been answered; what is found at the next start counts
by whole episodes, and an episode that was not finished is asked again. In the end the file has the rows in the order of
the episodes: the same bytes, however often it was killed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stc_ros.evaluation.datasets.base import Episode

Row = dict[str, Any]


class RowsError(ValueError):
    """The file holds something else. The message names it, and the remedy."""


def name_run(**about: Any) -> str:
    """A short name that is the same for everything the same that decides about the answers."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]


class RowFile:
    """A file of rows, or none at all. Raises `RowsError` where the rows that are there are of another run."""

    def __init__(self, file: Path | None, run: str):
        self.run, self._file = run, file
        self._by_episode: dict[str, list[Row]] = {}
        self._order: list[str] = []  # of the episodes that were asked for
        if file and file.exists():
            for row in _read(file, run):
                self._by_episode.setdefault(row['episode'], []).append(row)
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._write_all(self._by_episode)

    def finished(self, episode: Episode) -> list[Row]:
        """The rows of an episode that has been asked to its end; [] where it has to be asked, from its beginning."""
        self._order.append(episode.name)
        rows = self._by_episode.get(episode.name, [])
        asked = [(q.id, q.stamp, q.text, q.expected) for q in episode.questions]
        if rows and [(row['id'], row['stamp'], row['question'], row['expected']) for row in rows] == asked:
            return rows
        if rows:
            del self._by_episode[episode.name]
            self._write_all(self._by_episode)
        return []

    def add(self, row: Mapping[str, Any]) -> Row:
        """Write a row down -> it, with the name of the run."""
        whole = {'run': self.run, **row}
        if self._file:
            self._by_episode.setdefault(whole['episode'], []).append(whole)
            with self._file.open('a', encoding='utf-8') as file:
                file.write(_line(whole))
        return whole

    def close(self) -> None:
        """Put the rows in the order of the episodes; rows of others are no longer there."""
        if self._file:
            self._write_all({name: self._by_episode[name] for name in self._order if name in self._by_episode})

    def _write_all(self, rows: Mapping[str, list[Row]]) -> None:
        """Replace the file at once, where it is not so already."""
        text = ''.join(_line(row) for episode in rows.values() for row in episode)
        if self._file.exists() and self._file.read_text(encoding='utf-8') == text:
            return
        part = self._file.with_name(self._file.name + '.part')
        part.write_text(text, encoding='utf-8')
        os.replace(part, self._file)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + '\n'


def _read(file: Path, run: str) -> list[Row]:
    rows = []
    lines = file.read_bytes().split(b'\n')
    for number, line in enumerate(lines[:-1], 1):  # what stands behind the last end of line was cut off
        try:
            row = json.loads(line)
            same = row['run'] == run
        except (ValueError, TypeError, KeyError):
            raise RowsError(f'{file}:{number} is no row of this command: name another file, or remove it') from None
        if not same:
            raise RowsError(
                f'{file} has the rows of another run (other data, settings or model): name another file, or remove it'
            )
        rows.append(row)
    return rows
