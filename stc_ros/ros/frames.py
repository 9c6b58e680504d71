"""The one place where an image message becomes RGB. Works on anything shaped like Image or CompressedImage."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
from PIL import Image as Picture
from PIL import UnidentifiedImageError

# Bytes per pixel of the encodings of sensor_msgs/Image that can be converted.
ENCODINGS = {
    'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1, '8UC1': 1, '8UC3': 3, '8UC4': 4,
    'rgb16': 6, 'bgr16': 6, 'rgba16': 8, 'bgra16': 8, 'mono16': 2,
    'bayer_rggb8': 1, 'bayer_bggr8': 1, 'bayer_gbrg8': 1, 'bayer_grbg8': 1,
    'uyvy': 2, 'yuv422': 2, 'yuyv': 2, 'yuv422_yuy2': 2,
}
ALIASES = {'8UC1': 'mono8', '8UC3': 'bgr8', '8UC4': 'bgra8'}     # what OpenCV means by them
ENCODINGS_NEEDING_EVEN_WIDTH = ('uyvy', 'yuv422', 'yuyv', 'yuv422_yuy2')


class FrameRefused(ValueError):
    """A message is no usable picture. `kind` is the same for messages that fail alike."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


def check_converter() -> None:
    """Raises `ImportError`, with the remedy, when neither rosbags-image nor a sourced ROS's cv_bridge can be had."""
    _converter()


def to_rgb(message) -> np.ndarray:
    """sensor_msgs Image or CompressedImage -> uint8 [H, W, 3], RGB, contiguous, perhaps on the message's own memory.

    Raises `FrameRefused`.
    """
    return _decompress(message) if hasattr(message, 'format') else _convert(message)


def stamp_of(header) -> int:
    """header.stamp in ns. Raises `FrameRefused` when it is not set: an answer could not say what it rests on."""
    stamp = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
    if stamp <= 0:
        raise FrameRefused('no stamp', 'header.stamp is not set: let the camera driver stamp its images')
    return stamp


def _convert(message) -> np.ndarray:
    encoding, height, width = message.encoding, message.height, message.width
    if encoding not in ENCODINGS:
        raise FrameRefused(f'encoding {encoding}', f'encoding {encoding!r} cannot be converted to RGB; supported are '
                                                   f'{", ".join(ENCODINGS)}, and jpeg and png as CompressedImage')
    if not height or not width:
        raise FrameRefused('size', f'the image is empty: {width} x {height}')
    row = width * ENCODINGS[encoding]
    if message.step < row:
        raise FrameRefused('step', f'step is {message.step} bytes, but {width} pixels of {encoding} take {row}')
    data = np.frombuffer(message.data, np.uint8)
    if len(data) != message.step * height:
        raise FrameRefused('data', f'data has {len(data)} bytes, but step x height is {message.step} x {height} = '
                                   f'{message.step * height}')
    if encoding in ENCODINGS_NEEDING_EVEN_WIDTH and width % 2:
        raise FrameRefused('size', f'{encoding} shares colour between two pixels, but the width is {width}')
    tight = np.ascontiguousarray(data.reshape(height, message.step)[:, :row])   # drops the padding of each row
    plain = SimpleNamespace(encoding=ALIASES.get(encoding, encoding), height=height, width=width, step=row,
                            is_bigendian=message.is_bigendian, data=tight, header=message.header)
    return np.ascontiguousarray(_converter()(plain))


def _converter():
    """A function from an Image without padding to RGB: rosbags-image's, or else a sourced ROS's."""
    try:
        from rosbags.image import image_to_cvimage
        return lambda image: image_to_cvimage(image, 'rgb8')
    except ImportError:
        pass
    try:
        from cv_bridge import CvBridge
        return lambda image: CvBridge().imgmsg_to_cv2(image, 'rgb8')
    except ImportError:
        raise ImportError('images cannot be converted: pip install "rosbags-image[opencv-headless]", or source a ROS 2 '
                          'that has cv_bridge') from None


def _decompress(message) -> np.ndarray:
    if 'compressedDepth' in message.format:
        raise FrameRefused('compressedDepth', f'{message.format!r} is a depth picture; a colour picture is needed')
    try:
        picture = Picture.open(io.BytesIO(message.data), formats=('JPEG', 'PNG'))
        if picture.mode.startswith('I'):        # 16 bits per pixel: keep the upper 8
            return np.repeat((np.asarray(picture, np.uint32) >> 8).astype(np.uint8)[..., None], 3, axis=2)
        return np.ascontiguousarray(picture.convert('RGB'))
    except UnidentifiedImageError:
        raise FrameRefused('compressed format', f'{message.format!r} data is neither jpeg nor png') from None
    except (OSError, SyntaxError, ValueError, Picture.DecompressionBombError) as error:
        raise FrameRefused('compressed data', f'the {message.format} data cannot be decoded: {error}') from None
