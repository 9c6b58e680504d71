"""The ways in which image_transport sends pictures: the topic beside the image's, its type, and how it is decoded.

The names are those of image_transport's plugins: `raw`, `compressed`, `ffmpeg` (ffmpeg_image_transport) and `foxglove`
(foxglove_compressed_video_transport).
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from stc_ros.io.image_messages import FrameInvalid, read, short, stamp_of, to_picture
from stc_ros.io.picture import Picture
from stc_ros.parameter_spec import SettingError


@dataclass(frozen=True, slots=True)
class Transport:
    """A plugin of image_transport."""

    name: str
    package: str
    kind: str  # of serialized.FIELDS
    suffix: str  # of the image's topic
    video: bool = False  # each message rests on those before it

    @property
    def type(self) -> str:
        """sensor_msgs/msg/Image, say."""
        return f'{self.package}/msg/{self.kind}'

    def message_class(self) -> Any:
        """What rclpy subscribes to. Raises `SettingError`, with the remedy, where its package is not there."""
        try:
            return getattr(importlib.import_module(f'{self.package}.msg'), self.kind)
        except ImportError as error:
            debian = f'ros-$ROS_DISTRO-{self.package.replace("_", "-")}'
            raise SettingError(
                f'input.transport {self.name} needs messages of {self.package}, which cannot be imported '
                f'({error}): sudo apt install {debian}, and source ROS in this shell'
            ) from None

    def decoder(self) -> Decoder:
        """For one topic's messages. Raises `SettingError` where PyAV is missing."""
        if not self.video:
            return Decoder(self.kind)
        try:
            from stc_ros.io.video_packets import VideoDecoder
        except ImportError as error:
            raise SettingError(f'input.transport {self.name} is decoded by PyAV: pip install av ({error})') from None
        return Decoder(self.kind, VideoDecoder())


TRANSPORTS = {
    each.name: each
    for each in (
        Transport('raw', 'sensor_msgs', 'Image', ''),
        Transport('compressed', 'sensor_msgs', 'CompressedImage', '/compressed'),
        Transport('ffmpeg', 'ffmpeg_image_transport_msgs', 'FFMPEGPacket', '/ffmpeg', video=True),
        Transport('foxglove', 'foxglove_msgs', 'CompressedVideo', '/foxglove', video=True),
    )
}


class Decoder:
    """Decodes the messages of one topic, of a video in the order in which they come."""

    def __init__(self, kind: str, video: Any = None):
        self._kind, self._video = kind, video

    def lose(self, reason: str) -> None:
        """Messages of a video were lost before they came here."""
        if self._video:
            self._video.lose(reason)

    def decode(self, serialized: bytes, most_pixels: int | None) -> tuple[Any, int, Picture]:
        """A message as it came -> its header, header.stamp in ns, and its picture.

        Raises `FrameInvalid`, whatever the bytes are: an error here is never the model's.
        """
        try:
            return self._decode(serialized, most_pixels)
        except (FrameInvalid, ImportError):  # no converter: not the message's fault
            raise
        except Exception as error:
            said = short(f'{type(error).__name__}: {error}')
            raise FrameInvalid('undecodable', f'the message cannot be decoded: {said}') from error

    def _decode(self, serialized: bytes, most_pixels: int | None) -> tuple[Any, int, Picture]:
        try:
            message = read(serialized, self._kind)
        except FrameInvalid:
            self.lose('one before it could not be read')
            raise
        if not self._video:
            return message.header, stamp_of(message.header), to_picture(message, most_pixels)
        picture = self._video.decode(message, most_pixels)  # whatever its stamp: later packets rest on this one
        return message.header, stamp_of(message.header), picture
