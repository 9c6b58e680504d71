"""Lifecycle callbacks whose failures are seen."""

from __future__ import annotations

import functools
import traceback

from rclpy.lifecycle import TransitionCallbackReturn

from stc_ros.engine.errors import describe

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


def transition(to: str):
    """A lifecycle callback that moves to state `to` if it succeeds; rclpy would swallow what it raises."""

    def decorate(callback):
        @functools.wraps(callback)
        def guarded(self, state) -> TransitionCallbackReturn:
            try:
                result = callback(self, state)
            except Exception as error:
                self.get_logger().error(traceback.format_exc())
                self.fault = f'{callback.__name__} failed: {describe(error)}'
                return TransitionCallbackReturn.ERROR
            if result == SUCCESS:
                self.state = to
            return result

        return guarded

    return decorate
