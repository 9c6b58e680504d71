"""Plays pictures to a node with the clock, asks questions at their time, and notes what it hears, and when.

All of it, the clock too, is under one namespace: a robot on the same network has its own.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from rcl_interfaces.msg import Log
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import LoggingSeverity
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from stc_ros.io.bags import BagError, BagFrame
from stc_ros.msg import Narration, StreamStats, WatchEvent
from stc_ros.srv import Ask

TICK_S = 0.01  # of the clock that is published, at most: the node takes each on the thread that takes its images
NODE = 'stc_stream'
EVERY = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)  # of what is heard, nothing may be lost
LOG = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
AS_A_CAMERA = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
NOBODY = '?'  # a camera that no node has: a question to it is refused at once, and counts nowhere
TOO_LATE = 'too late'  # kind of a frame that lies in the bag far behind later ones


@dataclass(frozen=True, slots=True)
class Camera:
    """One topic of the bag. name: the node's; alone: it has no other."""

    topic: str
    name: str
    alone: bool
    compressed: bool

    @property
    def prefix(self) -> str:
        """Of the node's topics."""
        return '' if self.alone else f'{self.name}/'


@dataclass(slots=True)
class Heard:
    """Of one camera: messages as they came, and when. Times, here and below, in s of the stream since its start."""

    sent: list[tuple[int, float]] = field(default_factory=list)  # (stamp, when it was published)
    stats: list[tuple[float, bytes]] = field(default_factory=list)
    narrations: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class Asked:
    """A question. camera: the node's name of it; response: of Ask, or None where none came."""

    text: str
    stamp: int
    camera: str
    seconds: float = 0.0  # until the response
    response: Any = None


