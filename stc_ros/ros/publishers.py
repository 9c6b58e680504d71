"""What the engine reports goes out on topics and into the log. Called on the worker's thread."""

from __future__ import annotations

import threading
import time

from builtin_interfaces.msg import Time
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header, String

from stc_ros.engine.errors import describe
from stc_ros.engine.events import EventSink, FrameProcessed, NarrationSpan
from stc_ros.engine.questions import Reply
from stc_ros.engine.session import Session
from stc_ros.io import overlay
from stc_ros.io.image_messages import FrameInvalid
from stc_ros.msg import Narration, StreamStats
from stc_ros.msg import WatchEvent as WatchEventMessage
from stc_ros.ros import messages, watch_messages
from stc_ros.ros.log_texts import INVALID, RESET
from stc_ros.watches.lookup import WatchEvent

STALE_S = 30.0  # after which the plain text, which bears no stamp, is not kept for late subscribers
MOST_KINDS = 64  # of trouble that are written into the log
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class CameraTopics:
    """What is published of one camera."""

    def __init__(self, node, prefix: str):
        self._node = node
        self.narration = node.create_publisher(Narration, f'~/{prefix}narration', LATCHED)
        self.text = node.create_publisher(String, f'~/{prefix}narration_text', LATCHED)
        self.stats = node.create_publisher(StreamStats, f'~/{prefix}stats', 10)
        self.overlay = node.create_publisher(CompressedImage, f'~/{prefix}overlay/compressed', 1)
        self.overlay_at = 0.0  # s, monotonic
        self.evidence = node.create_publisher(CompressedImage, f'~/{prefix}evidence/compressed', 10)
        self.told = False  # whether a narration is kept for late subscribers,
        self.told_at: float | None = None  # s, monotonic: and a text, since when

    def forget_text(self) -> None:
        """Nothing is kept for late subscribers any more: an empty text takes its place."""
        if self.told_at is not None:
            self.told_at = None
            self.text.publish(String())

    def forget_narration(self, now: Time) -> None:
        """The same of the narration, too."""
        self.forget_text()
        if self.told:
            self.told = False
            self.narration.publish(Narration(header=Header(stamp=now)))

    def destroy(self) -> None:
        for publisher in (self.narration, self.text, self.stats, self.overlay, self.evidence):
            self._node.destroy_publisher(publisher)


class Publishers(EventSink):
    """The topics of a `StreamNode`. `close` ends all publishing."""

    def __init__(self, node):
        self._node = node
        self._log = node.get_logger()
        self._cameras: dict[str, CameraTopics] = {}
        self._events = node.create_publisher(WatchEventMessage, '~/events', QoSProfile(depth=100))
        self._lock = threading.Lock()  # cameras come and go on the executor's thread
        self._said: set[str] = set()  # kinds of trouble that are in the log already
        self._closed = False

    def open_camera(self, name: str, prefix: str) -> None:
        """Advertise a camera's topics; '' as prefix: under the node's own name."""
        with self._lock:
            self._cameras[name] = CameraTopics(self._node, prefix)

    def close_camera(self, name: str) -> None:
        """Take back a camera's topics."""
        with self._lock:
            self._cameras.pop(name).destroy()

    def close(self) -> None:
        self._closed = True

    def begin_anew(self) -> None:
        """Say anew what was said once; what was narrated before is forgotten."""
        self._said.clear()
        with self._lock:
            for topics in self._cameras.values():
                topics.forget_narration(self._now())

    def forget_stale_texts(self) -> None:
        with self._lock:
            for topics in self._cameras.values():
                if topics.told_at is not None and time.monotonic() - topics.told_at > STALE_S:
                    topics.forget_text()

    def wants_narration(self, camera: str) -> bool:
        with self._lock:
            topics = self._cameras.get(camera)
            return bool(topics) and any(p.get_subscription_count() for p in (topics.narration, topics.text))

    def processed(self, session: Session, event: FrameProcessed) -> None:
        node = self._node
        if self._closed or not node.active:  # deactivated while the frame was in work
            return
        stats = messages.stats(event, session, node.worker.engine.waiting, node.now())
        with self._lock:
            if topics := self._cameras.get(session.camera):
                topics.stats.publish(stats)
                rate, now = event.settings['overlay.rate'], time.monotonic()
                if rate and now - topics.overlay_at >= 1 / rate and topics.overlay.get_subscription_count():
                    topics.overlay_at = now
                    topics.overlay.publish(_overlay(event))

    def narrated(self, session: Session, span: NarrationSpan, reply: Reply) -> None:
        message = messages.narration(span, reply, self._node.now())
        with self._lock:
            if (topics := self._cameras.get(session.camera)) and not self._closed:
                topics.narration.publish(message)
                topics.text.publish(String(data=message.text))
                topics.told, topics.told_at = True, time.monotonic()

    def watched(self, session: Session, event: WatchEvent) -> None:
        """A watch has risen, fallen or ended: the event, and the frame that decided where somebody looks at it.

        Also of the frame that was in work when the node was deactivated: the watch would not say so again.
        """
        with self._lock:
            topics = self._cameras.get(session.camera)
            if self._closed or topics is None:
                return
            shown = topics.evidence if topics.evidence.get_subscription_count() else None
            self._events.publish(watch_messages.event(event, self._node.now(), shown.topic_name if shown else ''))
            if shown:
                shown.publish(_evidence(event.frame))

    def invalid(self, session: Session, frame: FrameInvalid) -> None:
        camera = self._node.cameras.get(session.camera)
        if camera:
            camera.health.refuse(frame)
        of = f'{session.camera}: ' if camera and camera.prefix else ''
        self._once(f'{of}{frame.kind}', f'{of}{INVALID}{frame} (further ones like it are counted in /diagnostics)')

    def failed(self, session: Session, where: str, error: BaseException) -> None:
        self._once(
            f'{where} {type(error).__name__}',
            f'{where} failed: {describe(error)} (further failures like it are counted in /diagnostics)',
        )

    def was_reset(self, session: Session, reason: str) -> None:
        self._log.warning(RESET + reason, throttle_duration_sec=1.0)
        with self._lock:
            if (topics := self._cameras.get(session.camera)) and not self._closed:
                topics.forget_narration(self._now())

    def died(self, error: BaseException) -> None:
        self._log.fatal(f'the worker thread died: {describe(error)}')
        self._node.worker_died(error)

    def _now(self) -> Time:
        return self._node.get_clock().now().to_msg()

    def _once(self, kind: str, text: str) -> None:
        if kind in self._said or self._closed or len(self._said) >= MOST_KINDS:
            return
        self._said.add(kind)
        self._log.error(text)
        if len(self._said) == MOST_KINDS:
            self._log.error(f'{MOST_KINDS} kinds of trouble so far: more are only counted in /diagnostics')


def _overlay(event: FrameProcessed) -> CompressedImage:
    picture = overlay.to_jpeg(overlay.draw(event.frame.picture.array(overlay.LONGEST_SIDE), event.report))
    return CompressedImage(header=event.frame.header, format='jpeg', data=picture)


def _evidence(event: FrameProcessed) -> CompressedImage:
    picture = overlay.to_jpeg(event.frame.picture.array(overlay.LONGEST_SIDE))
    return CompressedImage(header=event.frame.header, format='jpeg', data=picture)
