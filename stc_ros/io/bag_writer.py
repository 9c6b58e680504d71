"""Writes rosbag2 recordings: pictures, camera_info, poses and texts, each recorded at its own stamp."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from stc_ros.io.bags import BagError, register_video_types
from stc_ros.io.video_packets import COMPRESSED_VIDEO

STORAGES = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
FORMATS = {'raw': '', 'jpeg': '/compressed', 'h264': '/foxglove'}  # what image_transport calls their topics
COMPRESSIONS = {
    '': CompressionMode.NONE,
    'message': CompressionMode.MESSAGE,
    'file': CompressionMode.FILE,
    'chunk': CompressionMode.STORAGE,  # MCAP only
}
VERSION = 8  # of rosbag2's format: Iron, Jazzy and later read it
JPEG_QUALITY = 95
# -bf 0: a packet's picture rests on past ones only. One thread: the same bytes on every machine.
H264 = {'preset': 'veryfast', 'crf': '18', 'bf': '0', 'g': '30', 'threads': '1'}


class BagWriter:
    """A new bag, a folder; it appears when it is complete, and nothing of it stays when writing fails.

    storage: one of STORAGES; compression: one of COMPRESSIONS, by zstd; types: a typestore that has more than ROS 2
    Jazzy. All stamps are in ns. Raises `BagError`.
    """

    def __init__(self, path: Path, storage: str = 'mcap', compression: str = '', types: Any = None):
        self.path = Path(path)
        if self.path.exists():
            raise BagError(f'{self.path} exists already; remove it, or name another folder')
        # rosbags names the files after the folder, so only the one around it has a passing name
        self._making = self.path.with_name(f'.{self.path.name}.partial')
        shutil.rmtree(self._making, ignore_errors=True)
        self._types = types or get_typestore(Stores.ROS2_JAZZY)
        register_video_types(self._types)
        self._writer = Writer(self._making / self.path.name, version=VERSION, storage_plugin=STORAGES[storage])
        self._writer.set_compression(COMPRESSIONS[compression], CompressionFormat.ZSTD)
        self._connections: dict[str, Any] = {}
        self._encoders: dict[str, av.VideoCodecContext] = {}

    def __enter__(self) -> BagWriter:
        try:
            self._writer.open()
        except OSError as error:
            raise BagError(f'{self.path} cannot be written: {error.strerror}; name another folder') from error
        return self

    def __exit__(self, failure, *_) -> None:
        try:
            self._writer.__exit__(failure, *_)
            if failure is None:
                (self._making / self.path.name).rename(self.path)
        finally:
            shutil.rmtree(self._making, ignore_errors=True)

    def write(self, topic: str, type: str, stamp: int, message: Any) -> None:
        """Any message of a type that ROS 2 Jazzy or a video packet has, recorded at `stamp`."""
        self.advertise(topic, type)
        self.record(topic, stamp, self._types.serialize_cdr(message, type))

    def advertise(self, topic: str, type: str) -> None:
        """Have the topic in the bag, with or without messages."""
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(topic, type, typestore=self._types)

    def record(self, topic: str, stamp: int, serialized: bytes | memoryview) -> None:
        """A message in CDR, of a topic that was advertised."""
        self._writer.write(self._connections[topic], stamp, serialized)

    def make(self, type: str, *fields: Any, **named: Any) -> Any:
        """A message, of 'std_msgs/String' and the like."""
        return self._types.types[type.replace('/', '/msg/')](*fields, **named)

    def header(self, stamp: int, frame_id: str) -> Any:
        return self.make('std_msgs/Header', self._time(stamp), frame_id)

    def image(self, topic: str, stamp: int, pixels: np.ndarray, frame_id: str, format: str = 'raw') -> None:
        """pixels: uint8 [H, W, 3] RGB; format: one of FORMATS. The topic gets the name that goes with the format."""
        topic += FORMATS[format]
        height, width = pixels.shape[:2]
        header = self.header(stamp, frame_id)
        if format == 'raw':
            data = np.ascontiguousarray(pixels).reshape(-1)
            image = self.make('sensor_msgs/Image', header, height, width, 'rgb8', 0, 3 * width, data)
            self.write(topic, 'sensor_msgs/msg/Image', stamp, image)
        elif format == 'jpeg':
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, 'JPEG', quality=JPEG_QUALITY)
            image = self.make(
                'sensor_msgs/CompressedImage', header, 'rgb8; jpeg compressed bgr8', _bytes(file.getvalue())
            )
            self.write(topic, 'sensor_msgs/msg/CompressedImage', stamp, image)
        else:
            data = _bytes(self._packet(topic, pixels))
            packet = self.make('foxglove_msgs/CompressedVideo', self._time(stamp), frame_id, data, 'h264')
            self.write(topic, COMPRESSED_VIDEO, stamp, packet)

    def camera_info(self, topic: str, stamp: int, frame_id: str, size: tuple[int, int], focal: float) -> None:
        """A pinhole camera without distortion; size: width and height; focal: length in px."""
        width, height = size
        x, y = (width - 1) / 2, (height - 1) / 2
        info = self.make(
            'sensor_msgs/CameraInfo',
            header=self.header(stamp, frame_id),
            height=height,
            width=width,
            distortion_model='plumb_bob',
            d=np.zeros(5),
            k=np.array([focal, 0, x, 0, focal, y, 0, 0, 1], float),
            r=np.eye(3).reshape(-1),
            p=np.array([focal, 0, x, 0, 0, focal, y, 0, 0, 0, 1, 0], float),
            binning_x=0,
            binning_y=0,
            roi=self.make('sensor_msgs/RegionOfInterest', 0, 0, 0, 0, False),
        )
        self.write(topic, 'sensor_msgs/msg/CameraInfo', stamp, info)

    def pose(
        self, topic: str, stamp: int, frame_id: str, child: str, position: Sequence[float], rotation: Sequence[float]
    ) -> None:
        """Where `child` is in `frame_id`: as PoseStamped and on /tf. position: x, y, z in m; rotation: x, y, z, w."""
        header, turned = self.header(stamp, frame_id), self.make('geometry_msgs/Quaternion', *rotation)
        pose = self.make('geometry_msgs/Pose', self.make('geometry_msgs/Point', *position), turned)
        stamped = self.make('geometry_msgs/PoseStamped', header, pose)
        self.write(topic, 'geometry_msgs/msg/PoseStamped', stamp, stamped)
        moved = self.make('geometry_msgs/Transform', self.make('geometry_msgs/Vector3', *position), turned)
        transform = self.make('geometry_msgs/TransformStamped', header, child, moved)
        self.write('/tf', 'tf2_msgs/msg/TFMessage', stamp, self.make('tf2_msgs/TFMessage', [transform]))

    def text(self, topic: str, stamp: int, text: str) -> None:
        self.write(topic, 'std_msgs/msg/String', stamp, self.make('std_msgs/String', text))

    def _time(self, stamp: int) -> Any:
        return self.make('builtin_interfaces/Time', *divmod(stamp, 1_000_000_000))

    def _packet(self, topic: str, pixels: np.ndarray) -> bytes:
        """The picture as the topic's next H.264 packet."""
        height, width = pixels.shape[:2]
        if height % 2 or width % 2:
            raise BagError(f'{self.path}: H.264 needs an even width and height, not {width} x {height}; choose --size')
        if topic not in self._encoders:
            self._encoders[topic] = _encoder(width, height)
        encoder = self._encoders[topic]
        packets = encoder.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format='rgb24'))
        if len(packets) != 1:
            raise BagError(f'{self.path}: the H.264 encoder of this FFmpeg delays its packets; choose --format jpeg')
        return bytes(packets[0])


def _encoder(width: int, height: int) -> av.VideoCodecContext:
    try:
        encoder = av.CodecContext.create('libx264', 'w')
    except av.FFmpegError:
        raise BagError('this FFmpeg has no H.264 encoder; choose --format jpeg') from None
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, 'yuv420p', Fraction(1, 30)
    encoder.options = {**H264, 'tune': 'zerolatency'}
    return encoder


def _bytes(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)
