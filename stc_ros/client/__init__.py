"""A planner's side of a running node: ask, read an answer as it comes, wait until something is the case, look.

    from stc_ros.client import Client

    with Client() as robot:
        print(robot.ask('is the door open ?', timeout=5).text)

Imports neither torch nor the engine. `Client` itself is in `stc_ros.ros.client`, because it needs rclpy; the errors
and the answers need nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from stc_ros.client.answers import Answer, Look, Moment
from stc_ros.client.errors import (
    Busy,
    Canceled,
    Closed,
    EmptyQuestion,
    Gone,
    InvalidRequest,
    ModelFailure,
    NoFrames,
    NotActive,
    NotFound,
    NotTrue,
    OutOfMemory,
    QuestionTooLong,
    ShutDown,
    StcError,
    Timeout,
    WatchRefused,
)

if TYPE_CHECKING:
    from stc_ros.ros.client import AnswerStream, Client

__all__ = [
    'Answer',
    'AnswerStream',
    'Busy',
    'Canceled',
    'Client',
    'Closed',
    'EmptyQuestion',
    'Gone',
    'InvalidRequest',
    'Look',
    'ModelFailure',
    'Moment',
    'NoFrames',
    'NotActive',
    'NotFound',
    'NotTrue',
    'OutOfMemory',
    'QuestionTooLong',
    'ShutDown',
    'StcError',
    'Timeout',
    'WatchRefused',
]


def __getattr__(name: str):
    """`Client` and `AnswerStream`. Raises `ImportError` where there is no ROS."""
    if name not in ('Client', 'AnswerStream'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    try:
        return getattr(importlib.import_module('stc_ros.ros.client'), name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f'the client needs ROS 2 and the interfaces of stc_ros ({error}): source a ROS 2 and the workspace in '
            'which stc_ros is built, or use ./dev run'
        ) from error
