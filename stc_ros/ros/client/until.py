"""Wait until a condition is true: by a watch of the node's, or, where it offers none, by asking again and again."""

from __future__ import annotations

import asyncio
import contextlib
import math
import uuid

from rclpy.qos import QoSProfile

from stc_ros.client.answers import Answer, Moment, seconds
from stc_ros.client.errors import Gone, NotTrue, StcError, Timeout, WatchRefused
from stc_ros.msg import Watch as WatchMessage
from stc_ros.msg import WatchEvent
from stc_ros.ros.client.link import DEPTH, Deadline, Link
from stc_ros.ros.client.requests import SHORTEST_S, to_duration
from stc_ros.srv import Watch

EVENTS = QoSProfile(depth=100)
LISTED_S = 1.0  # between two looks at the list of watches: an event may be lost, the list knows
GRACE_S = 1.0  # for ~/watch to be found after `ask` was: the node offers both at once
PAUSE_S = 0.2  # between two questions
SPARE_S = 5.0  # a watch whose client has died ends by itself so long after the client would have removed it
LOOKS = 2  # answers in a row that must say yes


class Watches:
    """The watches of one client, on ~/watch and ~/events of the node."""

    def __init__(self, link: Link, stream_node: str):
        self._link = link
        self.name = link.service_name(f'{stream_node}/watch')
        self._client = link.node.create_client(Watch, self.name, qos_profile=DEPTH)
        self._waiting: dict[str, asyncio.Queue] = {}  # by watch; used on the loop only
        link.node.create_subscription(WatchEvent, link.topic_name(f'{stream_node}/events'), self._on_event, EVENTS)

    @property
    def offered(self) -> bool:
        return self._client.service_is_ready()

    async def wait(
        self, condition: str, camera: str, threshold: float, looks: int, hold: float, deadline: Deadline
    ) -> Moment:
        """Raises `NotTrue`, `WatchRefused`, `Gone`."""
        name = f'wait_{uuid.uuid4().hex[:12]}'
        message = WatchMessage(
            name=name,
            condition=condition,
            camera=camera,
            threshold=threshold,
            looks=looks,
            hold=to_duration(hold),
            time_limit=to_duration(0.0 if deadline.timeout is None else deadline.left + SPARE_S),
        )
        heard = self._waiting[name] = asyncio.Queue()
        try:
            reply = await self._call(Watch.Request.ADD, message, deadline)
            if not reply.success:
                raise WatchRefused(reply.message)
            while True:
                with contextlib.suppress(asyncio.TimeoutError):
                    event = await asyncio.wait_for(heard.get(), max(0.0, min(LISTED_S, deadline.left)))
                    if event.kind == WatchEvent.RISING:
                        return _moment(message, seconds(event.header.stamp), event.probability, event.camera)
                if deadline.left <= 0:
                    raise _never(message.condition, deadline)
                if moment := await self._listed(message, deadline):
                    return moment
        finally:
            del self._waiting[name]
            self._link.do(self._client.call_async, Watch.Request(command=Watch.Request.REMOVE, watch=message))

    async def _listed(self, message, deadline: Deadline) -> Moment | None:
        """What the list of watches says of ours."""
        reply = await self._call(Watch.Request.LIST, message, deadline)
        state = next((each for each in reply.watches if each.watch.name == message.name), None)
        if state is None and deadline.left > LISTED_S:
            raise Gone('the watch was removed, or its node has started anew')
        if state and (state.active or state.events):
            return _moment(message, seconds(state.last_stamp), state.probability, state.watch.camera)
        return None

    async def _call(self, command: int, message, deadline: Deadline):
        try:
            return await self._link.call(self._client, Watch.Request(command=command, watch=message), deadline)
        except Timeout:
            raise _never(message.condition, deadline) from None

    def _on_event(self, event: WatchEvent) -> None:
        self._link.soon(self._take, event)

    def _take(self, event: WatchEvent) -> None:
        if waiting := self._waiting.get(event.watch):
            waiting.put_nowait(event)


async def by_asking(ask, condition: str, camera: str, looks: int, hold: float, deadline: Deadline) -> Moment:
    """Ask until `looks` answers in a row, on newer frames each, say yes. ask: question -> Answer.

    Raises `NotTrue`, and what says that asking again would not help.
    """
    row, since, newest, last = 0, 0.0, -math.inf, ''
    while deadline.left >= SHORTEST_S:
        try:
            answer = await ask(as_question(condition))
        except StcError as error:
            if not error.soon and not isinstance(error, Timeout):
                raise
            row, last = 0, last if isinstance(error, Timeout) else str(error)
        else:
            last = f'the answer was {answer.text.strip()!r}'
            yes = says_yes(first_of(answer))
            if yes and answer.last_stamp > newest:  # a camera that has stopped decides nothing
                row, since = row + 1, since if row else answer.last_stamp
                if row >= (looks or LOOKS) and answer.last_stamp - since >= hold:
                    return Moment(condition, camera, answer.last_stamp, math.nan, 'asking')
            row, newest = row if yes else 0, answer.last_stamp
        await asyncio.sleep(min(PAUSE_S, max(0.0, deadline.left)))
    raise _never(condition, deadline, last)


def as_question(condition: str) -> str:
    """A statement or a question, made one that is answered with yes or no."""
    condition = condition.strip()
    if not condition.endswith('?'):
        condition = f'Is it true that {condition.rstrip(".")} ?'
    return f'{condition} Answer yes or no.'


def says_yes(text: str) -> bool:
    words = ''.join(c if c.isalpha() else ' ' for c in text.lower()).split()
    return words[:1] in (['yes'], ['true'])


def first_of(answer: Answer) -> str:
    """The first camera's words: of all it is the one that a watch without a camera looks at."""
    return next(iter(answer.cameras.values()), answer.text)


def _moment(message, stamp: float, probability: float, camera: str) -> Moment:
    return Moment(message.condition, camera, stamp, probability, 'watch')


def _never(condition: str, deadline: Deadline, last: str = '') -> NotTrue:
    return NotTrue(f'not true within {deadline.timeout:g} s: {condition!r}{last and f" ({last})"}')
