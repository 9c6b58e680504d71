"""Which recordings are given, how they are called, and which questions belong to which.

A recording is a rosbag2 folder (it has a metadata.yaml), a single file, or the split files of one: files beside each
other whose names differ only in rosbag2's number (`run_0.mcap`, `run_1.mcap`, ..., from 0 on, none missing). Another
folder stands for all recordings in it.

A recording is called as its folder, or its file without ending and number; where two are called the same, the names of
the folders above come before, as many as tell them apart (`monday-kitchen`, `tuesday-kitchen`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stc_ros.io.bag_files import ENDINGS, METADATA, PACKED, find

QUESTIONS = '.questions.yaml'  # behind a recording's name: its questions, where they lie beside it
NUMBERED = re.compile(r'(.+)_(\d+)')


@dataclass(frozen=True, slots=True)
class Recording:
    """name: unique among those that were given. place: its path without ending and number."""

    name: str
    paths: tuple[Path, ...]
    place: Path

    @property
    def own_questions(self) -> Path:
        """Where its questions lie if they lie beside it."""
        return self.place.with_name(self.place.name + QUESTIONS)


def find_recordings(paths: Sequence[Path], one: bool = False) -> list[Recording]:
    """The recordings of these files and folders; `one`: all of them are one. Raises `BagError` for an empty folder."""
    if one:
        return [_recording(tuple(paths), _place(paths[0]))]
    found: list[Recording] = []
    files: list[Path] = []
    for path in paths:
        if not path.is_dir() or (path / METADATA).exists():
            files.append(path)
            continue
        inside = _grouped(find([path]))
        found += [_recording((path,), _place(path))] if len(inside) == 1 else inside
    found += _grouped(files)
    places = {tuple(p.resolve() for p in each.paths): each for each in reversed(found)}  # one that is given twice: once
    order = {path.resolve(): number for number, path in reversed(list(enumerate(paths)))}
    kept = sorted(places.values(), key=lambda each: _given(each, order))
    return _named(kept)


def choose_questions(recordings: Sequence[Recording], given: Sequence[Path]) -> list[Path | None]:
    """The question file of each: the one given for all, one given for each in their order, else what lies beside it.

    Raises `ValueError` where so many files fit neither.
    """
    if not given:
        return [each.own_questions if each.own_questions.is_file() else None for each in recordings]
    if len(given) not in (1, len(recordings)):
        names = ', '.join(each.name for each in recordings)
        raise ValueError(
            f'--questions is given {len(given)} times, and there are {len(recordings)} recordings ({names}): give one '
            f'file for all, one for each in that order, or none and call each NAME{QUESTIONS}, beside its recording'
        )
    return list(given) * (len(recordings) if len(given) == 1 else 1)


def _given(recording: Recording, order: dict[Path, int]) -> tuple[int, str]:
    """For sorting: as they were given; those of one folder by path."""
    path = recording.paths[0].resolve()
    numbers = [order[each] for each in (path, *path.parents) if each in order]
    return numbers[0], str(path)


def _grouped(bags: Sequence[Path]) -> list[Recording]:
    """A recording for each bag, split files together."""
    split: dict[Path, dict[int, Path]] = {}
    for bag in bags:
        if (match := NUMBERED.fullmatch(_place(bag).name)) and not bag.is_dir():
            split.setdefault(bag.with_name(match[1]), {}).setdefault(int(match[2]), bag)
    whole = {place: group for place, group in split.items() if len(group) > 1 and sorted(group) == [*range(len(group))]}
    grouped = {path: place for place, group in whole.items() for path in group.values()}
    found: dict[Path, Recording] = {}
    for bag in bags:
        place = grouped.get(bag)
        paths = (bag,) if place is None else tuple(path for _, path in sorted(whole[place].items()))
        found.setdefault(paths[0], _recording(paths, place or _place(bag)))
    return list(found.values())


def _place(path: Path) -> Path:
    """The path without what is no part of the name."""
    path = path if path.name not in ('', '.', '..') else path.resolve()
    if path.is_dir():
        return path
    name = path.name.removesuffix(PACKED)
    return path.with_name(Path(name).stem if Path(name).suffix in ENDINGS else name)


def _recording(paths: tuple[Path, ...], place: Path) -> Recording:
    return Recording(place.name, paths, place)


def _named(recordings: Sequence[Recording]) -> list[Recording]:
    """The same under names of their own."""
    parts = [(*each.place.resolve().parent.parts[1:], each.name) for each in recordings]
    depths = dict.fromkeys(parts, 1)
    while True:
        counts = Counter('-'.join(part[-depth:]) for part, depth in depths.items())
        deeper = [p for p, depth in depths.items() if counts['-'.join(p[-depth:])] > 1 and depth < len(p)]
        if not deeper:
            break
        for part in deeper:
            depths[part] += 1
    names = ['-'.join(part[-depths[part] :]) for part in parts]
    seen: Counter[str] = Counter()
    for i, name in enumerate(names):  # a file and a folder of one name in one place, say
        seen[name] += 1
        names[i] = name if seen[name] == 1 else f'{name}-{seen[name]}'
    return [replace(each, name=name) for each, name in zip(recordings, names)]
