"""One camera of a node: its image topic, what arrives there, and when it is narrated."""

from __future__ import annotations

import time

from builtin_interfaces.msg import Time
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from stc_ros.engine.events import Frame
from stc_ros.engine.session import Session
from stc_ros.io import image_messages
from stc_ros.ros.diagnostics import SILENT_AFTER_S
from stc_ros.ros.no_image_causes import no_image_causes
from stc_ros.settings import Settings

NEWEST_ONLY = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
SAY_SILENCE_AGAIN = 6  # a camera that stays silent is named after 5 s, 30 s, 180 s, ...


class CameraInput:
    """Its callbacks run on the node's executor; `decode` on the worker's thread. named: its topics bear its name."""

    def __init__(self, node, name: str, named: bool, settings: Settings):
        self._node, self.name = node, name
        self.prefix = f'{name}/' if named else ''
        compressed = settings['input.transport'] == 'compressed'
        self._image_type = CompressedImage if compressed else Image
        self.topic = node.resolve_topic_name(f'{self.prefix}image') + ('/compressed' if compressed else '')
        self._subscription = self._narration_timer = None
        self._frame_at = self._named_silence_s = 0.0  # s, monotonic: newest frame; silence that has been named

    @property
    def session(self) -> Session | None:
        """None before the model is loaded."""
        return self._node.worker.engine.sessions.get(self.name)

    @property
    def silent_s(self) -> float:
        """Seconds since the newest frame, or since activation."""
        return time.monotonic() - self._frame_at

    def start(self, settings: Settings) -> None:
        """Begin to watch."""
        self._frame_at, self._named_silence_s = time.monotonic(), 0.0
        self._subscription = self._node.create_subscription(
            self._image_type,
            self.topic,
            self._on_image,
            NEWEST_ONLY,
            raw=True,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self.narrate_every(settings['narration.period'])
        self._node.get_logger().info(f'watching {self.topic}')

    def stop(self) -> None:
        if self._subscription:
            self._node.destroy_subscription(self._subscription)
        self._subscription = None
        self.narrate_every(0.0)

    def narrate_every(self, period: float) -> None:
        """Narrate at intervals of `period` s; 0: never."""
        if self._narration_timer:
            if self._narration_timer.timer_period_ns == int(period * 1e9):
                return  # anew, it would begin to wait anew
            self._node.destroy_timer(self._narration_timer)
        self._narration_timer = self._node.create_timer(period, self._on_narration_time) if period else None

    def report_silence(self) -> None:
        """Say in the log what may be the cause where nothing has come for long."""
        patience = max(SILENT_AFTER_S, SAY_SILENCE_AGAIN * self._named_silence_s)
        if self._subscription and self.silent_s > patience:
            self._named_silence_s = self.silent_s
            causes = '; '.join(no_image_causes(self._node, self._subscription))
            self._node.get_logger().warning(f'no image on {self.topic} for {self.silent_s:.0f} s: {causes}')

    def decode(self, serialized: bytes) -> Frame:
        """A message as it came -> its frame. Raises `FrameInvalid`."""
        message = image_messages.read(serialized, self._image_type.__name__)
        if message is None:  # of an encoding of CDR that is rclpy's to read
            message = deserialize_message(serialized, self._image_type)
        stamp = image_messages.stamp_of(message.header)
        time = Time(sec=message.header.stamp.sec, nanosec=message.header.stamp.nanosec)
        return Frame(Header(stamp=time, frame_id=message.header.frame_id), stamp, image_messages.to_picture(message))

    def _on_image(self, serialized: bytes) -> None:
        self._frame_at, self._named_silence_s = time.monotonic(), 0.0
        if self.session:
            self._node.worker.engine.put(self.name, (self, serialized))

    def _on_narration_time(self) -> None:
        if self.session and self._node.wants_narration(self.name):
            self._node.worker.engine.narrate(self.name)
