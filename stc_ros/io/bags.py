"""Reads the pictures of rosbag2 recordings, without ROS and without a clock: every one, in the order of its stamp.

    with Bag([Path('run1'), Path('run2.mcap')]) as bag:
        for frame in bag.frames([bag.choose()]):
            frame.stamp, frame.picture

Messages lie in a bag as they arrived, while a stamp says when the picture was taken. So up to `REORDER_MESSAGES`
messages of up to `REORDER_BYTES` wait, still serialized, and the earliest one goes first. A frame that is earlier than
one that has gone cannot be put in its place: it is given with an error. Memory does not grow with a bag's length.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from stc_ros.io.bag_files import BagError, find, open_reader, read
from stc_ros.io.bag_types import definitions
from stc_ros.io.image_messages import FrameInvalid, to_picture
from stc_ros.io.image_messages import read as read_message
from stc_ros.io.picture import Picture
from stc_ros.io.video_packets import COMPRESSED_VIDEO, DEFINITIONS, FFMPEG_PACKET, VideoDecoder

__all__ = ['IMAGE_TYPES', 'Bag', 'BagError', 'BagFrame', 'BagMessage', 'ImageTopic', 'register_video_types']

IMAGE, COMPRESSED_IMAGE = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
IMAGE_TYPES = (IMAGE, COMPRESSED_IMAGE, COMPRESSED_VIDEO, FFMPEG_PACKET)
REORDER_MESSAGES = 64
REORDER_BYTES = 128 << 20  # of all bags together
TAILS_NS = (2_000_000_000, 100_000_000_000, None)  # how much of a bag's end is read to find its last stamp
NO_STAMP = 'its stamp is zero: let the camera driver set header.stamp'


@dataclass(frozen=True, slots=True)
class ImageTopic:
    name: str
    type: str  # one of IMAGE_TYPES
    count: int


@dataclass(frozen=True, slots=True)
class BagFrame:
    """A picture, or why there is none. A compressed one may still raise `FrameInvalid` when it is resized."""

    topic: str
    stamp: int  # ns; of a frame without a stamp 0, and of one that came too late its own, which is out of order
    frame_id: str
    picture: Picture | None
    error: str = ''
    error_kind: str = ''  # the same for frames that fail alike, as `FrameInvalid.kind`
    number: int = 0  # among those that one call of `Bag.frames` gives
    serialized: bytes = b''  # the message, where it is an Image or CompressedImage


@dataclass(frozen=True, slots=True)
class BagMessage:
    topic: str
    type: str
    stamp: int  # ns; when it was recorded
    message: Any


class Bag:
    """Bags as one recording: files and folders, sqlite3 and MCAP, compressed or not. Raises `BagError`."""

    def __init__(self, paths: Sequence[Path]):
        self._stack = ExitStack()
        try:
            self._readers = [(path, open_reader(path, self._stack)) for path in find([Path(p) for p in paths])]
        except BaseException:
            self._stack.close()
            raise
        self.paths = [path for path, _ in self._readers]

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()

    def topics(self) -> list[tuple[str, str, int]]:
        """(name, type, number of messages) of every topic, by name."""
        counts: dict[tuple[str, str], int] = {}
        for _, reader in self._readers:
            for c in reader.connections:
                counts[c.topic, c.msgtype] = counts.get((c.topic, c.msgtype), 0) + c.msgcount
        return sorted((name, type, count) for (name, type), count in counts.items())

    def image_topics(self) -> list[ImageTopic]:
        """The topics that show pictures, by name."""
        return [ImageTopic(*topic) for topic in self.topics() if topic[1] in IMAGE_TYPES]

    def choose(self, wanted: str = '') -> str:
        """The image topic of that name, or the only one that has messages. Raises `BagError`, which lists all."""
        found = self.image_topics()
        if wanted:
            names = [t.name for t in found if t.name.strip('/') == wanted.strip('/')]
            if names:
                return names[0]
            other = [type for name, type, _ in self.topics() if name.strip('/') == wanted.strip('/')]
            what = f'{wanted} is a topic of {other[0]}, not of images' if other else f'there is no topic {wanted}'
            raise BagError(f'{self._name}: {what}; {self._listing()}')
        filled = [t.name for t in found if t.count]
        if len(filled) != 1:
            what = 'there are several image topics, name one' if filled else 'there is no image topic with messages'
            raise BagError(f'{self._name}: {what}; {self._listing()}')
        return filled[0]

    def frames(self, topics: Sequence[str]) -> Iterator[BagFrame]:
        """Every frame of these topics, in the order of stamps, then of names; the same at every call.

        A message that cannot be read is a frame with an error; one without a stamp comes where it lies in the bag.
        Raises `BagError` for a topic that the bag lacks, and where the bag cannot be read on.
        """
        wanted = {self.choose(topic) for topic in topics}
        sources = [self._in_order(number, wanted) for number in range(len(self._readers))]
        decoders: dict[tuple[int, str], VideoDecoder] = {}
        for number, message in enumerate(heapq.merge(*sources, key=lambda m: (m.order, m.topic))):
            yield replace(self._frame(message, decoders), number=number)

    def messages(self, topics: Collection[str] = ()) -> Iterator[BagMessage]:
        """Messages of these topics (all, when none is named), in the order in which they were recorded."""
        for bag, connection, stamp, data in self._recorded(topics):
            try:
                message = self._types.deserialize_cdr(data, connection.msgtype)
            except Exception as error:  # whatever broken bytes make it raise
                raise BagError(f'{bag}: a message on {connection.topic} cannot be read: {error}') from error
            yield BagMessage(connection.topic, connection.msgtype, stamp, message)

    @cached_property
    def start_ns(self) -> int:
        """The earliest stamp of any image topic, in ns; when the first message was recorded where there is none."""
        names = {topic.name for topic in self.image_topics()}
        sources = [self._in_order(number, names) for number in range(len(self._readers))]
        firsts = [next((m.stamp for m in source if m.stamp > 0), 0) for source in sources]
        return min((f for f in firsts if f), default=min(reader.start_time for _, reader in self._readers))

    @cached_property
    def end_ns(self) -> int:
        """The latest stamp of any image topic, in ns; when the last message was recorded where there is none."""
        lasts = [_last_stamp(path, reader) for path, reader in self._readers]
        return max(lasts) or max(reader.end_time - 1 for _, reader in self._readers)

    @property
    def _name(self) -> str:
        return ', '.join(str(path) for path in self.paths)

    def _listing(self) -> str:
        found = self.image_topics()
        if not found:
            return 'its topics: ' + (', '.join(f'{name} ({type})' for name, type, _ in self.topics()) or 'none')
        return 'its image topics: ' + ', '.join(f'{t.name} ({t.type}, {t.count})' for t in found)

    def _recorded(self, topics: Collection[str]) -> Iterator[tuple[Path, Connection, int, bytes]]:
        def of(path, reader):
            chosen = [c for c in reader.connections if not topics or c.topic in topics]
            return ((path, *message) for message in read(path, reader, chosen))

        return heapq.merge(*(of(*opened) for opened in self._readers), key=lambda m: m[2])

    def _in_order(self, number: int, topics: Collection[str]) -> Iterator[_Message]:
        path, reader = self._readers[number]
        connections = [c for c in reader.connections if c.topic in topics and c.msgtype in IMAGE_TYPES]
        found = (
            _Message(_stamp(data), _stamp(data), connection.topic, connection.msgtype, number, data)
            for connection, _, data in read(path, reader, connections)
        )
        return _reorder(found, REORDER_BYTES // len(self._readers))

    def _frame(self, message: _Message, decoders: dict) -> BagFrame:
        frame_id, serialized = '', b'' if message.type in DEFINITIONS else message.data
        try:
            content = read_message(message.data, message.type.rsplit('/', 1)[1])
            frame_id = content.header.frame_id
            if message.error:
                raise FrameInvalid(*message.error)
            if message.type in DEFINITIONS:
                picture = decoders.setdefault((message.bag, message.topic), VideoDecoder()).decode(content)
            else:
                picture = to_picture(content)
        except FrameInvalid as error:
            return BagFrame(message.topic, message.stamp, frame_id, None, str(error), error.kind, serialized=serialized)
        return BagFrame(message.topic, message.stamp, frame_id, picture, serialized=serialized)

    @cached_property
    def _types(self):
        """All message types: as the bags define them, else as ROS 2 Jazzy does."""
        types = get_typestore(Stores.EMPTY)
        for path, reader in self._readers:
            for connection in reader.connections:
                try:
                    found = definitions(connection)
                    types.register({name: fields for name, fields in found.items() if name not in types.fielddefs})
                except Exception as error:  # as above
                    raise BagError(f'{path}: the definition of {connection.msgtype} cannot be read: {error}') from error
        jazzy = get_typestore(Stores.ROS2_JAZZY).fielddefs
        types.register({name: fields for name, fields in jazzy.items() if name not in types.fielddefs})
        register_video_types(types)
        return types


def register_video_types(types) -> None:
    """Make the types of video packets known, where they are not."""
    for name, text in DEFINITIONS.items():
        if name not in types.fielddefs:
            types.register(get_types_from_msg(text, name))


@dataclass(frozen=True, slots=True)
class _Message:
    order: int  # the stamp, or for what has no place in the order that of the message before it
    stamp: int
    topic: str
    type: str
    bag: int
    data: bytes
    error: tuple[str, str] | None = None  # kind and text, as of a `FrameInvalid`


def _reorder(messages: Iterable[_Message], most_bytes: int) -> Iterator[_Message]:
    """By stamp, then name, then as they came, through a buffer of bounded size."""
    waiting: list[tuple[int, str, int, _Message]] = []
    held, newest_gone = 0, 0
    for number, message in enumerate(messages):
        if message.stamp <= 0:
            yield _failed(message, newest_gone, 'no stamp', NO_STAMP)
        elif message.stamp < newest_gone:
            late = (newest_gone - message.stamp) / 1e9
            said = f'it comes too late: a frame stamped {late:.3f} s later lies over {REORDER_MESSAGES} messages or '
            yield _failed(message, newest_gone, 'too late', f'{said}{most_bytes >> 20} MiB before it in the bag')
        else:
            heapq.heappush(waiting, (message.stamp, message.topic, number, message))
            held += len(message.data)
        while len(waiting) > REORDER_MESSAGES or (held > most_bytes and len(waiting) > 1):
            newest_gone, _, _, gone = heapq.heappop(waiting)
            held -= len(gone.data)
            yield gone
    while waiting:
        yield heapq.heappop(waiting)[-1]


def _failed(message: _Message, order: int, kind: str, text: str) -> _Message:
    return _Message(order, message.stamp, message.topic, message.type, message.bag, message.data, (kind, text))


def _stamp(data: bytes) -> int:
    """ns, of any serialized message that begins with its stamp, as all of IMAGE_TYPES do; 0 where it is cut off."""
    if len(data) < 12:
        return 0
    sec, nanosec = struct.unpack_from('<iI' if data[1] & 1 else '>iI', data, 4)
    return sec * 1_000_000_000 + nanosec


def _last_stamp(path: Path, reader: Reader) -> int:
    connections = [c for c in reader.connections if c.msgtype in IMAGE_TYPES]
    for tail in TAILS_NS:
        start = None if tail is None else reader.end_time - tail
        last = max((_stamp(data) for _, _, data in read(path, reader, connections, start)), default=0)
        if last > 0:
            return last
    return 0
