"""Finds and opens the files of rosbag2 recordings; what is wrong with one is said, with the remedy."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from rosbags.rosbag2 import Reader

MCAP, SQLITE, ROS1 = b'\x89MCAP0\r\n', b'SQLite format 3\0', b'#ROSBAG V'
ENDINGS = {'.mcap': (MCAP, 'an MCAP file'), '.db3': (SQLITE, 'a sqlite3 database')}
PACKED = '.zstd'  # rosbag2's file compression: whole files
METADATA = 'metadata.yaml'


class BagError(ValueError):
    """A bag cannot be read or written. The message names the file, and the remedy."""


def find(paths: Sequence[Path]) -> list[Path]:
    """Each bag once: a folder with a metadata.yaml, or a single file. A folder of bags gives all that lie in it."""
    found: dict[Path, Path] = {}
    for path in paths:
        for bag in _in_folder(path) if path.is_dir() and not (path / METADATA).exists() else [path]:
            found.setdefault(bag.resolve(), bag)
    return list(found.values())


def open_reader(path: Path, stack: ExitStack) -> Reader:
    """An open reader, which `stack` closes. A .zstd file is unpacked into a temporary folder first."""
    if not path.is_dir():
        path = _checked_file(path, stack)
    try:
        return stack.enter_context(Reader(path))
    except Exception as error:  # whatever broken bytes make the reader raise
        raise _broken(path, error) from error


def read(path: Path, reader: Reader, connections: Collection, start: int | None = None) -> Iterator[tuple]:
    """(connection, log time in ns, serialized message), by log time. Raises `BagError` when not all can be read."""
    missing: Counter[str] = Counter()
    for connection in connections:
        missing[connection.topic] += connection.msgcount
    messages = reader.messages(connections, start=start) if connections else iter(())
    number = 0
    while True:
        try:
            message = next(messages, None)
        except Exception as error:  # as above
            raise _broken(path, error, f'after {number} messages ') from error
        if message is None:
            break
        number += 1
        missing[message[0].topic] -= 1
        yield message
    lost = ', '.join(f'{count} on {topic}' for topic, count in missing.items() if count > 0)
    if lost and start is None:
        raise BagError(f'{path}: the bag is truncated, messages that its index names are missing: {lost}')


def _in_folder(folder: Path) -> list[Path]:
    """Bags in a folder that is none itself, its folders' included, sorted by name."""
    whole = {file.parent for file in folder.rglob(METADATA)}
    files = {f for f in folder.rglob('*') if _ending(f) and f.is_file() and not whole & set(f.parents)}
    if not whole | files:
        raise BagError(f'{folder} holds no bag: neither a {METADATA} nor files that end in .mcap or .db3')
    return sorted(whole | files)


def _ending(path: Path) -> str:
    """.mcap or .db3, also of a packed file; empty for others."""
    suffix = (path.with_suffix('') if path.suffix == PACKED else path).suffix
    return suffix if suffix in ENDINGS else ''


def _checked_file(path: Path, stack: ExitStack) -> Path:
    """The file that holds the messages, unpacked if need be. Raises `BagError` for what is no whole bag."""
    if not path.exists():
        raise BagError(f'{path} does not exist; give the file or folder of a bag')
    ending = _ending(path)
    if path.suffix == PACKED and ending:
        path = _unpack(path, stack)
    with path.open('rb') as file:
        first = file.read(16)
        last = file.read()[-8:] if path.stat().st_size < 64 else (file.seek(-8, 2), file.read())[1]
    if first.startswith(ROS1):
        raise BagError(f'{path} is a bag of ROS 1; convert it: rosbags-convert --src {path} --dst {path.stem}')
    if not ending:
        raise BagError(f'{path} is no bag: its name ends in neither .mcap nor .db3, nor is it a folder')
    begin, kind = ENDINGS[ending]
    if not first.startswith(begin):
        raise BagError(f'{path} is no bag: {"it is empty" if not first else f"its bytes are not those of {kind}"}')
    if ending == '.mcap' and last != MCAP:
        raise BagError(
            f'{path} is truncated: it lacks the end of an MCAP file (the recorder was killed, or the copy is not '
            f'complete); `mcap recover {path} -o recovered.mcap` saves what it holds'
        )
    journal = path.with_name(path.name + '-wal')
    if journal.exists() and journal.stat().st_size:
        raise BagError(f"{journal} holds messages that {path} lacks; merge it: sqlite3 {path} 'PRAGMA wal_checkpoint'")
    return path


def _unpack(path: Path, stack: ExitStack) -> Path:
    from rosbags.rosbag2.reader import zstd  # the standard library's from Python 3.14 on

    file = Path(stack.enter_context(TemporaryDirectory(prefix='stc_ros-bag-'))) / path.stem
    try:
        with path.open('rb') as packed, zstd.open(packed, 'rb') as source, file.open('wb') as target:
            shutil.copyfileobj(source, target)
    except (zstd.ZstdError, EOFError) as error:
        raise BagError(f'{path} cannot be unpacked, its zstd data is broken or truncated: {error}') from error
    return file


def _broken(path: Path, error: Exception, where: str = '') -> BagError:
    remedy = ''
    if 'not in timestamp order' in str(error):  # written without chunks, so without an index
        remedy = f'; `mcap sort {path} -o sorted.mcap` writes it with an index'
    elif path.is_dir():
        remedy = f'; `ros2 bag reindex {path}` writes its {METADATA} anew'
    elif path.suffix == '.db3':
        remedy = f'; `sqlite3 {path} .recover | sqlite3 recovered.db3` saves what it holds'
    said = ' '.join(str(error).split()).rstrip('.') or type(error).__name__
    return BagError(f'{path} cannot be read {where}(broken or truncated): {said}{remedy}')
