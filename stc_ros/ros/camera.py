"""A camera for demonstrations: synthetic scenes, a video file, or /dev/videoN, as a ROS topic.

Publishes `image` (Image, rgb8) and `image/compressed` (CompressedImage, jpeg), best effort, stamped when the picture
is taken; of a synthetic scene `~/truth`, too: what a perfect narrator would say of each picture alone, and its number
(`frames`, counted from `first_stamp`). Each only while somebody subscribes.
"""

from __future__ import annotations

import array
import io
import itertools
import signal
import sys
import time
from collections.abc import Iterator

import numpy as np
import rclpy
from PIL import Image as Picture
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

from stc_ros.io.video import Video, VideoError
from stc_ros.msg import Narration
from stc_ros.synthetic import PROFILES, World
from stc_ros.synthetic.narration import tell_moment

SYNTHETIC_RATE = 8.0  # Hz; a world's step is about an eighth of a second
SYNTHETIC_SIZE = 336  # pixels
NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
EVERY = QoSProfile(depth=100)


class SourceError(Exception):
    """The camera has no picture to give. The message names the remedy."""


class Camera(Node):
    """Publishes the pictures of one source at `rate`. Raises `SourceError`."""

    def __init__(self):
        super().__init__('camera')
        self._declare('source', 'synthetic', 'synthetic, a video file, or /dev/videoN')
        self._declare('profile', 'busy', f'synthetic: which world ({", ".join(PROFILES)})')
        self._declare('seed', 7, 'synthetic: which of the endless worlds', 0, 2**31 - 1)
        self._declare('rate', 0.0, 'Hz; 0 is the own rate of the source', 0.0, 240.0)
        self._declare('size', 0, 'longest side in pixels; 0 is the own size of the source', 0, 4096)
        self._declare('loop', True, 'video file: start again at its end')
        self._declare('frame_id', 'camera', 'header.frame_id of the pictures')
        self._declare('jpeg_quality', 90, 'of image/compressed', 1, 95)
        self.period = None  # seconds; None: the source sets the pace
        self.world: World | None = None  # synthetic: as the newest picture shows it
        self._first_stamp = None
        self.pictures = self._open(self._value('source'))
        overridable = QoSOverridingOptions.with_default_policies()
        self._raw = self.create_publisher(Image, 'image', NEWEST, qos_overriding_options=overridable)
        compressed = self.resolve_topic_name('image') + '/compressed'  # a remapping of `image` holds for it, too
        self._jpeg = self.create_publisher(CompressedImage, compressed, NEWEST, qos_overriding_options=overridable)
        self._truth = self.create_publisher(Narration, '~/truth', EVERY)

    def publish(self, picture: np.ndarray) -> None:
        """Publish one picture, uint8 [H, W, 3] RGB, to those who listen."""
        stamp = self.get_clock().now().to_msg()
        self._first_stamp = self._first_stamp or stamp
        if self._raw.get_subscription_count():
            height, width, _ = picture.shape
            message = Image(height=height, width=width, encoding='rgb8', step=3 * width)
            message.data = array.array('B', picture.tobytes())  # taken as it is; a list would be looked through
            self._send(self._raw, message, stamp)
        if self._jpeg.get_subscription_count():
            jpeg = io.BytesIO()
            Picture.fromarray(picture).save(jpeg, 'JPEG', quality=self._value('jpeg_quality'))
            message = CompressedImage(format='jpeg', data=array.array('B', jpeg.getvalue()))
            self._send(self._jpeg, message, stamp)
        if self.world and self._truth.get_subscription_count():
            truth = Narration(
                text=tell_moment(self.world.truth()),
                first_stamp=self._first_stamp,
                frames=self.world.frame + 1,
                finished=True,
            )
            self._send(self._truth, truth, stamp)

    def _send(self, publisher, message, stamp) -> None:
        message.header.stamp = stamp
        message.header.frame_id = self._value('frame_id')
        publisher.publish(message)

    def _open(self, source: str) -> Iterator[np.ndarray]:
        rate, size = self._value('rate'), self._value('size')
        if source == 'synthetic':
            self.period = 1 / (rate or SYNTHETIC_RATE)
            self.world = create_world(self._value('profile'), self._value('seed'))
            return scenes(self.world, size or SYNTHETIC_SIZE)
        try:
            video = Video(source, size)
        except VideoError as error:
            raise SourceError(str(error)) from None
        self.get_logger().info(f'{source}: {video.width}x{video.height} at {video.rate:g} Hz')
        if video.live:
            return at_rate(iter(video), video.rate, rate or video.rate)
        self.period = 1 / (rate or video.rate)
        again = itertools.count() if self._value('loop') else range(1)
        return at_rate(itertools.chain.from_iterable(video for _ in again), video.rate, 1 / self.period)

    def _declare(self, name: str, default, text: str, low=None, high=None) -> None:
        about = ParameterDescriptor(description=text, read_only=True)
        if isinstance(default, float):
            about.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        elif low is not None:
            about.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        self.declare_parameter(name, default, about)

    def _value(self, name: str):
        return self.get_parameter(name).value


def create_world(profile: str, seed: int) -> World:
    """Raises `SourceError` where there is no such profile."""
    if profile not in PROFILES:
        raise SourceError(f'there is no synthetic profile {profile!r}. Choose one of: {", ".join(PROFILES)}.')
    return World(profile=profile, seed=seed)


def scenes(world: World, size: int) -> Iterator[np.ndarray]:
    """Yield the pictures of an endless world, uint8 [size, size, 3]; it steps on when the next is asked for."""
    while True:
        yield world.render(size=size)
        world.step()


def at_rate(pictures: Iterator[np.ndarray], own: float, rate: float) -> Iterator[np.ndarray]:
    """Yield `pictures` of `own` Hz at `rate` Hz and the same speed: some are left out, or come repeatedly."""
    sent = 0
    for number, picture in enumerate(pictures, start=1):
        while sent * own < number * rate:
            yield picture
            sent += 1


def film(camera: Camera) -> None:
    """Publish until the source ends or ROS shuts down. Raises `SourceError`, `ExternalShutdownException`."""
    due = time.monotonic()
    try:
        for picture in camera.pictures:
            rclpy.spin_once(camera, timeout_sec=0)
            while camera.period and (wait := due - time.monotonic()) > 0:
                rclpy.spin_once(camera, timeout_sec=wait)
            camera.publish(picture)
            due = max(due + (camera.period or 0), time.monotonic())
    except VideoError as error:
        raise SourceError(str(error)) from None


def interrupt_once(*_) -> None:
    """Ctrl-C; a second one would meet the camera while it ends, and show a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def main(args=None) -> int:
    signal.signal(signal.SIGINT, interrupt_once)
    try:
        rclpy.init(args=args)
        camera = Camera()
        film(camera)
        camera.get_logger().info('the source has ended')
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except rclpy_implementation.RCLError:
        if rclpy.ok():  # otherwise a signal ended the context beneath a publish
            raise
    except (SourceError, ParameterException) as error:
        print(f'camera: {error}', file=sys.stderr)
        return 1
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
