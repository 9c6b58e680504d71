"""Why a call gave nothing: one class for each error code of srv/Ask, and for what only a client can notice.

The message of each names the remedy: the node's own message does so already, or `remedy` is added to it.
"""

from __future__ import annotations

from stc_ros.client.answers import Answer


class StcError(Exception):
    """What all have in common.

    reply: what the node sent, with the part of the answer that was generated; None where nothing came.
    """

    constant = ''  # its name in srv/Ask; empty: the client itself noticed it
    remedy = ''
    soon = False  # the same call may well succeed in a moment

    def __init__(self, message: str, reply: Answer | None = None):
        super().__init__(f'{message}: {self.remedy}' if self.remedy else message)
        self.reply = reply


class NoFrames(StcError):
    """No frame has been processed yet, or none can be had."""

    constant, soon = 'NO_FRAMES', True


class EmptyQuestion(StcError, ValueError):
    """The question has no words."""

    constant, remedy = 'EMPTY_QUESTION', 'send text'


class QuestionTooLong(StcError, ValueError):
    """More tokens than the model takes."""

    constant, remedy = 'QUESTION_TOO_LONG', 'ask a shorter one'


class InvalidRequest(StcError, ValueError):
    """A value is out of its range, or there is no such camera."""

    constant = 'INVALID_REQUEST'


class Timeout(StcError, TimeoutError):
    """The time limit passed first. `reply` holds what was generated until then: half an answer may mislead."""

    constant, remedy = 'TIMEOUT', 'give it a longer timeout, or fewer tokens (max_new_tokens)'


class NotTrue(Timeout):
    """What `wait_until` waited for has not become true."""

    remedy = 'wait longer, or say it in other words'


class Busy(StcError):
    """Too many questions wait already."""

    constant, soon = 'BUSY', True
    remedy = 'retry=True does so by itself; query.max_queue is how many may wait'


class Canceled(StcError):
    """The question was canceled on this side."""

    constant = 'CANCELED'


class NotActive(StcError):
    """The node is not in the lifecycle state "active"."""

    constant, soon = 'INACTIVE', True


class OutOfMemory(StcError):
    """The device's memory ran out; the stream was reset and goes on."""

    constant, soon = 'OUT_OF_MEMORY', True
    remedy = 'lower memory.max_mib, or take a smaller model'


class ModelFailure(StcError):
    """The model failed."""

    constant, remedy = 'MODEL_FAILURE', "the node's log and docs/troubleshooting.md say more"


class ShutDown(StcError):
    """The node was deactivated or ended in the midst of it."""

    constant, remedy = 'SHUTDOWN', 'ask again when it is active'


class NotFound(StcError):
    """No node offers what is asked for."""

    soon = True


class Gone(StcError):
    """The node was there, and is not any more."""

    remedy = 'its log says why; respawn:=true of stream.launch.py starts it again by itself'


class WatchRefused(StcError):
    """The node does not take the watch; the message is its own."""


class Closed(StcError):
    """The client was closed, or its ROS context was shut down, while the call was under way."""

    remedy = 'make a new Client, and close it when nothing waits for it'


BY_CONSTANT = {
    each.constant: each
    for each in (
        NoFrames,
        EmptyQuestion,
        QuestionTooLong,
        InvalidRequest,
        Timeout,
        Busy,
        Canceled,
        NotActive,
        OutOfMemory,
        ModelFailure,
        ShutDown,
    )
}
