"""H.264 and H.265 packets of image topics become pictures, with PyAV (FFmpeg).

`foxglove_msgs/CompressedVideo` and `ffmpeg_image_transport_msgs/FFMPEGPacket`: each message is one picture, and most
of them say only what differs from the ones before, so a topic's packets must all be decoded, in order.
"""

from __future__ import annotations

import av
import numpy as np

from stc_ros.io.h264_frame_num import FrameNumbers
from stc_ros.io.image_messages import FrameInvalid, check_pixels, short
from stc_ros.io.picture import Picture, resize

COMPRESSED_VIDEO = 'foxglove_msgs/msg/CompressedVideo'
FFMPEG_PACKET = 'ffmpeg_image_transport_msgs/msg/FFMPEGPacket'
# For bags that do not carry them: those recorded before ROS 2 Iron.
DEFINITIONS = {
    COMPRESSED_VIDEO: 'builtin_interfaces/Time timestamp\nstring frame_id\nuint8[] data\nstring format\n',
    FFMPEG_PACKET: 'std_msgs/Header header\nint32 width\nint32 height\nstring encoding\nuint64 pts\nuint8 flags\n'
    'bool is_bigendian\nuint8[] data\n',
}
NAMES = {'h264': 'H.264', 'hevc': 'H.265'}
PADDED = 2  # FFmpeg counts the pixels of a picture whose lines are padded: less than this many times as many
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
        self._most_pixels: int | None = None  # of the pictures that the open decoder takes
        self._numbers = FrameNumbers()
        self._waits_because = 'none has come yet'

    def lose(self, reason: str) -> None:
        """Packets were lost before they came here: nothing is decoded before the next keyframe."""
        self._waits_because = reason

    def decode(self, message, most_pixels: int | None = None) -> Picture:
        """A CompressedVideo or FFMPEGPacket -> its picture, made RGB when it is looked at.

        most_pixels: a picture of more is refused before it is decoded. Raises `FrameInvalid`.
        """
        codec = codec_of(message)
        name, nals = NAMES[codec], nal_units(message.data, codec)
        if codec != self._codec:
            self._codec, self._waits_because = codec, 'none has come yet'
        if most_pixels != self._most_pixels and BEGINS[codec] & {nal_type(nal, codec) for nal in nals}:
            self._waits_because = self._waits_because or 'input.max_pixels has changed'  # read when a decoder opens
        if self._waits_because:
            if not BEGINS[codec] & {nal_type(nal, codec) for nal in nals}:
                raise FrameInvalid(
                    'waits for keyframe',
                    f'{name} packet cannot be decoded before the next keyframe: {self._waits_because}',
                )
            self._context, self._numbers = _open(codec, most_pixels), FrameNumbers()
            self._most_pixels = most_pixels
            self._waits_because = ''
        try:
            if codec == 'h264' and self._numbers.missing(nals):
                raise FrameInvalid('video packet', 'a packet before it is missing')
            frame = _only(self._context.decode(av.Packet(bytes(message.data))), name)
            _check_size(message, frame, most_pixels)
        except Exception as error:  # broken bytes make FFmpeg raise many kinds
            error = self._too_large(most_pixels) or error
            reason = short(getattr(error, 'strerror', None) or error)
            self._waits_because = f'one before it could not be ({reason})'
            kind = error.kind if isinstance(error, FrameInvalid) else 'video packet'
            raise FrameInvalid(kind, f'{name} packet cannot be decoded: {reason}') from None
        return VideoPicture(frame)

    def _too_large(self, most_pixels: int | None) -> FrameInvalid | None:
        """That the size which the stream names is what FFmpeg refused; it says so only in its own log."""
        try:
            check_pixels(self._context.width, self._context.height, most_pixels)
        except FrameInvalid as refusal:
            return refusal
        return None


def codec_of(message) -> str:
    """'h264' or 'hevc'. Raises `FrameInvalid` for other formats."""
    name = message.format if hasattr(message, 'format') else message.encoding
    first = name.split(';')[0].lower()  # FFMPEGPacket: codec;pixel formats...
    for codec, parts in {'h264': ('h264', 'x264', 'avc'), 'hevc': ('h265', 'x265', 'hevc')}.items():
        if any(part in first for part in parts):
            return codec
    raise FrameInvalid(
        'video format', f'video format {short(repr(name))} is not supported; supported are h264 and h265'
    )


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


class VideoPicture(Picture):
    """A decoded picture, in the decoder's own colours until somebody looks: most of a fast camera's are never seen."""

    def __init__(self, frame: av.VideoFrame):
        self.frame, self.width, self.height = frame, frame.width, frame.height

    def resize(self, height: int, width: int, mode: str):
        return resize(self.array(), height, width, mode)

    def array(self, least: int | None = None) -> np.ndarray:
        try:
            return self.frame.to_ndarray(format='rgb24')
        except Exception as error:  # a pixel format that FFmpeg cannot convert
            raise FrameInvalid('video picture', f'the picture cannot be made RGB: {short(error)}') from None


def _open(codec: str, most_pixels: int | None) -> av.CodecContext:
    context = av.CodecContext.create(codec, 'r')
    context.flags |= av.codec.context.Flags.low_delay  # a picture for each packet, not some packets later
    context.thread_type = 'SLICE'  # frame threads would delay it
    context.options = {'err_detect': 'explode'}  # no guessing at what is missing
    if most_pixels is not None:  # FFmpeg looks at it before it allocates a picture
        context.options |= {'max_pixels': str(PADDED * most_pixels)}
    return context


def _only(frames: list, name: str) -> av.VideoFrame:
    if len(frames) != 1:
        raise FrameInvalid(
            'video packet', f'it gives {len(frames)} pictures, not one; encode {name} without B-frames (FFmpeg: -bf 0)'
        )
    if frames[0].is_corrupt:
        raise FrameInvalid('video packet', 'it rests on pictures that are missing')
    return frames[0]


def _check_size(message, frame: av.VideoFrame, most_pixels: int | None) -> None:
    """Raises `FrameInvalid` where an FFMPEGPacket claims another size than its picture has; 0 claims nothing."""
    check_pixels(frame.width, frame.height, most_pixels)
    claimed = getattr(message, 'width', 0), getattr(message, 'height', 0)
    if all(claimed) and claimed != (frame.width, frame.height):
        raise FrameInvalid(
            'size', f'the message claims {claimed[0]} x {claimed[1]}, its picture has {frame.width} x {frame.height}'
        )
