"""A client's own node, spun on a thread of its own, and an asyncio loop on another that waits for replies.

Nothing here runs on an executor of the user's, so a blocking call is safe from a callback, a thread or a script.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile

from stc_ros.client.errors import Closed, Gone, NotFound, Timeout
from stc_ros.parameter_spec import specs
from stc_ros.parameters import StreamParameters

# A reply goes to the readers of all clients of a service, and each keeps its newest `depth` until it gets to look. At
# the default of 10 a burst for others pushes out one's own: 64 clients then lose replies, see docs/planners.md.
DEPTH = QoSProfile(depth=512)
EVERY_PIECE = QoSProfile(depth=specs(StreamParameters)['query.max_new_tokens'].high)  # of an answer, for slow readers
DISCOVERY_S = 10.0  # longest wait for a node to be there
CHECK_S = 0.25  # between two looks at whether it still is
END_S = 2.0  # for each thread to end
_numbers = itertools.count(1)


class Deadline:
    """A time limit in seconds from now; None: there is none."""

    def __init__(self, timeout: float | None):
        self.timeout = timeout
        self._end = None if timeout is None else time.monotonic() + timeout

    @property
    def left(self) -> float:
        """Seconds; infinite without a limit."""
        return float('inf') if self._end is None else self._end - time.monotonic()


class Link:
    """node: whose context, namespace and remappings hold; None: a context and a node of its own."""

    def __init__(self, node, namespace: str, arguments: list[str] | None):
        self._own_context = None if node else rclpy.Context()
        if self._own_context:
            self._own_context.init(args=arguments)
        context = node.context if node else self._own_context
        name = f'{node.get_name() if node else "stc"}_client_{os.getpid()}_{next(_numbers)}'
        self.node = rclpy.create_node(
            name,
            namespace=namespace or None,
            context=context,
            cli_args=['--ros-args', '-r', f'__node:={name}'],  # else a __node:= of the command line names this one, too
            start_parameter_services=False,
            enable_rosout=False,
        )
        self._names = node or self.node
        self.loop = asyncio.new_event_loop()
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        self._ended = False
        self._lock = threading.Lock()
        self._spinning = threading.Thread(target=self._spin, name='stc_client', daemon=True)
        self._waiting = threading.Thread(target=self._run_loop, name='stc_client_loop', daemon=True)
        self._spinning.start()
        self._waiting.start()

    def service_name(self, name: str) -> str:
        """A name as the user's node would use it, remapped."""
        return self._names.resolve_service_name(name)

    def topic_name(self, name: str) -> str:
        return self._names.resolve_topic_name(name)

    def later(self, work: Coroutine[Any, Any, Any]) -> concurrent.futures.Future:
        """Run it on the loop. Canceling the future cancels the work. Raises `Closed`."""
        with self._lock:
            try:
                self.check()
            except Closed:
                work.close()
                raise
            return asyncio.run_coroutine_threadsafe(self._until_closed(work), self.loop)

    def check(self) -> None:
        """Raises `Closed`."""
        if self._ended:
            raise Closed('the client is closed')

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run it and block until its result is there."""
        if threading.current_thread() in (self._spinning, self._waiting):
            work.close()
            raise RuntimeError('a blocking call inside a callback of this client would wait for itself: take ask_later')
        future = self.later(work)
        try:
            return future.result()
        finally:
            future.cancel()  # an interrupt ends the work, too; of what is done nothing changes

    def soon(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Call it on the loop, from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and so has whoever waits on it
            self.loop.call_soon_threadsafe(call, *arguments)

    def do(self, call: Callable[..., Any], *arguments: Any) -> concurrent.futures.Future:
        """Call it on the executor's thread, from any thread.

        That is where rclpy's requests are sent and things are destroyed: an action client whose goal is accepted while
        `send_goal_async` still runs never says so, and an executor must not wait on what is being destroyed.
        """
        done: concurrent.futures.Future = concurrent.futures.Future()

        def run() -> None:
            if done.set_running_or_notify_cancel():
                try:
                    done.set_result(call(*arguments))
                except Exception as error:
                    done.set_exception(error)

        self._executor.create_task(run)
        return done

    async def ready(
        self, is_ready: Callable[[], bool], deadline: Deadline, name: str, longest: float = DISCOVERY_S
    ) -> None:
        """Wait until the node is there, for `longest` seconds at most. Raises `NotFound`."""
        end = time.monotonic() + min(longest, deadline.left)
        while not is_ready():
            if time.monotonic() >= end:
                domain = os.environ.get('ROS_DOMAIN_ID', '0')
                raise NotFound(
                    f'no node answers on {name} in ROS_DOMAIN_ID={domain}. Start one, wait until its model is loaded, '
                    'and use the ROS_DOMAIN_ID and namespace that it uses'
                )
            await asyncio.sleep(0.02)

    async def result(self, future, deadline: Deadline, is_there: Callable[[], bool]) -> Any:
        """What an rclpy future gives. Raises `Timeout` without a reply, `Gone` when the node has ended."""
        arrived, missing = asyncio.Event(), 0
        future.add_done_callback(lambda _: self.soon(arrived.set))
        while not future.done():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(arrived.wait(), max(0.0, min(CHECK_S, deadline.left)))
            if future.done():
                break
            if deadline.left <= 0:
                raise Timeout(f'no reply within {deadline.timeout:g} s')
            missing = 0 if is_there() else missing + 1
            if missing > 1:  # a single look may fall between two states of the discovery
                raise Gone('the node has ended')
        return future.result()

    async def call(self, client, request, deadline: Deadline) -> Any:
        """Call a service that is there -> its response."""
        future = await asyncio.wrap_future(self.do(client.call_async, request))
        try:
            return await self.result(future, deadline, client.service_is_ready)
        finally:
            self.do(client.remove_pending_request, future)

    def close(self) -> None:
        """End all that is under way, with `Closed`, and both threads."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
        self.soon(self.loop.stop)  # first, so that what ends can still say so to the node
        self._join(self._waiting)
        self._executor.shutdown(timeout_sec=END_S)
        self._join(self._spinning)
        self.node.destroy_node()
        if self._own_context:
            self._own_context.try_shutdown()

    async def _until_closed(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await work
        except asyncio.CancelledError:
            if self._ended:
                raise Closed('the client was closed') from None
            raise

    def _spin(self) -> None:
        """A callback that raises is reported and ends nothing."""
        while not self._ended and self.node.context.ok():
            try:
                self._executor.spin_once()
            except ExternalShutdownException:
                break
            except Exception:
                if not self._ended:
                    traceback.print_exc(file=sys.stderr)
        self._ended = True  # also when somebody shut the context down
        self.soon(self.loop.stop)

    @staticmethod
    def _join(thread: threading.Thread) -> None:
        if thread is not threading.current_thread():
            thread.join(END_S)

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.close()
