"""A `StreamNode` spun in a thread of its own, with a camera and clients that reach it over DDS, for the tests."""

import functools
import gc
import threading
import time

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run ./dev test, or source a ROS 2')
pytest.importorskip('stc_ros.msg', reason='the interfaces are not built: run ./dev build')

from rclpy.action import ActionClient  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from stc_ros.action import AskStream  # noqa: E402
from stc_ros.ros.main import spin, stop_spinning  # noqa: E402
from stc_ros.ros.node import StreamNode  # noqa: E402
from stc_ros.srv import Ask  # noqa: E402

PATIENCE_S = 60.0  # the first import of torch takes long on a busy machine


@functools.lru_cache
def toy_model():
    from stc_ros.models.random import random_model

    return random_model('toy')


def toy_stream(settings):
    """The real stream on a model of the real architecture with random weights, small enough for any machine."""
    from stc_ros.stream import open_stream

    return open_stream(toy_model(), settings)


class Robot:
    """The node under test. Calls from the test go through `ros`, the fixture of conftest.py, not to the node itself.

    Both are in one context: participants that have just met now and then miss each other's first messages.
    """

    def __init__(self, ros, load=toy_stream, cli=(), **parameters):
        self.ros = ros
        overrides = [Parameter(name, value=value) for name, value in ({'memory.max_tokens': 90} | parameters).items()]
        self.node = StreamNode(
            lambda settings: None,
            lambda model, settings: load(settings),
            context=ros.context,
            parameter_overrides=overrides,
            cli_args=['--ros-args', *cli] if cli else None,
        )
        self.executor = SingleThreadedExecutor(context=ros.context)
        self.executor.add_node(self.node)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=spin, args=(self.executor, self.node, self.ended))
        self.thread.start()
        self.clients, self.pictures = {}, 0

    def close(self):
        self.node.close()
        stop_spinning(self.executor, self.ended)
        self.thread.join(10)
        assert not self.thread.is_alive() and self.node.worker.join(5)
        self.executor.shutdown()
        self.node.destroy_node()
        self.node = self.executor = None
        gc.collect()  # rclpy ends a lifecycle node's services only now; until then they confuse the next node's

    @property
    def session(self):
        """The first camera's."""
        return next(iter(self.node.cameras.values())).session

    def until_active(self):
        assert self.ros.spin_until(lambda: self.node.active, PATIENCE_S), self.node.fault or self.node.state
        return self

    def film(self, rate=20.0, topic='image', frame_id='camera'):
        """Publish random pictures while the test spins; `pictures` counts them."""
        self.camera = self.ros.node.create_publisher(Image, topic, 1)
        self.pictures = 0
        rng = np.random.default_rng(0)

        def publish():
            image = rng.integers(0, 255, (24, 32, 3), np.uint8)
            self.camera.publish(picture(image, self.ros.node.get_clock().now().to_msg(), frame_id))
            self.pictures += 1

        self.timer = self.ros.node.create_timer(1 / rate, publish)
        return self

    def stop_filming(self):
        self.ros.node.destroy_timer(self.timer)

    def watch(self):
        """Become active, film, and wait until frames are seen."""
        self.film().until_active()
        assert self.ros.spin_until(lambda: self.session.slot.counts().processed > 0), 'no frame was seen'
        return self

    def listen(self, kind, topic, qos=10):
        """A list to which the messages on `topic` are added while the test spins."""
        messages = []
        before = self.ros.node.count_subscribers(topic)
        self.ros.node.create_subscription(kind, topic, messages.append, qos)
        if self.node:
            assert self.ros.spin_until(lambda: self.node.count_subscribers(topic) > before)
        return messages

    def client(self, kind, name):
        """A client for `name`, ready to be called."""
        client = self.clients.get(name) or self.ros.node.create_client(kind, name)
        self.clients[name] = client
        assert self.ros.spin_until(client.service_is_ready, PATIENCE_S), f'{name} is not there'
        return client

    def call(self, kind, name, request, timeout=PATIENCE_S):
        """Call a service and return its response."""
        future = self.client(kind, name).call_async(request)
        assert self.ros.spin_until(future.done, timeout), f'{name} did not reply'
        return future.result()

    def ask(self, question='what is moving?', timeout=0.0, max_new_tokens=0):
        return self.call(Ask, 'ask', request(question, timeout, max_new_tokens))

    def set(self, **values):
        """Set parameters over the node's service, each alone; returns the results by name."""
        from rcl_interfaces.srv import SetParameters

        parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        response = self.call(SetParameters, 'stc_stream/set_parameters', SetParameters.Request(parameters=parameters))
        return dict(zip(values, response.results))

    def hold(self):
        """Make the worker stand still, once it has done what it was told before -> the event that lets it go on."""
        standing, release = threading.Event(), threading.Event()

        def stand() -> None:
            standing.set()
            release.wait(PATIENCE_S)

        self.node.worker.do(stand)
        assert standing.wait(PATIENCE_S)
        return release

    def transition(self, label):
        """Ask for a lifecycle transition; returns whether it succeeded."""
        from lifecycle_msgs.srv import ChangeState

        change = ChangeState.Request()
        change.transition.label = label
        return self.call(ChangeState, 'stc_stream/change_state', change).success


def request(question='what is moving?', timeout=0.0, max_new_tokens=0, kind=Ask.Request):
    message = kind(question=question, max_new_tokens=max_new_tokens)
    message.timeout.sec, message.timeout.nanosec = int(timeout // 1), int(timeout % 1 * 1e9)
    return message


def act(ros, question='what is moving?', **fields):
    """Send a goal; returns (goal handle, feedback so far, future of the result)."""
    client = ActionClient(ros.node, AskStream, 'ask_stream')
    assert ros.spin_until(client.server_is_ready, 10)
    feedback = []
    goal = request(question, kind=AskStream.Goal, **fields)
    sent = client.send_goal_async(goal, lambda message: feedback.append(message.feedback))
    assert ros.spin_until(sent.done)
    assert sent.result().accepted
    return sent.result(), feedback, sent.result().get_result_async(), client


def picture(image, stamp, frame_id='camera', **changes):
    """uint8 [H, W, 3] -> Image message."""
    height, width, _ = image.shape
    message = Image(height=height, width=width, encoding='rgb8', step=3 * width, data=image.tobytes())
    message.header.stamp, message.header.frame_id = stamp, frame_id
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.fixture(name='robot')
def robot_fixture(ros):
    """`robot(load, parameter=value, ...)` makes a `Robot`; all are closed when the test ends."""
    robots = []

    def make(*arguments, **parameters):
        robots.append(Robot(ros, *arguments, **parameters))
        return robots[-1]

    yield make
    for one in robots:
        one.close()


def seconds(stamp):
    return stamp.sec + stamp.nanosec / 1e9


def wait(ros, duration):
    """Spin for a while."""
    end = time.monotonic() + duration
    ros.spin_until(lambda: time.monotonic() > end, duration + 1)
