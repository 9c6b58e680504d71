"""A node with the interfaces of `stc_stream` and no model: what it says and when is the test's to choose."""

import threading
import time

from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.qos import QoSProfile

from stc_ros.action import AskStream
from stc_ros.msg import WatchEvent, WatchState
from stc_ros.srv import Ask, Watch

MANY = QoSProfile(depth=300)


class FakeNode:
    """`reply(question)` -> fields of Ask.Response; `act(goal)` -> AskStream.Result; `asked`, `watches` are what came.

    Spun by threads of its own, in the context of `ros`, the fixture.
    """

    def __init__(self, ros, watch=True, namespace=None):
        import rclpy

        self.node = rclpy.create_node('stc_stream', namespace=namespace, context=ros.context)
        self.reply = lambda request: {'answer': f'to {request.question}'}
        self.act, self.refuses = None, ''
        self.on_watch = lambda name: None  # called with the name of a watch that is added
        self.asked, self.watches, self.removed, self.canceled = [], {}, [], threading.Event()
        group = ReentrantCallbackGroup()
        self.service = self.node.create_service(Ask, 'ask', self._ask, callback_group=group, qos_profile=MANY)
        self.action = ActionServer(
            self.node,
            AskStream,
            'ask_stream',
            lambda goal: self.act(goal),
            callback_group=group,
            cancel_callback=self._cancel,
        )
        self.events = self.node.create_publisher(WatchEvent, '~/events', 100)
        if watch:
            self.node.create_service(Watch, '~/watch', self._watch, callback_group=group)
        self.executor = MultiThreadedExecutor(num_threads=6, context=ros.context)
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self.executor.spin)
        self.thread.start()

    def rise(self, name, probability=0.9, stamp=7, kind=WatchEvent.RISING):
        event = WatchEvent(kind=kind, watch=name, condition='c', camera='front', probability=probability)
        event.header.stamp.sec = stamp
        self.events.publish(event)

    def close(self):
        self.executor.shutdown()
        self.thread.join(10)
        self.action.destroy()
        self.node.destroy_node()

    def _ask(self, request, response):
        self.asked.append(request)
        fields = self.reply(request)
        error = fields.pop('error', 'NONE')
        response.error_code = getattr(Ask.Response, error)
        response.error_msg = '' if error == 'NONE' else f'{error} it is'
        for name, value in fields.items():
            if name in ('first_stamp', 'last_stamp'):
                getattr(response, name).sec = value
            else:
                setattr(response, name, value)
        return response

    def _cancel(self, goal):
        self.canceled.set()
        return CancelResponse.ACCEPT

    def _watch(self, request, response):
        response.success, response.message = not self.refuses, self.refuses
        if request.command == Watch.Request.ADD and not self.refuses:
            self.watches[request.watch.name] = WatchState(watch=request.watch)
            self.on_watch(request.watch.name)
        elif request.command == Watch.Request.REMOVE:
            self.removed.append(self.watches.pop(request.watch.name, None))
        response.watches = list(self.watches.values())
        return response


def until(condition, timeout=10.0):
    """Wait for `condition()`; return whether it came true."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
