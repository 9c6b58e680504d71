"""Messages as they come over the wire, read without a copy of their data, as rclpy reads them; or refused."""

import struct
from types import SimpleNamespace

import numpy as np
import pytest

from stc_ros.io.image_messages import FrameInvalid, read
from stc_ros.io.serialized import ENCAPSULATIONS, FIELDS

serialization = pytest.importorskip('rclpy.serialization')
kinds = pytest.importorskip('sensor_msgs.msg')


@pytest.mark.parametrize('frame_id', ['', 'front', 'a longer name'], ids=len)
def test_messages_are_read_as_rclpy_reads_them_and_their_data_is_not_copied(frame_id):
    sent = kinds.Image(height=2, width=4, encoding='bgr8', step=12, is_bigendian=1, data=bytes(range(24)))
    sent.header.stamp.sec, sent.header.stamp.nanosec, sent.header.frame_id = -3, 4_000_000_000, frame_id
    serialized = serialization.serialize_message(sent)
    got = read(serialized, 'Image')
    for name in ('height', 'width', 'encoding', 'step', 'is_bigendian'):
        assert getattr(got, name) == getattr(sent, name)
    assert bytes(got.data) == bytes(range(24)) and np.shares_memory(got.data, np.frombuffer(serialized, np.uint8))
    assert (got.header.stamp.sec, got.header.stamp.nanosec, got.header.frame_id) == (-3, 4_000_000_000, frame_id)
    jpeg = serialization.serialize_message(kinds.CompressedImage(header=sent.header, format='jpeg', data=b'abc'))
    got = read(jpeg, 'CompressedImage')
    assert got.format == 'jpeg' and bytes(got.data) == b'abc' and got.header.frame_id == frame_id
    for cut in range(4, len(jpeg) - 3):
        with pytest.raises(FrameInvalid, match='the message'):
            read(jpeg[:cut], 'CompressedImage')


def test_the_fields_are_those_of_the_messages():
    for kind in ('Image', 'CompressedImage'):
        assert list(getattr(kinds, kind).get_fields_and_field_types())[1:] == list(FIELDS[kind])


def cdr(start: bytes, *fields) -> bytes:
    """Fields in CDR behind the bytes `start`: (struct's letter, number), or bytes as a sequence, or a text."""
    order, most = ENCAPSULATIONS[start]
    out = bytearray()

    def number(kind, value):
        size = struct.calcsize(kind)
        out.extend(bytes(-len(out) % min(size, most)) + struct.pack(order + kind, value))

    for field in fields:
        if isinstance(field, tuple):
            number(*field)
        else:
            content = field.encode() + b'\0' if isinstance(field, str) else field
            number('I', len(content))
            out.extend(content)
    return start + b'\0\0' + bytes(out)


@pytest.mark.parametrize('start', ENCAPSULATIONS)
def test_every_plain_encoding_is_read_and_a_wide_number_stands_where_it_should(start):
    stamp = ('i', 7), ('I', 8)
    packet = cdr(
        start, *stamp, 'lens', ('i', 160), ('i', 96), 'h264;yuv420p', ('Q', 1 << 40), ('B', 1), ('B', 0), b'hi'
    )
    got = read(packet, 'FFMPEGPacket')
    assert (got.width, got.height, got.encoding, got.pts, got.flags) == (160, 96, 'h264;yuv420p', 1 << 40, 1)
    assert bytes(got.data) == b'hi' and got.header.frame_id == 'lens'
    got = read(cdr(start, *stamp, 'lens', b'hello', 'h265'), 'CompressedVideo')
    assert (bytes(got.data), got.format, got.header.stamp) == (b'hello', 'h265', SimpleNamespace(sec=7, nanosec=8))
    image = cdr(start, *stamp, '', ('I', 1), ('I', 2), 'mono8', ('B', 0), ('I', 2), b'ab')
    plain = serialization.deserialize_message(image, kinds.Image)
    assert plain.encoding == read(image, 'Image').encoding == 'mono8' and bytes(plain.data) == b'ab'


@pytest.mark.parametrize('kind', FIELDS)
def test_any_bytes_are_read_or_refused(kind):
    """13 bytes that claim more than they hold once reset the memory of the stream."""
    rng = np.random.default_rng(1)
    refused = 0
    for size in [0, 1, 3, 4, 12, *range(5, 200)]:
        for start in (b'\0\1\0\0', b'\0\0\0\0', b'\0\x07\0\0', b'\0\x09\0\0', b'\xff\xff\xff\xff'):
            data = (start + rng.integers(0, 256, size, np.uint8).tobytes())[:size]
            try:
                read(data, kind)
            except FrameInvalid as error:
                assert error.kind in ('cut off', 'serialization') and len(str(error)) < 200
                refused += 1
    assert refused > 900


def test_a_claim_of_gigabytes_costs_nothing_and_a_long_text_is_refused():
    start = b'\0\1\0\0' + struct.pack('<iI', 7, 8)
    with pytest.raises(FrameInvalid, match='of 4294967295 bytes'):
        read(start + struct.pack('<I', 2**32 - 1), 'Image')
    with pytest.raises(FrameInvalid, match='text of 100001 bytes'):
        read(cdr(b'\0\1', ('i', 7), ('I', 8), 'x' * 100_000, 'jpeg', b''), 'CompressedImage')
