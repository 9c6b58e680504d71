"""H.264 and H.265 packets of image topics become pictures, with PyAV (FFmpeg).

`foxglove_msgs/CompressedVideo` and `ffmpeg_image_transport_msgs/FFMPEGPacket`: each message is one picture, and most
of them say only what differs from the ones before, so a topic's packets must all be decoded, in order.
"""

from __future__ import annotations

import av
import numpy as np

from stc_ros.io.h264_frame_num import FrameNumbers
from stc_ros.io.image_messages import FrameInvalid
from stc_ros.io.picture import Picture

COMPRESSED_VIDEO = 'foxglove_msgs/msg/CompressedVideo'
FFMPEG_PACKET = 'ffmpeg_image_transport_msgs/msg/FFMPEGPacket'
# For bags that do not carry them: those recorded before ROS 2 Iron.
DEFINITIONS = {
    COMPRESSED_VIDEO: 'builtin_interfaces/Time timestamp\nstring frame_id\nuint8[] data\nstring format\n',
    FFMPEG_PACKET: 'std_msgs/Header header\nint32 width\nint32 height\nstring encoding\nuint64 pts\nuint8 flags\n'
    'bool is_bigendian\nuint8[] data\n',
}
NAMES = {'h264': 'H.264', 'hevc': 'H.265'}
# NAL unit types with which decoding may begin: a picture that rests on no other, or the parameters before it.
BEGINS = {'h264': {5, 7}, 'hevc': {*range(16, 24), 32, 33}}  # ITU-T H.264 table 7-1, H.265 table 7-1


class VideoDecoder:
    """The packets of one topic, in the order of their stamps; each gives its picture at once.

    Decoding begins at a keyframe. After a packet that cannot be decoded, or whose picture rests on one that is
    missing, every packet up to the next keyframe is refused, because its picture would be wrong without a sign.
    Streams with B-frames are refused: their pictures come in another order than their packets.
    """

    def __init__(self):
        self._codec, self._context = '', None
        self._numbers = FrameNumbers()
        self._waits_because = 'none has come yet'

    def decode(self, message) -> Picture:
        """A CompressedVideo or FFMPEGPacket -> its picture. Raises `FrameInvalid`."""
        codec = codec_of(message)
        name, nals = NAMES[codec], nal_units(message.data, codec)
        if codec != self._codec:
            self._codec, self._waits_because = codec, 'none has come yet'
        if self._waits_because:
            if not BEGINS[codec] & {nal_type(nal, codec) for nal in nals}:
                raise FrameInvalid(
                    'waits for keyframe',
                    f'{name} packet cannot be decoded before the next keyframe: {self._waits_because}',
                )
            self._context, self._numbers = _open(codec), FrameNumbers()
            self._waits_because = ''
        try:
            if codec == 'h264' and self._numbers.missing(nals):
                raise FrameInvalid('video packet', 'a packet before it is missing')
            return _picture(self._context.decode(av.Packet(bytes(message.data))), name)
        except (av.FFmpegError, FrameInvalid) as error:
            reason = getattr(error, 'strerror', None) or str(error)
            self._waits_because = f'one before it could not be ({reason})'
            raise FrameInvalid('video packet', f'{name} packet cannot be decoded: {reason}') from None


def codec_of(message) -> str:
    """'h264' or 'hevc'. Raises `FrameInvalid` for other formats."""
    name = message.format if hasattr(message, 'format') else message.encoding
    first = name.split(';')[0].lower()  # FFMPEGPacket: codec;pixel formats...
    for codec, parts in {'h264': ('h264', 'x264', 'avc'), 'hevc': ('h265', 'x265', 'hevc')}.items():
        if any(part in first for part in parts):
            return codec
    raise FrameInvalid(f'video format {first}', f'video format {name!r} is not supported; supported are h264 and h265')


def nal_units(data: np.ndarray, codec: str) -> list[bytes]:
    """The NAL units of a packet. Raises `FrameInvalid` when it is not in Annex B's byte stream format."""
    before, *units = bytes(data).split(b'\x00\x00\x01')
    if not units or before.strip(b'\x00'):
        raise FrameInvalid(
            'video data', f'{NAMES[codec]} data does not begin with a start code: Annex B byte streams are supported'
        )
    return [unit for unit in units if unit]


def nal_type(unit: bytes, codec: str) -> int:
    return unit[0] & 0x1F if codec == 'h264' else unit[0] >> 1 & 0x3F


def _open(codec: str) -> av.CodecContext:
    context = av.CodecContext.create(codec, 'r')
    context.flags |= av.codec.context.Flags.low_delay  # a picture for each packet, not some packets later
    context.thread_type = 'SLICE'  # frame threads would delay it
    context.options = {'err_detect': 'explode'}  # no guessing at what is missing
    return context


def _picture(frames: list, name: str) -> Picture:
    if len(frames) != 1:
        raise FrameInvalid(
            'video packet', f'it gives {len(frames)} pictures, not one; encode {name} without B-frames (FFmpeg: -bf 0)'
        )
    if frames[0].is_corrupt:
        raise FrameInvalid('video packet', 'it rests on pictures that are missing')
    pixels = frames[0].to_ndarray(format='rgb24')
    return Picture(pixels, (0, 1, 2), lambda: pixels)
