"""From what a caller says to a request, and from a reply to an `Answer` or the error that its code stands for."""

from __future__ import annotations

from builtin_interfaces.msg import Duration

from stc_ros.client.answers import Answer, answer_of
from stc_ros.client.errors import BY_CONSTANT, StcError, Timeout
from stc_ros.ros.client.link import Deadline
from stc_ros.srv import Ask

SHORTEST_S = 0.1  # timeout that the node takes
ERRORS = {getattr(Ask.Response, constant): error for constant, error in BY_CONSTANT.items()}


def time_left(deadline: Deadline) -> Duration:
    """For the node to answer; zero for its own default. Raises `Timeout` when it could not answer in that time."""
    if deadline.timeout is None:
        return Duration()
    left = deadline.left
    if left < SHORTEST_S:
        raise Timeout(f'of {deadline.timeout:g} s less than {SHORTEST_S:g} s was left for an answer')
    return to_duration(left)


def to_duration(seconds: float) -> Duration:
    nanoseconds = int(seconds * 1e9)
    return Duration(sec=min(nanoseconds // 10**9, 2**31 - 1), nanosec=nanoseconds % 10**9)


def read_reply(reply) -> Answer:
    """An Ask.Response or AskStream.Result -> Answer. Raises the error that its code stands for."""
    answer = answer_of(reply)
    if reply.error_code == Ask.Response.NONE:
        return answer
    error = ERRORS.get(reply.error_code)
    raise error(reply.error_msg, answer) if error else StcError(f'error {reply.error_code}: {reply.error_msg}', answer)
