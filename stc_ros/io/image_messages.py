"""The one place where an image message becomes a picture. Works on anything shaped like Image or CompressedImage."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from stc_ros.io.converter import ENCODINGS, converter, to_rgb8
from stc_ros.io.picture import Picture, resize
from stc_ros.io.serialized import NotCdr, read_image

# Encodings that are resized as they are; which channel is red, green, blue.
CHANNELS = {
    'rgb8': (0, 1, 2),
    'bgr8': (2, 1, 0),
    'rgba8': (0, 1, 2),
    'bgra8': (2, 1, 0),
    '8UC3': (2, 1, 0),
    '8UC4': (2, 1, 0),
}
# A jpeg is decoded in no less than this many times the size asked for: a grey level off, or at fine stripes more.
JPEG_SPARE = 2
ENCODINGS_NEEDING_EVEN_WIDTH = ('uyvy', 'yuv422', 'yuyv', 'yuv422_yuy2')


LONGEST_SAID = 200  # characters of what a message or a library says that are repeated in a refusal


class FrameInvalid(ValueError):
    """A message is no usable picture. `kind` is one of a few: the same for messages that fail alike."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


def check_converter() -> None:
    """Raises `ImportError`, with the remedy, when neither rosbags-image nor a sourced ROS's cv_bridge can be had."""
    converter()


def read(serialized: bytes, kind: str):
    """A serialized message of one of `serialized.FIELDS`, by the name of its type; its data is not copied.

    Raises `FrameInvalid` when it is cut off, or no message at all.
    """
    try:
        return read_image(serialized, kind)
    except NotCdr as error:
        raise FrameInvalid('serialization', str(error)) from None
    except ValueError as error:
        raise FrameInvalid('cut off', str(error)) from None


def to_picture(message, most_pixels: int | None = None) -> Picture:
    """sensor_msgs Image or CompressedImage -> `Picture`, as a rule on the message's own memory.

    most_pixels: a picture of more is refused before anything is allocated for it. Raises `FrameInvalid`; what is
    compressed may raise it when it is resized.
    """
    if hasattr(message, 'format'):
        return Compressed(message, most_pixels)
    rows = _rows(message)
    check_pixels(message.width, message.height, most_pixels)
    if channels := CHANNELS.get(message.encoding):
        return Picture(_pixels(rows, ENCODINGS[message.encoding]), channels, lambda: _convert(message, rows))
    array = _convert(message, rows)
    return Picture(array, (0, 1, 2), lambda: array)


def to_rgb(message) -> np.ndarray:
    """sensor_msgs Image or CompressedImage -> uint8 [H, W, 3], RGB, contiguous, perhaps on the message's own memory.

    The plain way, with which the node's is compared: `to_picture`. Raises `FrameInvalid`.
    """
    return _decompress(message) if hasattr(message, 'format') else _convert(message, _rows(message))


class Compressed(Picture):
    """A CompressedImage. Of a large jpeg only as much is decoded as the size asked for needs."""

    def __init__(self, message, most_pixels: int | None = None):
        self.message = message
        picture = _open(message)  # reads the header only: what is no picture at all is refused before it counts
        self.width, self.height = picture.size
        check_pixels(self.width, self.height, most_pixels)

    def resize(self, height: int, width: int, mode: str):
        """uint8 tensor [1, 3, height, width]. Raises `FrameInvalid`."""
        return resize(_decompress(self.message, (JPEG_SPARE * width, JPEG_SPARE * height)), height, width, mode)

    def array(self, least: int | None = None) -> np.ndarray:
        return _decompress(self.message, least and (least, least))


def stamp_of(header) -> int:
    """header.stamp in ns. Raises `FrameInvalid` when it is not set: an answer could not say what it rests on."""
    if header.stamp.nanosec >= 1_000_000_000:
        raise FrameInvalid('no stamp', f'header.stamp has {header.stamp.nanosec} ns beside its seconds: over a second')
    stamp = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
    if stamp <= 0:
        raise FrameInvalid('no stamp', 'header.stamp is not set: let the camera driver stamp its images')
    return stamp


