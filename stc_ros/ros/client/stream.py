"""An answer piece by piece, through the action `ask_stream`; for a script or thread, and for asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import Any

from stc_ros.action import AskStream
from stc_ros.client.answers import Answer
from stc_ros.client.errors import Canceled
from stc_ros.ros.client.link import Deadline, Link
from stc_ros.ros.client.requests import read_reply, time_left


class AnswerStream:
    """Iterate over it, with `for` or `async for`; each item is the next piece of the answer, a str.

    At its end `answer` is the whole `Answer`, or a typed error is raised. To leave early: `close`, or a `with` block.
    """

    def __init__(self, link: Link, client, request: dict[str, Any], timeout: float | None, name: str):
        self._link = link
        self._goal = _Goal(link)
        self.answer: Answer | None = None  # when the last piece has been read
        self.gaps = False  # pieces were lost on their way: `answer.text` has them
        self._work: concurrent.futures.Future | None = None
        self._work = link.later(self._goal.run(client, request, Deadline(timeout), name))

    def __iter__(self) -> AnswerStream:
        return self

    def __next__(self) -> str:
        piece = self._link.wait(self._goal.next())
        if piece is None:
            self._end()
            raise StopIteration
        return piece

    def __aiter__(self) -> AnswerStream:
        return self

    async def __anext__(self) -> str:
        piece = await asyncio.wrap_future(self._link.later(self._goal.next()))
        if piece is None:
            self._end()
            raise StopAsyncIteration
        return piece

    def cancel(self) -> None:
        """Ask the node to stop; what it still sends can be read, and the iteration ends with `Canceled`."""
        self._link.soon(self._goal.cancel)

    def close(self) -> None:
        """Stop it and wait for nothing more."""
        if self._work:  # none, when the client was closed already
            self._work.cancel()

    def __enter__(self) -> AnswerStream:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    async def __aenter__(self) -> AnswerStream:
        return self

    async def __aexit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()  # who leaves a loop early need not say so

    def _end(self) -> None:
        try:
            self.answer, self.gaps = self._work.result()
        except concurrent.futures.CancelledError:
            return  # closed on this side


class _Goal:
    """One goal of the action. Used on the link's loop only, but for what it gives to `Link.do`."""

    def __init__(self, link: Link):
        self._link = link
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()
        self._sent = None  # the rclpy future of the goal's handle
        self._canceled = self._done = False

    async def next(self) -> str | None:
        """The next piece; None at the end, and ever after."""
        if self._done and self._pieces.empty():
            return None
        return await self._pieces.get()

    def cancel(self) -> None:
        self._canceled = True
        if not self._done:
            self._link.do(self._cancel)

    def _send(self, client, goal: AskStream.Goal, take) -> None:
        self._sent = client.send_goal_async(goal, feedback_callback=take)

    def _cancel(self) -> None:
        if self._sent:  # a piece may come before the goal's acceptance does
            self._sent.add_done_callback(lambda sent: sent.result().cancel_goal_async())

    async def run(self, client, request: dict[str, Any], deadline: Deadline, name: str):
        """Send the goal, collect the pieces -> (Answer, whether pieces were lost)."""
        link, said = self._link, []

        def take(piece: str) -> None:
            if not self._done:
                said.append(piece)
                self._pieces.put_nowait(piece)

        try:
            await link.ready(client.server_is_ready, deadline, name)
            goal = AskStream.Goal(timeout=time_left(deadline), **request)
            if self._canceled:
                raise Canceled('canceled before it was asked')
            await asyncio.wrap_future(link.do(self._send, client, goal, lambda m: link.soon(take, m.feedback.text)))
            handle = await link.result(self._sent, deadline, client.server_is_ready)
            asked = await asyncio.wrap_future(link.do(handle.get_result_async))
            found = await link.result(asked, deadline, client.server_is_ready)
            answer, spoken = read_reply(found.result), ''.join(said)
            whole = answer.text.startswith(spoken)
            if whole and answer.text[len(spoken) :]:  # pieces that come after the result, if any
                take(answer.text[len(spoken) :])
            return answer, not whole
        except asyncio.CancelledError:
            self.cancel()
            raise
        finally:
            self._done = True
            self._pieces.put_nowait(None)
