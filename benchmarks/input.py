"""What it costs to bring a camera's message to the vision tower: read it, make it a picture, resize it.

`exact` is the way of version 0.1: a message of rclpy's, the whole picture in RGB, then resized; the other is the
node's. Both end with the same tensor, or one that differs by what `off by` says: grey levels, mean and 99.9th
percentile. The picture is of a video, tiled, so that it has a large picture's detail.
"""

from __future__ import annotations

import io
import sys

import numpy as np
from measure import command, machine, median_ms, options, pictures, read, write_rows

SIZES = {'1080p': (1920, 1080), '4K': (3840, 2160)}
ENCODINGS = ('bgr8', 'rgb8', 'bgra8', 'mono8', 'yuyv', 'jpeg')
REPEATS = 15


def main(arguments: list[str] | None = None) -> int:
    parser = options(__doc__, ('embedded',), frames=25, quick=25)
    parser.add_argument('--side', type=int, default=384, help='of the picture that the tower takes (384)')
    chosen = read(parser, arguments)
    import torch

    from stc_ros.models.pixels import Pixels

    pixels = Pixels(chosen.side, chosen.side)
    frames = list(pictures(chosen))
    rows = []
    for name, (width, height) in SIZES.items():
        picture = tile(frames, width, height)
        for encoding in ENCODINGS:
            serialized, kind = make(picture, encoding)
            ways = {
                'exact': lambda s=serialized, k=kind: exact(s, k, pixels),
                'node': lambda s=serialized, k=kind: node(s, k, pixels),
            }
            ms = {way: round(median_ms(call, REPEATS), 2) for way, call in ways.items()}
            off = (ways['node']().int() - ways['exact']().int()).abs().float().flatten()
            rows.append(
                {
                    'size': name,
                    'encoding': encoding,
                    'exact_ms': ms['exact'],
                    'node_ms': ms['node'],
                    'off_mean': round(float(off.mean()), 3),
                    'off_p999': float(off.kthvalue(round(0.999 * len(off))).values),
                    'machine': machine(chosen, torch.device('cpu')),
                    'command': command(),
                }
            )
    print(
        f'{rows[0]["machine"]}; to {chosen.side} x {chosen.side}; median of {REPEATS}\n'
        f'{"picture":<16}{"exact":>10}{"node":>10}{"times":>8}   off by (mean, p99.9)'
    )
    for row in rows:
        print(
            f'{row["size"] + " " + row["encoding"]:<16}{row["exact_ms"]:>8.1f}ms{row["node_ms"]:>8.1f}ms'
            f'{row["exact_ms"] / row["node_ms"]:>7.1f}x   {row["off_mean"]:.3f}, {row["off_p999"]:g}'
        )
    if chosen.json:
        write_rows(chosen.json, rows)
    return 0


def tile(frames: list[np.ndarray], width: int, height: int) -> np.ndarray:
    """uint8 [height, width, 3] of as many frames side by side as are needed."""
    high, wide, _ = frames[0].shape
    rows = [
        np.concatenate([frames[(r * 7 + c) % len(frames)] for c in range(-(-width // wide))], 1)
        for r in range(-(-height // high))
    ]
    return np.ascontiguousarray(np.concatenate(rows)[:height, :width])


def make(picture: np.ndarray, encoding: str):
    """A serialized message of that encoding, and its type."""
    import array

    import cv2
    from PIL import Image as Pillow
    from rclpy.serialization import serialize_message
    from sensor_msgs.msg import CompressedImage, Image

    if encoding == 'jpeg':
        file = io.BytesIO()
        Pillow.fromarray(picture).save(file, 'JPEG', quality=90)
        message = CompressedImage(format='jpeg', data=array.array('B', file.getvalue()))
        return serialize_message(message), CompressedImage
    coded = {
        'bgr8': picture[..., ::-1],
        'rgb8': picture,
        'bgra8': np.dstack((picture[..., ::-1], picture[..., 0])),
        'mono8': picture[..., 1],
    }.get(encoding)
    if encoding == 'yuyv':
        yuv = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV)
        coded = np.stack((yuv[..., 0], yuv[:, ::2, 1:].reshape(len(yuv), -1)), 2)
    data = np.ascontiguousarray(coded)
    height, width = picture.shape[:2]
    message = Image(height=height, width=width, encoding=encoding, step=data[0].size)
    message.data = array.array('B', data.tobytes())
    return serialize_message(message), Image


def exact(serialized: bytes, kind, pixels):
    from rclpy.serialization import deserialize_message

    from stc_ros.io.image_messages import to_rgb

    return pixels.resize(np.array(to_rgb(deserialize_message(serialized, kind))))


def node(serialized: bytes, kind, pixels):
    from stc_ros.io.image_messages import read as read_message
    from stc_ros.io.image_messages import to_picture

    return pixels.resize(to_picture(read_message(serialized, kind.__name__)))


if __name__ == '__main__':
    sys.exit(main())