def check_pixels(width: int, height: int, most: int | None) -> None:
    """Raises `FrameInvalid` for a picture of more than `most` pixels; None: any will do."""
    if most is not None and width * height > most:
        raise FrameInvalid(
            'too many pixels', f'the image has {width} x {height} pixels, input.max_pixels allows {most}: raise it'
        )


def short(said: object) -> str:
    """What a message or a library says, in one line of bounded length."""
    line = ' '.join((str(said) or type(said).__name__).split())
    return line if len(line) <= LONGEST_SAID else line[:LONGEST_SAID] + ' ...'


def _rows(message) -> np.ndarray:
    """A checked message's bytes without each row's padding, uint8 [H, bytes], not copied. Raises `FrameInvalid`."""
    encoding, height, width = message.encoding, message.height, message.width
    if encoding not in ENCODINGS:
        raise FrameInvalid(
            'encoding',
            f'encoding {short(repr(encoding))} cannot be converted to RGB; supported are '
            f'{", ".join(ENCODINGS)}, and jpeg and png as CompressedImage',
        )
    if not height or not width:
        raise FrameInvalid('size', f'the image is empty: {width} x {height}')
    row = width * ENCODINGS[encoding]
    if message.step < row:
        raise FrameInvalid('step', f'step is {message.step} bytes, but {width} pixels of {encoding} take {row}')
    data = np.frombuffer(message.data, np.uint8)
    if len(data) != message.step * height:
        raise FrameInvalid(
            'data',
            f'data has {len(data)} bytes, but step x height is {message.step} x {height} = {message.step * height}',
        )
    if encoding in ENCODINGS_NEEDING_EVEN_WIDTH and width % 2:
        raise FrameInvalid('size', f'{encoding} shares colour between two pixels, but the width is {width}')
    return data.reshape(height, message.step)[:, :row]


def _pixels(rows: np.ndarray, channels: int) -> np.ndarray:
    """uint8 [H, bytes] -> [H, bytes / channels, channels] on the same memory."""
    return np.lib.stride_tricks.as_strided(
        rows, (len(rows), rows.shape[1] // channels, channels), (rows.strides[0], channels, 1), writeable=False
    )


def _convert(message, rows: np.ndarray) -> np.ndarray:
    try:
        return to_rgb8(rows, message.encoding, message.width, bool(message.is_bigendian))
    except ImportError:
        raise
    except Exception as error:  # whatever a converter raises is the picture's fault, and not the model's
        raise FrameInvalid('conversion', f'{message.encoding} cannot be converted: {short(error)}') from None


def _open(message) -> Image.Image:
    """The picture of a CompressedImage, not decoded yet. Raises `FrameInvalid`."""
    if 'compressedDepth' in message.format:
        raise FrameInvalid(
            'compressedDepth', f'{short(repr(message.format))} is a depth picture; a colour picture is needed'
        )
    try:
        return Image.open(io.BytesIO(message.data), formats=('JPEG', 'PNG'))
    except UnidentifiedImageError:
        raise FrameInvalid('compressed format', f'{short(repr(message.format))} data is neither jpeg nor png') from None
    except Image.DecompressionBombError as error:
        raise FrameInvalid('too many pixels', short(error)) from None
    except Exception as error:  # broken bytes make Pillow raise struct.error, OverflowError and more
        raise _undecodable(message, error) from None


def _decompress(message, least: tuple[int, int] | None = None) -> np.ndarray:
    """uint8 [H, W, 3]. least: width and height that suffice of a jpeg; it is then decoded at 1/2, 1/4 or 1/8."""
    picture = _open(message)
    try:
        if picture.mode.startswith('I'):  # 16 bits per pixel: keep the upper 8
            return np.repeat((np.asarray(picture, np.uint32) >> 8).astype(np.uint8)[..., None], 3, axis=2)
        if least and picture.format == 'JPEG':
            picture.draft(None, least)
        return np.ascontiguousarray(picture if picture.mode == 'RGB' else picture.convert('RGB'))
    except Exception as error:  # as above; a MemoryError, too, is of this picture
        raise _undecodable(message, error) from None


def _undecodable(message, error: Exception) -> FrameInvalid:
    return FrameInvalid('compressed data', f'the {short(message.format)} data cannot be decoded: {short(error)}')
