"""Messages as they come over the wire, read without a copy of their data, as rclpy reads them."""

import struct

import numpy as np
import pytest

from stc_ros.io.image_messages import FrameInvalid, read
from stc_ros.io.serialized import read_image

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


def test_what_is_not_plain_cdr_is_left_to_rclpy():
    serialized = serialization.serialize_message(kinds.Image(encoding='mono8'))
    other = b'\x00\x07' + serialized[2:]
    assert read_image(other, compressed=False) is None and read(other, 'Image') is None
    big = b'\x00\x00\0\0' + struct.pack('>iII', 7, 8, 1) + b'\0' + b'\0' * 3 + struct.pack('>I', 5) + b'jpeg\0'
    got = read(big + b'\0' * 3 + struct.pack('>I', 2) + b'hi', 'CompressedImage')
    assert got.header.stamp.sec == 7 and got.format == 'jpeg' and bytes(got.data) == b'hi'
