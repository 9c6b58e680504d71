"""The lifecycle node `stc_stream`: a camera topic in, narration, statistics and answers out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from stc_ros.engine.errors import describe
from stc_ros.engine.events import Frame
from stc_ros.engine.scheduler import Engine
from stc_ros.engine.session import Session
from stc_ros.engine.worker import Worker
from stc_ros.io import image_messages
from stc_ros.ros import diagnostics
from stc_ros.ros.ask import AskServer
from stc_ros.ros.lifecycle import FAILURE, SUCCESS, transition
from stc_ros.ros.no_image_causes import no_image_causes
from stc_ros.ros.parameters import Parameters, unknown_overrides
from stc_ros.ros.publishers import Publishers
from stc_ros.ros.real_parts import load, open_warm
from stc_ros.settings import Settings

NEWEST_ONLY = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
UNLOAD_S = 30.0  # longest wait for the turn in work when the model is given up; a frame may take seconds
CAMERA = 'camera'  # name of the one session
SAY_SILENCE_AGAIN = 6  # a camera that stays silent is named after 5 s, 30 s, 180 s, ...


class StreamNode(LifecycleNode):
    """Configure loads the model, activate watches the camera, deactivate keeps the weights, cleanup frees them.

    load: settings -> model; open_stream: (model, settings) -> stream (tests give their own). Raises `SettingError` when
    a parameter's start value is refused.
    """

    def __init__(
        self, load: Callable[[Settings], Any] = load, open_stream: Callable[[Any, Settings], Any] = open_warm, **options
    ):
        self._ask_server = self._jumps = None  # first, because `destroy_node` is also called if this fails
        super().__init__('stc_stream', **options)
        self.state = 'unconfigured'
        self.fault = ''  # why the node does not work; empty if it does
        self._load, self._open_stream = load, open_stream
        self._parameter_set = Parameters(self, self._accept, self._apply)
        for complaint in unknown_overrides(self, getattr(self, '_parameter_overrides', ())):
            self.get_logger().error(complaint)
        compressed = self.settings['input.transport'] == 'compressed'
        self._image_type = CompressedImage if compressed else Image
        self.image_topic = self.resolve_topic_name('image') + ('/compressed' if compressed else '')
        self._sink = Publishers(self)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._subscription = self._narration_timer = None
        self._loading: Future | None = None
        self._closing = threading.Event()
        self._frame_at = self._named_silence_s = 0.0  # s, monotonic: newest frame; silence that has been named
        self.worker = self._new_worker()
        self.create_service(Trigger, '~/reset', self._on_reset)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0, self._report_health, clock=self._steady)
        self._jumps = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False),
            post_callback=self._on_jump_back,
        )
        if self._parameter_set.autostart:
            self._starter = self.create_timer(0.0, self._begin_loading, clock=self._steady)

    @property
    def settings(self) -> Settings:
        return self._parameter_set.settings

    @property
    def active(self) -> bool:
        return self.state == 'active'

    @property
    def silent_s(self) -> float:
        """Seconds since the newest frame, or since activation."""
        return time.monotonic() - self._frame_at

    def now(self) -> int:
        """The node's clock, in ns."""
        return self.get_clock().now().nanoseconds

    def close(self) -> None:
        """Reply to all questions and stop working; to be called before the executor is shut down."""
        self._closing.set()
        self._sink.close()
        self.worker.stop()

    @property
    def session(self) -> Session | None:
        """The camera's; None before the model is loaded."""
        return self.worker.engine.sessions.get(CAMERA)

    @property
    def open_questions(self) -> int:
        """Requests without a reply so far."""
        return self._ask_server.open if self._ask_server else 0

    def destroy_node(self) -> None:
        if self._jumps:
            self._jumps.unregister()
        if self._ask_server:
            self._ask_server.destroy()
        super().destroy_node()
        # rclpy leaves this to the garbage collector; a process that ends first leaves 68 MB of shared memory behind.
        self._state_machine.destroy_when_not_in_use()

    # Lifecycle

    @transition(to='inactive')
    def on_configure(self, state) -> TransitionCallbackReturn:
        loading = self._loading or self._start_loading()
        while not loading.done() and not self._closing.is_set():
            wait([loading], timeout=0.1)
        if self._closing.is_set():
            return FAILURE
        if error := loading.exception():
            self._loading, self.fault = None, f'the model cannot be loaded: {describe(error)}'
            self.get_logger().error(self.fault)
            return FAILURE
        return SUCCESS

    @transition(to='active')
    def on_activate(self, state) -> TransitionCallbackReturn:
        if not self.worker.alive:
            return TransitionCallbackReturn.ERROR
        self.worker.resume()
        self._sink.forget_trouble()
        self._ask_server = self._ask_server or AskServer(self)  # not before: a service that is there should work
        self._frame_at, self._named_silence_s = time.monotonic(), 0.0
        self._subscription = self.create_subscription(
            self._image_type,
            self.image_topic,
            self._on_image,
            NEWEST_ONLY,
            raw=True,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._set_narration_timer(self.settings['narration.period'])
        self.get_logger().info(f'watching {self.image_topic}')
        return SUCCESS

    @transition(to='inactive')
    def on_deactivate(self, state) -> TransitionCallbackReturn:
        self._stop_watching()
        if not self.worker.alive:
            return TransitionCallbackReturn.ERROR
        self.worker.pause()  # not waited for: the questions that end are replied to by this very thread
        return SUCCESS

    @transition(to='unconfigured')
    def on_cleanup(self, state) -> TransitionCallbackReturn:
        self._loading = None
        self.worker.unload().result(timeout=UNLOAD_S)
        return SUCCESS

    @transition(to='finalized')
    def on_shutdown(self, state) -> TransitionCallbackReturn:
        self._stop_watching()
        self.worker.stop()
        return SUCCESS

    @transition(to='unconfigured')
    def on_error(self, state) -> TransitionCallbackReturn:
        """Back to the beginning, with a new thread; the old one ends with its turn, if it still runs."""
        self._stop_watching()
        self.worker.stop()
        self.worker, self._loading = self._new_worker(), None
        return SUCCESS

    def _begin_loading(self) -> None:
        """Start by itself, without holding up the executor while the model is loaded."""
        self.destroy_timer(self._starter)
        self._start_loading().add_done_callback(lambda _: self.executor.create_task(self._start))

    def _start(self) -> None:
        if self.state == 'unconfigured' and not self._closing.is_set() and self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    def _start_loading(self) -> Future:
        settings = self.settings
        self.get_logger().info(f'loading {settings["model.name"] or "the embedded model"} ...')
        began = time.monotonic()
        self._loading, self.fault = self.worker.load(settings, (CAMERA,)), ''
        self._loading.add_done_callback(lambda done: done.cancelled() or done.exception() or self._say_loaded(began))
        return self._loading

    def _say_loaded(self, began: float) -> None:
        self.get_logger().info(f'model loaded in {time.monotonic() - began:.1f} s')
        if notes := getattr(self.worker.engine.model, 'notes', ''):
            self.get_logger().info(notes)

    def _new_worker(self) -> Worker:
        return Worker(Engine(self._load, self._open_stream, self._decode, self._sink, self.now))

    def _stop_watching(self) -> None:
        if self.active:
            self.state = 'inactive'  # from here on questions are refused
        if self._subscription:
            self.destroy_subscription(self._subscription)
        self._subscription = None
        self._set_narration_timer(0.0)

    def worker_died(self, error: BaseException) -> None:
        """Called on the dying thread: its questions are replied to; leave the active state through an error."""
        self.fault = f'the worker thread died: {describe(error)}'
        if self.active:
            self.executor.create_task(self.trigger_deactivate)

    # Callbacks

    def _on_image(self, serialized: bytes) -> None:
        self._frame_at, self._named_silence_s = time.monotonic(), 0.0
        if self.session:
            self.worker.engine.put(CAMERA, serialized)

    def _decode(self, serialized: bytes) -> Frame:
        message = image_messages.read(serialized, self._image_type.__name__)
        if message is None:  # of an encoding of CDR that is rclpy's to read
            message = deserialize_message(serialized, self._image_type)
        stamp = image_messages.stamp_of(message.header)
        time = Time(sec=message.header.stamp.sec, nanosec=message.header.stamp.nanosec)
        return Frame(Header(stamp=time, frame_id=message.header.frame_id), stamp, image_messages.to_picture(message))

    def _accept(self, settings: Settings) -> None:
        """Raises `SettingError` when the stream could not take them."""
        if self.session:
            self.session.stream.check(self.settings, settings)

    def _apply(self, settings: Settings) -> None:
        """Settings have changed; the worker takes them between two frames."""
        if self.active:
            self._set_narration_timer(settings['narration.period'])
        self.worker.configure(settings).add_done_callback(self._complain)

    def _complain(self, done: Future) -> None:
        if not done.cancelled() and done.exception():
            self.get_logger().error(f'settings not applied: {describe(done.exception())}')

    def _set_narration_timer(self, period: float) -> None:
        if self._narration_timer:
            if self._narration_timer.timer_period_ns == int(period * 1e9):
                return  # anew, it would begin to wait anew
            self.destroy_timer(self._narration_timer)
        self._narration_timer = self.create_timer(period, self._on_narration_time) if period else None

    def _on_narration_time(self) -> None:
        if self.session and self._sink.wants_narration(CAMERA):
            self.worker.engine.narrate(CAMERA)

    def _on_reset(self, request, response: Trigger.Response) -> Trigger.Response:
        response.success = self.active
        response.message = 'everything seen is being forgotten' if self.active else 'the node is not active'
        if self.active:
            self.worker.reset('asked to by ~/reset')
        return response

    def _on_jump_back(self, jump: TimeJump) -> None:
        if self.active:
            self.worker.reset(f'time jumped back by {-jump.delta.nanoseconds / 1e9:.1f} s, as when a bag starts over')

    def _report_health(self) -> None:
        self._diagnostics.publish(
            DiagnosticArray(
                header=Header(stamp=self.get_clock().now().to_msg()),
                status=[diagnostics.camera_status(self, self.now()), diagnostics.model_status(self)],
            )
        )
        patience = max(diagnostics.SILENT_AFTER_S, SAY_SILENCE_AGAIN * self._named_silence_s)
        if self.active and self.silent_s > patience:
            self._named_silence_s = self.silent_s
            causes = '; '.join(no_image_causes(self, self._subscription))
            self.get_logger().warning(f'no image on {self.image_topic} for {self.silent_s:.0f} s: {causes}')
