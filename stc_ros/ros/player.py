"""Plays pictures to a node with the clock, asks questions at their time, and listens to what it says."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from stc_ros.io.bags import BagFrame
from stc_ros.msg import Narration, StreamStats
from stc_ros.srv import Ask

TICK_S = 0.005  # of the clock that is published, at most
EVERY = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)  # of what is heard, nothing may be lost
MAX_DEPTH = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True, slots=True)
class Camera:
    """One topic of the bag. prefix: of the node's topics, "" for a node's only camera."""

    topic: str
    prefix: str
    compressed: bool


@dataclass(frozen=True, slots=True)
class Planned:
    """A question at its time. stamp: ns. timeout: s of the clock; 0 is the node's own."""

    text: str
    stamp: int
    camera: str  # the node's name of it, "" for the only one
    timeout: float
    of: Any  # what the caller knows it by


class Player(Node):
    """Publishes /clock and pictures into `namespace`, where the node under test is.

    heard: called with ('stats' | 'narration', camera's topic, message) and ('answer', `Planned`, reply or None, s of
    the stream's time until it came), from the thread that spins.
    """

    def __init__(
        self, context: Context, namespace: str, cameras: Sequence[Camera], rate: float, heard: Callable[..., None]
    ):
        super().__init__('stc_player', context=context, namespace=namespace)
        self._rate, self._heard, self._began, self._start = rate, heard, 0.0, 0
        self._clock_topic = self.create_publisher(Clock, '/clock', 10)
        self.cameras = {camera.topic: camera for camera in cameras}
        self._images = {c.topic: self._image_publisher(c) for c in cameras}
        self._client = self.create_client(Ask, 'ask', qos_profile=MAX_DEPTH)
        self.open = 0  # questions that wait for their reply
        self._lock, self._heard_of = threading.Lock(), []
        for c in cameras:
            for kind, type_, name in (('stats', StreamStats, 'stats'), ('narration', Narration, 'narration')):
                topic = f'stc_stream/{c.prefix}{name}'
                heard_of = self.create_subscription(type_, topic, lambda m, k=kind, t=c.topic: heard(k, t, m), EVERY)
                self._heard_of.append(heard_of)

    def _image_publisher(self, camera: Camera):
        topic = f'{camera.prefix}image' + ('/compressed' if camera.compressed else '')
        return self.create_publisher(CompressedImage if camera.compressed else Image, topic, MAX_DEPTH)

    @property
    def ready(self) -> bool:
        """Whether the node answers, watches all cameras, and is heard."""
        return (
            self._client.service_is_ready()
            and all(publisher.get_subscription_count() for publisher in self._images.values())
            and all(self.count_publishers(each.topic_name) for each in self._heard_of)
        )

    def set_clock(self, stamp: int) -> None:
        self._clock_topic.publish(Clock(clock=to_time(stamp)))

    def play(
        self,
        start: int,
        frames: Iterable[BagFrame],
        asks: Sequence[Planned],
        end: int,
        sent: Callable[[str, int], None],
    ) -> None:
        """Publish the frames and ask the questions, each at its time; returns when the clock is at `end` (ns).

        sent: called with the topic and the stamp of each frame that was published. A question at a frame's own time is
        asked behind it.
        """
        self._start, self._began = start, time.monotonic()
        waiting = list(asks)[::-1]
        for frame in frames:
            while waiting and waiting[-1].stamp < frame.stamp:
                self._ask(waiting.pop())
            if frame.stamp:
                self._wait_until(frame.stamp)
            self._publish(frame)
            sent(frame.topic, frame.stamp)
        while waiting:
            self._ask(waiting.pop())
        self._wait_until(end)

    def now(self) -> float:
        """Seconds of the stream's time since its start."""
        return (time.monotonic() - self._began) * self._rate

    def _wait_until(self, stamp: int) -> None:
        """Let the clock go on, evenly, to `stamp`."""
        while (missing := (stamp - self._start) / 1e9 - self.now()) > 0:
            self.set_clock(self._start + int(self.now() * 1e9))
            time.sleep(min(TICK_S, missing / self._rate))
        self.set_clock(max(stamp, self._start + int(self.now() * 1e9)))

    def _publish(self, frame: BagFrame) -> None:
        camera = self.cameras[frame.topic]
        self._images[frame.topic].publish(frame.serialized or to_image(frame, camera))

    def _ask(self, ask: Planned) -> None:
        self._wait_until(ask.stamp)
        request = Ask.Request(question=ask.text, camera=ask.camera)
        request.timeout = Duration(sec=int(ask.timeout), nanosec=int(ask.timeout % 1 * 1e9))
        began = time.monotonic()
        with self._lock:
            self.open += 1

        def on_reply(future) -> None:
            self._heard('answer', ask, future.result(), (time.monotonic() - began) * self._rate)
            with self._lock:
                self.open -= 1

        self._client.call_async(request).add_done_callback(on_reply)


def to_image(frame: BagFrame, camera: Camera) -> Image:
    """A decoded frame of a video as an Image; of one that cannot be decoded nothing but its header."""
    image = Image(encoding='rgb8', is_bigendian=0)
    image.header.stamp, image.header.frame_id = to_time(frame.stamp), frame.frame_id
    if frame.picture is not None:
        pixels = np.ascontiguousarray(frame.picture.array())
        image.height, image.width = pixels.shape[:2]
        image.step, image.data = 3 * image.width, pixels.tobytes()
    return image


def to_time(stamp: int) -> Time:
    return Time(sec=stamp // 1_000_000_000, nanosec=stamp % 1_000_000_000)


@contextlib.contextmanager
def open_player(namespace: str, cameras: Sequence[Camera], rate: float, heard: Callable[..., None]) -> Iterator[Player]:
    """A `Player` of a context of its own, which a thread spins until the end of the block."""
    context, ended = Context(), threading.Event()
    context.init()
    player, executor = Player(context, namespace, cameras, rate, heard), SingleThreadedExecutor(context=context)
    executor.add_node(player)

    def spin() -> None:
        while not ended.is_set():
            executor.spin_once(timeout_sec=0.1)

    thread = threading.Thread(target=spin, name='player', daemon=True)
    thread.start()
    try:
        yield player
    finally:
        ended.set()
        thread.join(5)
        executor.shutdown()
        player.destroy_node()
        context.shutdown()
