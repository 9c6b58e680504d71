"""What the demo is to the node: a client that listens to all it publishes, and asks."""

from __future__ import annotations

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage

from demo.figures import Figures
from demo.ground_truth import GroundTruth
from demo.screen import Screen
from stc_ros.msg import Narration, StreamStats, Watch, WatchEvent
from stc_ros.ros.ask_client import speed
from stc_ros.srv import Ask
from stc_ros.srv import Watch as WatchService

NODE, CAMERA = 'stc_stream', 'camera'
EVERY_FRAME = QoSProfile(depth=100)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Client:
    """Collects `figures`, shows narration and answers on `screen`."""

    def __init__(self, figures: Figures, screen: Screen, ground_truth: GroundTruth, show_truth: bool = False):
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self.figures, self.screen, self._show_truth = figures, screen, show_truth
        self.overlay = b''  # newest overlay picture, JPEG
        self.fault = ''  # why the node does not work
        self.asked: str | None = None  # the question that waits for its answer
        self._first_stamp: float | None = None
        self._ground_truth = ground_truth
        self._node = rclpy.create_node('stc_demo')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        listen = self._node.create_subscription
        listen(StreamStats, f'{NODE}/stats', self._on_stats, EVERY_FRAME)
        listen(Narration, f'{NODE}/narration', self._on_narration, LATCHED)
        listen(Narration, f'{CAMERA}/truth', self._on_truth, EVERY_FRAME)
        listen(CompressedImage, f'{NODE}/overlay/compressed', self._on_overlay, 1)
        listen(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        listen(WatchEvent, f'{NODE}/events', self._on_event, EVERY_FRAME)
        self._ask = self._node.create_client(Ask, 'ask')
        self._watch = self._node.create_client(WatchService, f'{NODE}/watch')

    def spin(self, seconds: float) -> None:
        self._executor.spin_once(timeout_sec=seconds)

    def node_is_active(self) -> bool:
        return self._ask.service_is_ready()

    def ask(self, question: str) -> None:
        self.asked = question
        self.screen.line(f'? {question}')
        self._ask.call_async(Ask.Request(question=question)).add_done_callback(self._on_answer)

    def ask_of_the_world(self) -> None:
        """Ask what the ground_truth wants to know, if anything."""
        if question := self._ground_truth.question():
            self.ask(question)

    def watch(self, condition: str) -> None:
        """Have the node tell when a condition becomes true, and false again."""

        def say(done) -> None:
            reply = done.result()
            self.screen.line(f'watching for "{condition}"' if reply.success else f'! not watched: {reply.message}')

        self._watch.wait_for_service(1.0)  # it is there; the request would be lost if it were not found yet
        added = WatchService.Request(command=WatchService.Request.ADD, watch=Watch(condition=condition))
        self._watch.call_async(added).add_done_callback(say)

    def give_up_asking(self) -> None:
        """The demo ends before the reply."""
        if self.asked is not None:
            self.figures.answered(self.asked, '', Ask.Response.SHUTDOWN, 0.0)
            self.asked = None

    def close(self) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown()

    def _on_stats(self, stats: StreamStats) -> None:
        if self._first_stamp is None:
            self._first_stamp = seconds(stats.header.stamp)
            self._ground_truth.begin(nanoseconds(stats.header.stamp))
        self.figures.saw(stats)

    def _on_narration(self, narration: Narration) -> None:
        if not narration.text:  # after a reset
            return
        stamp = seconds(narration.header.stamp)
        truth = self._ground_truth.until(nanoseconds(narration.header.stamp))
        self.figures.narrated(narration.text, stamp, truth)
        mark = ' (new scene)' if narration.scene_change else ''
        self.screen.line(f'[{stamp - (self._first_stamp or stamp):6.1f} s]{mark} {narration.text}')
        if truth and self._show_truth:
            self.screen.line(f'      truth {truth}')

    def _on_truth(self, truth: Narration) -> None:
        self._ground_truth.saw(nanoseconds(truth.header.stamp), truth.text, truth.frames)

    def _on_answer(self, done) -> None:
        if self.asked is None:
            return
        reply = done.result()
        truth = self._ground_truth.answer(self.asked, nanoseconds(reply.last_stamp))
        if reply.error_code == Ask.Response.NONE:
            self.screen.line(f'  > {reply.answer.strip()}   ({speed(reply)})')
        else:
            self.screen.line(f'  ! no answer, error {reply.error_code}: {reply.error_msg}')
        if truth and self._show_truth:
            self.screen.line(f'    truth {truth}')
        self.figures.answered(self.asked, reply.answer, reply.error_code, reply.time_to_first_token, truth)
        self.asked = None

    def _on_event(self, event: WatchEvent) -> None:
        kinds = {event.RISING: 'true', event.FALLING: 'false', event.EXPIRED: 'expired'}
        stamp, kind = seconds(event.header.stamp), kinds[event.kind]
        self.figures.happened(event.condition, kind, stamp, event.probability, event.latency)
        when = stamp - (self._first_stamp or stamp)
        self.screen.line(f'[{when:6.1f} s] ! {event.condition} now {kind} (p {event.probability:.2f})')

    def _on_overlay(self, message: CompressedImage) -> None:
        self.overlay = bytes(message.data)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if NODE in status.name and status.level == DiagnosticStatus.ERROR:
                self.fault = status.message


def seconds(stamp) -> float:
    return stamp.sec + stamp.nanosec / 1e9


def nanoseconds(stamp) -> int:
    return stamp.sec * 1_000_000_000 + stamp.nanosec
