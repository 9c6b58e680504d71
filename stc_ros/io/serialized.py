"""Reads image messages as they came over the wire, without copying their data: 25 MB of a raw 4K image.

Nothing is allocated for what a message only claims to hold, and a message of any bytes is read or refused.
Source: OMG DDS-XTypes 1.3, §7.4 (XCDR 1 and 2) and table 60 (their identifiers): every number stands at a multiple of
its own size, in XCDR 2 of 4 at most.
"""

from __future__ import annotations

import struct
from types import SimpleNamespace

import numpy as np

# By the identifier in the first two bytes: the order of a number's bytes, and the largest alignment.
ENCAPSULATIONS = {b'\x00\x00': ('>', 8), b'\x00\x01': ('<', 8), b'\x00\x06': ('>', 4), b'\x00\x07': ('<', 4)}
HEADER = 4  # bytes before the first field; alignment counts from behind them
LONGEST_TEXT = 255  # bytes of an encoding, a format, a frame_id; real ones have a tenth
# Fields behind the stamp and frame_id with which all begin, by the name of the message's type.
FIELDS = {
    'Image': {'height': 'I', 'width': 'I', 'encoding': 'text', 'is_bigendian': 'B', 'step': 'I', 'data': 'octets'},
    'CompressedImage': {'format': 'text', 'data': 'octets'},
    'CompressedVideo': {'data': 'octets', 'format': 'text'},
    'FFMPEGPacket': {
        'width': 'i',
        'height': 'i',
        'encoding': 'text',
        'pts': 'Q',
        'flags': 'B',
        'is_bigendian': 'B',
        'data': 'octets',
    },
}


class NotCdr(ValueError):
    """The bytes are not in plain CDR, as ROS 2 writes it."""


class Reader:
    """Takes one field after the other. Raises `ValueError` where the bytes do not suffice."""

    def __init__(self, data: bytes):
        self.data, self.at = memoryview(data), HEADER
        if bytes(self.data[:2]) not in ENCAPSULATIONS:
            raise NotCdr('the message is not in plain CDR, as ROS 2 writes it')
        self.order, self.most_aligned = ENCAPSULATIONS[bytes(self.data[:2])]

    def number(self, kind: str) -> int:
        """i, I, B, Q: as `struct` names them."""
        size = struct.calcsize(kind)
        self.at += -(self.at - HEADER) % min(size, self.most_aligned)
        if self.at + size > len(self.data):
            raise ValueError(f'the message ends after {len(self.data)} bytes, in the midst of a field')
        (value,) = struct.unpack_from(self.order + kind, self.data, self.at)
        self.at += size
        return value

    def octets(self) -> np.ndarray:
        """A sequence of bytes, uint8 [n], on the message's memory."""
        return np.frombuffer(self._counted(), np.uint8)

    def text(self) -> str:
        said = self._counted()
        if len(said) > LONGEST_TEXT + 1:
            raise ValueError(f'the message has a text of {len(said)} bytes; at most {LONGEST_TEXT} are read')
        return str(said[:-1], 'utf-8', 'replace').replace('\0', '')

    def field(self, kind: str):
        return getattr(self, kind)() if kind in ('text', 'octets') else self.number(kind)

    def _counted(self) -> memoryview:
        count = self.number('I')
        if self.at + count > len(self.data):
            raise ValueError(f'the message has {len(self.data) - self.at} of {count} bytes of data')
        self.at += count
        return self.data[self.at - count : self.at]


def read_image(serialized: bytes, kind: str):
    """The fields of a message of one of `FIELDS`; `data` is uint8 [n], on the memory of `serialized`.

    What a CompressedVideo has beside each other (timestamp, frame_id) is a header, as in the others. Raises `NotCdr`,
    and `ValueError` when it is cut off or holds a text that is too long.
    """
    take = Reader(serialized)
    stamp = SimpleNamespace(sec=take.number('i'), nanosec=take.number('I'))
    header = SimpleNamespace(stamp=stamp, frame_id=take.text())
    return SimpleNamespace(header=header, **{name: take.field(of) for name, of in FIELDS[kind].items()})
