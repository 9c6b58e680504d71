"""`Client`: see `stc_ros.client`, by which it is imported."""

from __future__ import annotations

import asyncio
import contextlib
import random
import weakref
from concurrent.futures import Future

from rclpy.action import ActionClient

from stc_ros.action import AskStream
from stc_ros.client.answers import Answer, Look, Moment
from stc_ros.client.errors import NotFound, StcError
from stc_ros.ros.client.link import DEPTH, DISCOVERY_S, EVERY_PIECE, Deadline, Link
from stc_ros.ros.client.looking import Looking
from stc_ros.ros.client.requests import SHORTEST_S, read_reply, time_left
from stc_ros.ros.client.stream import AnswerStream
from stc_ros.ros.client.until import GRACE_S, Watches, by_asking
from stc_ros.srv import Ask

__all__ = ['AnswerStream', 'Client']
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0  # before a question is asked again; it doubles in between
YES_NO_TOKENS = 8


class Client:
    """Asks a running node. Of each call there are up to three forms:

    `ask` blocks, and may be called from a script, from a thread, and from a callback of your own node, whose executor
    it does not need; `await ask_async` is for asyncio; `ask_later` gives a `concurrent.futures.Future` at once, for a
    callback that must not block or a behaviour tree. Canceling a future or an awaiting task gives the call up.

    node: your node, whose context, namespace and remappings then hold; None: a context and node of the client's own.
    namespace: without a node, where the node is that is asked. stream_node: its name. ask, ask_stream: the names of its
    service and action. image: the topic that `look` takes frames from; empty: the one that the node watches.
    arguments: of ROS, for a context of one's own; None: those of the command line.

    Every call raises a `StcError`: `NotFound` when no node is there, `Gone` when it has ended, `Closed` when the client
    was closed, and those that stand for an error code of the node's.
    """

    def __init__(
        self,
        node=None,
        *,
        namespace: str = '',
        stream_node: str = 'stc_stream',
        ask: str = 'ask',
        ask_stream: str = 'ask_stream',
        image: str = '',
        arguments: list[str] | None = None,
    ):
        self._link = link = Link(node, namespace, arguments)
        self._finalizer = weakref.finalize(self, link.close)  # at the latest when the process ends
        self._ask_name, self._stream_name = link.service_name(ask), link.service_name(ask_stream)
        self._ask_client = link.node.create_client(Ask, self._ask_name, qos_profile=DEPTH)
        self._watches = Watches(link, stream_node)
        self._looking = Looking(link, stream_node, image)
        self._action: ActionClient | None = None
        self._asks = False  # the node was found to offer no watches

    def close(self) -> None:
        """End it; calls under way raise `Closed`."""
        self._finalizer()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def wait_for_node(self, timeout: float = DISCOVERY_S) -> None:
        """Wait until a node is found that takes questions, so that the time of those that follow is not spent on it.

        Raises `NotFound`, as where it still loads its model.
        """
        action, name = self._actions(), f'{self._ask_name} or {self._stream_name}'
        ready = self._link.ready(
            lambda: self._ask_client.service_is_ready() or action.server_is_ready(), Deadline(timeout), name, timeout
        )
        self._link.wait(ready)

    # A question

    def ask(
        self,
        question: str,
        camera: str = '',
        timeout: float | None = None,
        max_new_tokens: int = 0,
        retry: bool = False,
    ) -> Answer:
        """Ask -> the whole answer, within `timeout` seconds.

        camera: whose memory is asked; empty: that of every camera. timeout: None is the node's `query.timeout`, and no
        limit to waiting for it. max_new_tokens: 0 is the node's. retry: what passes by itself (`Busy`, `NoFrames`,
        `NotActive`, `NotFound`, ...) is waited for until the timeout has passed.
        Raises `Timeout`, `Busy`, `NotActive`, `NoFrames` and the other errors of `stc_ros.client`.
        """
        return self._link.wait(self._ask(question, camera, timeout, max_new_tokens, retry))

    async def ask_async(
        self,
        question: str,
        camera: str = '',
        timeout: float | None = None,
        max_new_tokens: int = 0,
        retry: bool = False,
    ) -> Answer:
        """`ask` for asyncio."""
        return await asyncio.wrap_future(self.ask_later(question, camera, timeout, max_new_tokens, retry))

    def ask_later(
        self,
        question: str,
        camera: str = '',
        timeout: float | None = None,
        max_new_tokens: int = 0,
        retry: bool = False,
    ) -> Future[Answer]:
        """`ask` that does not wait."""
        return self._link.later(self._ask(question, camera, timeout, max_new_tokens, retry))

    def ask_stream(
        self, question: str, camera: str = '', timeout: float | None = None, max_new_tokens: int = 0
    ) -> AnswerStream:
        """Ask -> the pieces of the answer as they come; the arguments are those of `ask`."""
        request = {'question': question, 'camera': camera, 'max_new_tokens': max_new_tokens}
        return AnswerStream(self._link, self._actions(), request, timeout, self._stream_name)

    def _actions(self) -> ActionClient:
        """Made when it is first needed: it is three services and two topics."""
        self._link.check()
        self._action = self._action or ActionClient(
            self._link.node,
            AskStream,
            self._stream_name,
            goal_service_qos_profile=DEPTH,
            result_service_qos_profile=DEPTH,
            cancel_service_qos_profile=DEPTH,
            feedback_sub_qos_profile=EVERY_PIECE,
        )
        return self._action

    async def _ask(self, question: str, camera: str, timeout: float | None, length: int, retry: bool) -> Answer:
        deadline, pause = Deadline(timeout), FIRST_PAUSE_S
        while True:
            try:
                return await self._ask_once(question, camera, deadline, length)
            except StcError as error:
                wait = pause * random.uniform(0.5, 1.0)  # clients that were refused together do not come back together
                if not (retry and error.soon) or deadline.left < wait + SHORTEST_S:
                    raise
            await asyncio.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _ask_once(self, question: str, camera: str, deadline: Deadline, length: int) -> Answer:
        await self._link.ready(self._ask_client.service_is_ready, deadline, self._ask_name)
        request = Ask.Request(question=question, camera=camera, max_new_tokens=length, timeout=time_left(deadline))
        return read_reply(await self._link.call(self._ask_client, request, deadline))

    # A condition

    def wait_until(
        self,
        condition: str,
        timeout: float | None = None,
        camera: str = '',
        threshold: float = 0.0,
        looks: int = 0,
        hold: float = 0.0,
    ) -> Moment:
        """Wait until a condition in plain words, as "the door is open", is true -> the moment in which it was.

        By a watch of the node's (`~/watch`, `~/events`); where it offers none, by asking a yes/no question again and
        again. camera: empty is the first one. threshold: probability from which on it counts as true (watches only),
        looks: looks in a row, hold: seconds; 0 is the node's default.
        Raises `NotTrue`, a `Timeout`, when it has not become true, `WatchRefused`, and what `ask` raises.
        """
        return self._link.wait(self._wait_until(condition, timeout, camera, threshold, looks, hold))

    async def wait_until_async(
        self,
        condition: str,
        timeout: float | None = None,
        camera: str = '',
        threshold: float = 0.0,
        looks: int = 0,
        hold: float = 0.0,
    ) -> Moment:
        """`wait_until` for asyncio."""
        return await asyncio.wrap_future(self.wait_until_later(condition, timeout, camera, threshold, looks, hold))

    def wait_until_later(
        self,
        condition: str,
        timeout: float | None = None,
        camera: str = '',
        threshold: float = 0.0,
        looks: int = 0,
        hold: float = 0.0,
    ) -> Future[Moment]:
        """`wait_until` that does not wait."""
        return self._link.later(self._wait_until(condition, timeout, camera, threshold, looks, hold))

    async def _wait_until(
        self, condition: str, timeout: float | None, camera: str, threshold: float, looks: int, hold: float
    ) -> Moment:
        deadline = Deadline(timeout)
        await self._link.ready(
            lambda: self._watches.offered or self._ask_client.service_is_ready(), deadline, self._ask_name
        )
        if not self._watches.offered and not self._asks:
            with contextlib.suppress(NotFound):
                await self._link.ready(lambda: self._watches.offered, Deadline(GRACE_S), self._watches.name)
        self._asks = not self._watches.offered
        if not self._asks:
            return await self._watches.wait(condition, camera, threshold, looks, hold, deadline)

        async def ask(question: str) -> Answer:
            return await self._ask_once(question, camera, deadline, YES_NO_TOKENS)

        return await by_asking(ask, condition, camera, looks, hold, deadline)

    # A look

    def look(self, camera: str = '', timeout: float = 5.0, longest: int = 768) -> Look:
        """The newest frame as a JPEG, its longer side at most `longest` pixels, and the newest narration, if any.

        Raises `NotFound` when no node watches a topic, `NoFrames` when nothing comes on it.
        """
        return self._link.wait(self._looking.look(camera, longest, Deadline(timeout)))

    async def look_async(self, camera: str = '', timeout: float = 5.0, longest: int = 768) -> Look:
        """`look` for asyncio."""
        return await asyncio.wrap_future(self._link.later(self._looking.look(camera, longest, Deadline(timeout))))
