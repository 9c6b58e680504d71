"""What the engine reports goes out on topics and into the log. Called on the worker's thread."""

from __future__ import annotations

import time

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String

from stc_ros.engine.errors import describe
from stc_ros.engine.events import EventSink, FrameProcessed, NarrationSpan
from stc_ros.engine.questions import Reply
from stc_ros.engine.session import Session
from stc_ros.io import overlay
from stc_ros.io.image_messages import FrameInvalid
from stc_ros.msg import Narration, StreamStats
from stc_ros.ros import messages

LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Publishers(EventSink):
    """The topics of a `StreamNode`. `close` ends all publishing."""

    def __init__(self, node):
        self._node = node
        self._log = node.get_logger()
        self._narration = node.create_publisher(Narration, '~/narration', LATCHED)
        self._text = node.create_publisher(String, '~/narration_text', LATCHED)
        self._stats = node.create_publisher(StreamStats, '~/stats', 10)
        self._overlay = node.create_publisher(CompressedImage, '~/overlay/compressed', 1)
        self._overlay_at = 0.0  # s, monotonic
        self._said: set[str] = set()  # kinds of trouble that are in the log already
        self._closed = False

    def close(self) -> None:
        self._closed = True

    def forget_trouble(self) -> None:
        """Say anew what was said once."""
        self._said.clear()

    def wants_narration(self, camera: str) -> bool:
        return any(p.get_subscription_count() for p in (self._narration, self._text))

    def processed(self, session: Session, event: FrameProcessed) -> None:
        node = self._node
        if self._closed or not node.active:  # deactivated while the frame was in work
            return
        self._stats.publish(messages.stats(event, session, node.worker.engine.waiting, node.now()))
        rate, now = event.settings['overlay.rate'], time.monotonic()
        if rate and now - self._overlay_at >= 1 / rate and self._overlay.get_subscription_count():
            self._overlay_at = now
            picture = overlay.to_jpeg(overlay.draw(event.frame.picture.array(overlay.LONGEST_SIDE), event.report))
            self._overlay.publish(CompressedImage(header=event.frame.header, format='jpeg', data=picture))

    def narrated(self, session: Session, span: NarrationSpan, reply: Reply) -> None:
        if self._closed:
            return
        message = messages.narration(span, reply, self._node.now())
        self._narration.publish(message)
        self._text.publish(String(data=message.text))

    def invalid(self, session: Session, frame: FrameInvalid) -> None:
        self._once(frame.kind, f'invalid frame: {frame} (further ones like it are counted in ~/stats)')

    def failed(self, session: Session, where: str, error: BaseException) -> None:
        self._once(
            f'{where} {type(error).__name__}',
            f'{where} failed: {describe(error)} (further failures like it are counted in /diagnostics)',
        )

    def was_reset(self, session: Session, reason: str) -> None:
        self._log.warning(f'stream reset, everything seen is forgotten: {reason}', throttle_duration_sec=1.0)

    def died(self, error: BaseException) -> None:
        self._log.fatal(f'the worker thread died: {describe(error)}')
        self._node.worker_died(error)

    def _once(self, kind: str, text: str) -> None:
        if kind not in self._said and not self._closed:
            self._said.add(kind)
            self._log.error(text)