class Player(Node):
    """Publishes the clock and pictures into `namespace`, where the node under test is."""

    def __init__(self, context: Context, namespace: str, cameras: Sequence[Camera], rate: float, narrate: bool):
        super().__init__('stc_player', context=context, namespace=namespace)
        self._rate, self._began, self._start = rate, 0.0, 0
        self._clock_topic = self.create_publisher(Clock, 'clock', 10)
        self.cameras = {camera.topic: camera for camera in cameras}
        self.heard = {camera.topic: Heard() for camera in cameras}
        self.log: list[tuple[float, bool, str]] = []  # (when, whether it is an error, text) of warnings while it plays
        self.failure = ''  # why the node does not start to work, as it says
        self._images = {camera.topic: self._image_publisher(camera) for camera in cameras}
        self._client = self.create_client(Ask, 'ask', qos_profile=EVERY)
        self._waiting: set[int] = set()  # id of what waits for its response
        self._listening = [
            self.create_subscription(
                kind,
                f'{NODE}/{camera.prefix}{name}',
                lambda data, note=note, heard=self.heard[camera.topic]: note(heard, data),
                EVERY,
                raw=True,  # read when all is over
            )
            for camera in cameras
            for kind, name, note in (
                (StreamStats, 'stats', self._on_stats),
                *([(Narration, 'narration', self._on_narration)] if narrate else []),
            )
        ]
        self.events: list[bytes] = []  # of watches
        self._listening.append(
            self.create_subscription(WatchEvent, f'{NODE}/events', self.events.append, EVERY, raw=True)
        )
        self._logger_name = f'{namespace.strip("/").replace("/", ".")}.{NODE}'
        self.create_subscription(Log, '/rosout', self._on_log, LOG)

    @property
    def found(self) -> bool:
        """Whether the node answers, watches all cameras, and all that it says is heard."""
        return (
            self._client.service_is_ready()
            and all(publisher.get_subscription_count() for publisher in self._images.values())
            and all(self.count_publishers(each.topic_name) for each in self._listening)
        )

    @property
    def waiting(self) -> bool:
        """Whether a question waits for its response."""
        return bool(self._waiting)

    def knock(self) -> Any:
        """A future that is done once the node has replied to something, and so knows of the player."""
        return self._client.call_async(Ask.Request(question='?', camera=NOBODY))

    def set_clock(self, stamp: int) -> None:
        self._clock_topic.publish(Clock(clock=to_time(stamp)))

    def play(
        self,
        start: int,
        end: int,
        frames: Iterable[BagFrame],
        asks: Sequence[Asked],
        progress: Callable[[int], None] = lambda stamp: None,
    ) -> None:
        """Publish the frames and ask the questions, each at its time; return when the clock is at `end` (ns).

        A question at a frame's own time is asked behind it. asks: by time; the responses are put into them as they
        come. Where the bag cannot be read on, what was due until then has been done.
        """
        self._start, self._began = start, time.monotonic()
        waiting = list(asks)[::-1]
        with contextlib.suppress(BagError):  # whoever reads the bag again is told
            for frame in frames:
                while waiting and waiting[-1].stamp < frame.stamp:
                    self._ask(waiting.pop())
                self._wait_until(frame.stamp)
                self._publish(frame)
                progress(start + int(self.now() * 1e9))
            while waiting:
                self._ask(waiting.pop())
            self._wait_until(end)

    def now(self) -> float:
        return (time.monotonic() - self._began) * self._rate

    def _wait_until(self, stamp: int) -> None:
        """Let the clock go on, evenly, to `stamp`."""
        while (missing := (stamp - self._start) / 1e9 - self.now()) > 0:
            self.set_clock(self._start + int(self.now() * 1e9))
            time.sleep(min(TICK_S, missing / self._rate))
        self.set_clock(max(stamp, self._start + int(self.now() * 1e9)))

    def _publish(self, frame: BagFrame) -> None:
        """Also what is no picture, as a robot would have it."""
        if frame.error_kind == TOO_LATE or not (frame.serialized or frame.picture):
            return
        message = bytes(frame.serialized) if frame.serialized else to_image(frame)
        self.heard[frame.topic].sent.append((frame.stamp, self.now()))
        self._images[frame.topic].publish(message)

    def _ask(self, ask: Asked) -> None:
        self._wait_until(ask.stamp)
        began = self.now()
        self._waiting.add(id(ask))

        def on_reply(future) -> None:
            ask.seconds, ask.response = self.now() - began, future.result()
            self._waiting.discard(id(ask))

        self._client.call_async(Ask.Request(question=ask.text, camera=ask.camera)).add_done_callback(on_reply)

    def _image_publisher(self, camera: Camera):
        topic = f'{camera.prefix}image' + ('/compressed' if camera.compressed else '')
        return self.create_publisher(CompressedImage if camera.compressed else Image, topic, AS_A_CAMERA)

    def _on_stats(self, heard: Heard, data: bytes) -> None:
        heard.stats.append((self.now(), data))

    def _on_narration(self, heard: Heard, data: bytes) -> None:
        heard.narrations.append(data)

    def _on_log(self, message: Log) -> None:
        if message.name != self._logger_name or message.level < LoggingSeverity.WARN:
            return
        if self._began:
            self.log.append((self.now(), message.level >= LoggingSeverity.ERROR, message.msg))
        elif message.level >= LoggingSeverity.ERROR:
            self.failure = self.failure or message.msg


def to_image(frame: BagFrame) -> Image:
    """A frame of a video as an Image."""
    pixels = np.ascontiguousarray(frame.picture.array())
    height, width, _ = pixels.shape
    image = Image(height=height, width=width, encoding='rgb8', step=3 * width, data=pixels.tobytes())
    image.header.stamp, image.header.frame_id = to_time(frame.stamp), frame.frame_id
    return image


def to_time(stamp: int) -> Time:
    return Time(sec=stamp // 1_000_000_000, nanosec=stamp % 1_000_000_000)


@contextlib.contextmanager
def open_player(namespace: str, cameras: Sequence[Camera], rate: float, narrate: bool) -> Iterator[Player]:
    """A `Player` of a context of its own, which a thread spins until the end of the block."""
    context, ended = Context(), threading.Event()
    context.init()
    player, executor = Player(context, namespace, cameras, rate, narrate), SingleThreadedExecutor(context=context)
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
