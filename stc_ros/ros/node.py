"""The lifecycle node `stc_stream`: camera topics in, narration, statistics and answers out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any

from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from std_srvs.srv import Trigger

from stc_ros.engine.errors import describe
from stc_ros.engine.scheduler import Engine
from stc_ros.engine.stamp_order import LATE_NS
from stc_ros.engine.worker import Worker
from stc_ros.io.marked_yaml import FileError
from stc_ros.ros.ask import AskServer
from stc_ros.ros.camera_input import CameraInput
from stc_ros.ros.health import Health
from stc_ros.ros.lifecycle import FAILURE, SUCCESS, transition
from stc_ros.ros.parameters import Parameters, unknown_overrides
from stc_ros.ros.publishers import Publishers
from stc_ros.ros.real_parts import load, open_warm
from stc_ros.ros.supervisor import Supervisor
from stc_ros.ros.watch_server import WatchServer
from stc_ros.settings import Settings
from stc_ros.watches.checks import WatchError
from stc_ros.watches.lookup import Watches

UNLOAD_S = 0.8  # that cleanup waits for the turn in work; the executor does nothing else meanwhile


class StreamNode(LifecycleNode):
    """Configure loads the model, activate watches the cameras, deactivate keeps the weights, cleanup frees them.

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
        for complaint in unknown_overrides(self, getattr(self, '_parameter_overrides', ()), self._parameter_set.named):
            self.get_logger().error(complaint)
        self._sink = Publishers(self)
        self.cameras: dict[str, CameraInput] = {}
        self._open_cameras()
        self._loading: Future | None = None
        self._closing = threading.Event()
        self.supervisor = Supervisor(self)
        self.worker = self._new_worker()
        self._watch_server = WatchServer(self)
        self.create_service(Trigger, '~/reset', self._on_reset)
        self.steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._health = Health(self, self._sink)
        self._jumps = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-LATE_NS), on_clock_change=False),
            post_callback=self._on_jump_back,
        )
        if self.autostart:
            self.supervisor.start()

    @property
    def settings(self) -> Settings:
        return self._parameter_set.settings

    @property
    def autostart(self) -> bool:
        return self._parameter_set.autostart

    @property
    def closing(self) -> bool:
        return self._closing.is_set()

    @property
    def camera_settings(self) -> Mapping[str, Settings]:
        """Those of each camera, by its name."""
        return self._parameter_set.cameras

    @property
    def active(self) -> bool:
        return self.state == 'active'

    def now(self) -> int:
        """The node's clock, in ns."""
        return self.get_clock().now().nanoseconds

    def close(self) -> None:
        """Reply to all questions and stop working; to be called before the executor is shut down."""
        self._closing.set()
        self._sink.close()
        self.worker.stop()
        if self._ask_server:
            self._ask_server.hurry()

    def wants_narration(self, camera: str) -> bool:
        """Whether somebody listens to it."""
        return self._sink.wants_narration(camera)

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
        self.fault = ''
        try:
            file = self._watch_server.read_file()
        except FileError as error:
            return self._refuse_to_configure(str(error))
        loading = self._loading or self._start_loading()
        if not self._wait_for(loading):
            return FAILURE
        if error := loading.exception():
            self._loading = None
            return self._refuse_to_configure(f'the model cannot be loaded: {describe(error)}')
        added = self._watch_server.add((*file.watches, *self._watch_server.kept(file.watches)))
        if not self._wait_for(added):
            return FAILURE
        if error := added.exception():
            why = file.refusal(error) if isinstance(error, WatchError) else f'{file.file}: {describe(error)}'
            return self._refuse_to_configure(why)
        return SUCCESS

    def _wait_for(self, job: Future) -> bool:
        """Whether it was done before the node is to end."""
        while not job.done() and not self._closing.is_set():
            wait([job], timeout=0.1)
        return not self._closing.is_set()

    def _refuse_to_configure(self, fault: str) -> TransitionCallbackReturn:
        self.fault = fault
        self.get_logger().error(fault)
        return FAILURE

    @transition(to='active')
    def on_activate(self, state) -> TransitionCallbackReturn:
        if not self.worker.alive:
            return TransitionCallbackReturn.ERROR
        self.worker.resume()
        self._sink.begin_anew()
        self._ask_server = self._ask_server or AskServer(self)  # not before: a service that is there should work
        for name, camera in self.cameras.items():
            camera.start(self._parameter_set.cameras[name])
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
        self.watches.clear()
        unloaded = self.worker.unload()
        if unloaded.cancelled() or not wait([unloaded], UNLOAD_S).done or unloaded.exception():
            self._replace_worker()  # the old one frees the model when its turn has ended
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
        self._loading = None
        self._replace_worker()
        self.supervisor.start_again()
        return SUCCESS

    def _replace_worker(self) -> None:
        self._watch_server.keep(self.watches)
        old, self.worker = self.worker, self._new_worker()
        self.supervisor.retire(old)

    def begin_loading(self) -> None:
        """Start by itself, without holding up the executor while the model is loaded."""
        self._start_loading().add_done_callback(lambda _: self.executor.create_task(self._start))

    def _start(self) -> None:
        if self.state != 'unconfigured' or self.closing:
            return
        if self.trigger_configure() == SUCCESS:
            self.trigger_activate()
        else:
            self.supervisor.failed_to_load()

    def _start_loading(self) -> Future:
        settings = self.settings
        self.get_logger().info(f'loading {settings["model.name"] or "the embedded model"} ...')
        self.worker.do(lambda: self._health.machine.examine(settings))
        began = time.monotonic()
        self.worker.do(self.supervisor.wait_for_leaving)
        self._loading = self.worker.load(settings, self._parameter_set.cameras)
        self._loading.add_done_callback(lambda done: done.cancelled() or done.exception() or self._say_loaded(began))
        return self._loading

    def _say_loaded(self, began: float) -> None:
        notes = getattr(self.worker.engine.model, 'notes', '')
        self.get_logger().info(f'model loaded in {time.monotonic() - began:.1f} s. {notes}'.strip())

    def _new_worker(self) -> Worker:
        decode = CameraInput.decode
        engine = Engine(self._load, self._open_stream, lambda put: decode(*put), self._sink, self.now)
        self.watches = Watches(engine, self._sink.watched)
        return Worker(engine)

    def _stop_watching(self) -> None:
        if self.active:
            self.state = 'inactive'  # from here on questions are refused
        for camera in self.cameras.values():
            camera.stop()

    def worker_died(self, error: BaseException) -> None:
        """Called on the dying thread: its questions are replied to; leave the active state through an error."""
        self.leave(f'the worker thread died: {describe(error)}')

    def leave(self, fault: str) -> None:
        """Leave the active state through an error; the worker has ended, or has been given up."""
        self.fault = fault
        if self.active:
            self.executor.create_task(self.trigger_deactivate)

    # Callbacks

    def _accept(self, cameras: Mapping[str, Settings]) -> None:
        """Raises `SettingError` when a stream could not take them."""
        for name, settings in cameras.items():
            CameraInput.check(settings)
            session = self.cameras[name].session if name in self.cameras else None
            if session and (stream := session.stream):  # none while it is opened anew
                stream.check(session.settings, settings)

    def _apply(self) -> None:
        """Settings have changed; the worker takes them between two frames."""
        self._open_cameras()
        cameras = self._parameter_set.cameras
        for name, camera in self.cameras.items() if self.active else ():
            camera.narrate_every(cameras[name]['narration.period'])
        if self._loading:
            self.worker.configure(cameras).add_done_callback(self._complain)

    def _open_cameras(self) -> None:
        """Bring the inputs and topics in line with the parameter `cameras`; the worker does so with the streams."""
        wanted, named = self._parameter_set.cameras, bool(self._parameter_set.named)
        for name in [n for n in self.cameras if n not in wanted]:
            self.cameras.pop(name).stop()
            self._sink.close_camera(name)
        for name, settings in wanted.items():
            if name not in self.cameras:
                self.cameras[name] = CameraInput(self, name, named, settings)
                self._sink.open_camera(name, self.cameras[name].prefix)
                if self.active:
                    self.cameras[name].start(settings)
        self.cameras = {name: self.cameras[name] for name in wanted}

    def _complain(self, done: Future) -> None:
        if not done.cancelled() and done.exception():
            self.get_logger().error(f'settings not applied: {describe(done.exception())}')

    def _on_reset(self, request, response: Trigger.Response) -> Trigger.Response:
        if self.active:
            self.worker.reset('asked to by ~/reset')
        response.success = self.active
        response.message = 'everything seen is being forgotten' if self.active else 'the node is not active'
        return response

    def _on_jump_back(self, jump: TimeJump) -> None:
        if self.active:
            self.worker.reset(f'time jumped back by {-jump.delta.nanoseconds / 1e9:.1f} s, as when a bag starts over')
