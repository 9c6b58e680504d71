"""Reads image messages as they came over the wire, without copying their data: 25 MB of a raw 4K image.

Only what all image topics carry, sensor_msgs Image and CompressedImage in plain CDR; anything else is rclpy's to read.
Source: OMG DDS-XTypes 1.3, §7.4.1, XCDR version 1: every number stands at a multiple of its own size.
"""

from __future__ import annotations

import struct
from types import SimpleNamespace

import numpy as np

LITTLE, BIG = b'\x00\x01', b'\x00\x00'  # plain CDR, by the order of a number's bytes
HEADER = 4  # bytes before the first field; alignment counts from behind them


class Reader:
    """Takes one field after the other. Raises `ValueError` where the bytes do not suffice."""

    def __init__(self, data: bytes):
        self.data, self.at = memoryview(data), HEADER
        self.order = '<' if bytes(self.data[:2]) == LITTLE else '>'

    def number(self, kind: str) -> int:
        """i, I, B: as `struct` names them."""
        size = struct.calcsize(kind)
        self.at += -(self.at - HEADER) % size
        if self.at + size > len(self.data):
            raise ValueError(f'the message ends after {len(self.data)} bytes, in the midst of a field')
        (value,) = struct.unpack_from(self.order + kind, self.data, self.at)
        self.at += size
        return value

    def octets(self) -> memoryview:
        """A sequence of bytes, or a string with its zero."""
        count = self.number('I')
        if self.at + count > len(self.data):
            raise ValueError(f'the message has {len(self.data) - self.at} of {count} bytes of data')
        self.at += count
        return self.data[self.at - count : self.at]

    def text(self) -> str:
        return str(self.octets()[:-1], 'utf-8', 'replace')


def read_image(serialized: bytes, compressed: bool):
    """The fields of an Image or CompressedImage; `data` is uint8 [n], on the memory of `serialized`.

    None: it is not plain CDR. Raises `ValueError` when it is cut off.
    """
    if bytes(serialized[:2]) not in (LITTLE, BIG):
        return None
    take = Reader(serialized)
    stamp = SimpleNamespace(sec=take.number('i'), nanosec=take.number('I'))
    header = SimpleNamespace(stamp=stamp, frame_id=take.text())
    if compressed:
        fields = {'format': take.text()}
    else:
        fields = {
            'height': take.number('I'),
            'width': take.number('I'),
            'encoding': take.text(),
            'is_bigendian': take.number('B'),
            'step': take.number('I'),
        }
    return SimpleNamespace(header=header, **fields, data=np.frombuffer(take.octets(), np.uint8))
