"""One camera of a node: its image topic, what arrives there, and when it is narrated."""

from __future__ import annotations

import time

from builtin_interfaces.msg import Time
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import Header

from stc_ros.engine.events import Frame
from stc_ros.engine.session import Session
from stc_ros.io.image_messages import FrameInvalid
from stc_ros.io.packet_thread import PacketThread
from stc_ros.io.picture import Picture
from stc_ros.io.transports import TRANSPORTS
from stc_ros.ros.camera_health import CameraHealth
from stc_ros.ros.diagnostics import SILENT_AFTER_S
from stc_ros.ros.no_image_causes import no_image_causes, publisher_names
from stc_ros.settings import Settings

NEWEST_ONLY = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
EVERY_PACKET = QoSProfile(depth=100, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
SAY_SILENCE_AGAIN = 6  # a camera that stays silent is named after 5 s, 30 s, 180 s, ...


class CameraInput:
    """Its callbacks run on the node's executor; `decode` on the worker's thread. named: its topics bear its name.

    Raises `SettingError` where the messages of its transport are not installed.
    """

    def __init__(self, node, name: str, named: bool, settings: Settings):
        self._node, self.name = node, name
        self.prefix = f'{name}/' if named else ''
        self.transport = TRANSPORTS[settings['input.transport']]
        self._image_type, self._decoder = self.transport.message_class(), self.transport.decoder()
        self.topic = node.resolve_topic_name(f'{self.prefix}image') + self.transport.suffix
        self.health = CameraHealth()
        self._subscription = self._narration_timer = None
        self._packets: PacketThread | None = None  # of a video that is watched
        self._frame_at = self._named_silence_s = 0.0  # s, monotonic: newest frame; silence that has been named
        self._said: set[str] = set()  # kinds of trouble that are in the log

    @staticmethod
    def check(settings: Settings) -> None:
        """Raises `SettingError` when there could be no input of these settings."""
        transport = TRANSPORTS[settings['input.transport']]
        transport.message_class(), transport.decoder()

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
        self.health.begin()
        self._said.clear()
        if self.transport.video:
            decoder = self.transport.decoder()  # begins at a keyframe
            self._packets = PacketThread(decoder, self._most_pixels, self._on_picture, self._refuse)
        self._subscription = self._node.create_subscription(
            self._image_type,
            self.topic,
            self._on_image,
            EVERY_PACKET if self.transport.video else NEWEST_ONLY,
            raw=True,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self.narrate_every(settings['narration.period'])
        self._node.get_logger().info(f'watching {self.topic}')

    def stop(self) -> None:
        if self._subscription:
            self._node.destroy_subscription(self._subscription)
        if self._packets:
            self._packets.stop()
        self._subscription = self._packets = None
        self.narrate_every(0.0)

    def narrate_every(self, period: float) -> None:
        """Narrate at intervals of `period` s; 0: never."""
        if self._narration_timer:
            if self._narration_timer.timer_period_ns == int(period * 1e9):
                return  # anew, it would begin to wait anew
            self._node.destroy_timer(self._narration_timer)
        self._narration_timer = self._node.create_timer(period, self._on_narration_time) if period else None

    def report_trouble(self) -> None:
        """Say in the log what may be the cause where nothing has come for long, and each kind of trouble once."""
        if not self._subscription:
            return
        patience = max(SILENT_AFTER_S, SAY_SILENCE_AGAIN * self._named_silence_s)
        if self.silent_s > patience:
            self._named_silence_s = self.silent_s
            causes = '; '.join(no_image_causes(self._node, self._subscription))
            self._node.get_logger().warning(f'no image on {self.topic} for {self.silent_s:.0f} s: {causes}')
        for kind, said in self.trouble().items():
            if kind not in self._said:
                self._said.add(kind)
                self._node.get_logger().warning(f'{self.topic}: {said}')

    def trouble(self) -> dict[str, str]:
        """What is wrong with what comes, by kind; as `CameraHealth.trouble`."""
        session = self.session
        doubted = bool(session) and session.order.doubted(session.seconds())
        return self.health.trouble(publisher_names(self._node, self.topic), doubted)

    def decode(self, received: bytes | Frame) -> Frame:
        """A message as it came, or what was made of it already -> its frame. Raises `FrameInvalid`."""
        if isinstance(received, Frame):
            return received
        return self._frame(*self._decoder.decode(received, self._most_pixels()))

    def _frame(self, header, stamp: int, picture: Picture) -> Frame:
        self.health.saw(header.frame_id, picture.width, picture.height)
        time = Time(sec=header.stamp.sec, nanosec=header.stamp.nanosec)
        return Frame(Header(stamp=time, frame_id=header.frame_id), stamp, picture)

    def _most_pixels(self) -> int | None:
        session = self.session
        return session.settings['input.max_pixels'] if session else None

    def _on_image(self, serialized: bytes) -> None:
        self._frame_at, self._named_silence_s = time.monotonic(), 0.0
        self.health.arrived()
        if self._packets:
            self._packets.put(serialized)
        elif self.session:
            self._node.worker.engine.put(self.name, (self, serialized))

    def _on_picture(self, header, stamp: int, picture: Picture) -> None:
        """A video's next picture is there; on its thread."""
        frame = self._frame(header, stamp, picture)
        try:
            self._node.worker.engine.put(self.name, (self, frame))
        except KeyError:  # the model is being given up, or the camera
            pass

    def _refuse(self, invalid: FrameInvalid) -> None:
        """A video's packet gave no picture; on its thread."""
        if session := self.session:
            engine = self._node.worker.engine
            session.slot.refuse(engine.clock())
            engine.sink.invalid(session, invalid)

    def _on_narration_time(self) -> None:
        if self.session and self._node.wants_narration(self.name):
            self._node.worker.engine.narrate(self.name)
