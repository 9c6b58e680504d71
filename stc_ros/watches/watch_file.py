"""A file of watches: standing conditions for the node's parameter watch.file and for `stc_ros evaluate --watches`.

watches:
  - condition: is there a red circle ?   # or "how many objects are moving ? = zero": a question and its answer
    name: circle                         # by default watch1, watch2, ...
    camera: front                        # by default every camera
    threshold: 0.9                       # (0, 1) by default, as what follows, the parameters watch.*
    rearm: 0.05
    looks: 2
    hold: 0.5                            # s; 0 by default, as what follows
    cool_down: 10.0                      # s
    time_limit: 60.0                     # s
    once: false
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stc_ros.io.marked_yaml import FileError, MarkedFile, Section
from stc_ros.watches.checks import TIMES, WatchError, check
from stc_ros.watches.lookup import Watches
from stc_ros.watches.rule import Watch

FIELDS = ('name', 'condition', 'camera', 'threshold', 'rearm', 'looks', *TIMES, 'once')
TRUTH = {'true': True, 'yes': True, 'false': False, 'no': False}


@dataclass(frozen=True, slots=True)
class WatchFile:
    """All that stands in one file; `digest` is of its bytes."""

    file: str = ''
    watches: tuple[Watch, ...] = ()
    lines: tuple[int, ...] = ()  # of each watch
    digest: str = ''

    def refusal(self, error: WatchError) -> str:
        """Why one of them cannot be added, with file and line."""
        return f'{self.file}:{self.lines[error.number]}: {error}'


def read_watches(file: Path) -> WatchFile:
    """Raises `FileError`, which names file and line. What cameras there are, and what the model reads, shows later."""
    marked = MarkedFile(file)
    top = marked.section(marked.content, 1, 'a file of watches', ('watches',), needed=('watches',))
    found: list[Watch] = []
    lines: list[int] = []
    for line, value in marked.items(top, 'watches'):
        watch = _watch(marked, line, value, len(found) + 1)
        if watch.name in (names := [each.name for each in found]):
            raise marked.error(line, f'the name {watch.name!r} is taken by line {lines[names.index(watch.name)]}')
        found.append(watch)
        lines.append(line)
    if not found:
        raise marked.error(1, 'there is no watch: add a condition under watches:')
    return WatchFile(str(file), tuple(found), tuple(lines), hashlib.sha256(file.read_bytes()).hexdigest())


def add_file(watches: Watches, path: str) -> None:
    """Add all watches of a file; none where path is ''. Belongs to the engine's thread. Raises `FileError`."""
    file = read_watches(Path(path)) if path else WatchFile()
    try:
        watches.add(file.watches)
    except WatchError as error:
        raise FileError(file.refusal(error)) from None


def _watch(marked: MarkedFile, line: int, value: Any, number: int) -> Watch:
    section = marked.section(value, line, 'a watch', FIELDS, needed=('condition',))
    looks = marked.number(section, 'looks')
    if looks != int(looks):
        raise marked.error(section.lines['looks'], f'looks has to be a whole number, not {looks:g}')
    camera = marked.text(section, 'camera').strip()
    watch = Watch(
        name=marked.text(section, 'name').strip() or f'watch{number}',
        condition=marked.text(section, 'condition').strip(),
        camera=camera,
        threshold=marked.number(section, 'threshold'),
        rearm=marked.number(section, 'rearm'),
        looks=int(looks),
        **{name: round(marked.number(section, name) * 1e9) for name in TIMES},
        once=_truth(marked, section, 'once'),
    )
    try:
        check(watch, (camera,))
    except WatchError as error:
        raise marked.error(section.lines.get(error.field, line), str(error)) from None
    return watch


def _truth(marked: MarkedFile, section: Section, key: str) -> bool:
    text = marked.text(section, key, 'false').lower()
    if text not in TRUTH:
        raise marked.error(section.lines[key], f'{key} has to be true or false, not {text!r}')
    return TRUTH[text]
