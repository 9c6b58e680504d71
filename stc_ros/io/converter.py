"""Pixels of any encoding of sensor_msgs/Image become RGB: by cv_bridge where a ROS has it, else by rosbags-image.

Both end in the same functions of OpenCV. What they do differently, or not in every version, is settled before they are
asked: samples of 16 bits become 8, in the byte order of this machine, and encodings get the name that both know.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

# Bytes per pixel of the encodings of sensor_msgs/Image that can be converted.
ENCODINGS = {
    'rgb8': 3,
    'bgr8': 3,
    'rgba8': 4,
    'bgra8': 4,
    'mono8': 1,
    '8UC1': 1,
    '8UC3': 3,
    '8UC4': 4,
    'rgb16': 6,
    'bgr16': 6,
    'rgba16': 8,
    'bgra16': 8,
    'mono16': 2,
    'bayer_rggb8': 1,
    'bayer_bggr8': 1,
    'bayer_gbrg8': 1,
    'bayer_grbg8': 1,
    'uyvy': 2,
    'yuv422': 2,
    'yuyv': 2,
    'yuv422_yuy2': 2,
}
# What OpenCV means by 8UC, and what cv_bridge knew before it knew the shorter names.
ALIASES = {'8UC1': 'mono8', '8UC3': 'bgr8', '8UC4': 'bgra8', 'uyvy': 'yuv422', 'yuyv': 'yuv422_yuy2'}

Convert = Callable[[SimpleNamespace], np.ndarray]


def to_rgb8(rows: np.ndarray, encoding: str, width: int, big_endian: bool) -> np.ndarray:
    """uint8 [H, bytes] of one of ENCODINGS, rows without padding -> uint8 [H, width, 3], contiguous.

    Raises what the converter raises.
    """
    name, samples = ALIASES.get(encoding, encoding), np.ascontiguousarray(rows)
    if name.endswith('16'):
        wide = samples.view('>u2' if big_endian else '<u2').astype(np.uint32)
        samples, name = ((wide * 255 + 32895) >> 16).astype(np.uint8), name[:-2] + '8'  # nearest to / 257
    image = SimpleNamespace(
        encoding=name,
        height=len(samples),
        width=width,
        step=samples.shape[1],
        is_bigendian=int(sys.byteorder == 'big'),
        data=samples,
        header=None,
    )
    return np.ascontiguousarray(converter()(image))


@functools.cache
def converter() -> Convert:
    """An Image without padding -> RGB. Raises `ImportError`, with the remedy, when there is none that works."""
    for make in (cv_bridge, rosbags_image):
        try:
            convert = make()
            if np.array_equal(convert(_PROBE), _PROBE_RGB):
                return convert
        except Exception:  # a cv_bridge built with another numpy raises anything
            continue
    raise ImportError(
        'images cannot be converted: pip install "rosbags-image[opencv-headless]", or source a ROS 2 that has cv_bridge'
    )


def cv_bridge() -> Convert:
    from cv_bridge import CvBridge

    bridge = CvBridge()
    return lambda image: bridge.imgmsg_to_cv2(image, 'rgb8')


def rosbags_image() -> Convert:
    from rosbags.image import image_to_cvimage

    return lambda image: image_to_cvimage(image, 'rgb8')


_PROBE = SimpleNamespace(
    encoding='bgr8',
    height=1,
    width=2,
    step=6,
    is_bigendian=int(sys.byteorder == 'big'),
    data=np.array([[1, 2, 3, 4, 5, 6]], np.uint8),
    header=None,
)
_PROBE_RGB = np.array([[[3, 2, 1], [6, 5, 4]]], np.uint8)
