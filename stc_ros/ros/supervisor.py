"""Keeps a node at work: a turn that hangs is given up, a worker that died is replaced, and else the process is ended.

A thread cannot be ended from outside. What runs in Python is, by an exception that is raised in it; a call that does
not return, into a driver say, is not, and keeps the model's memory: then only a new process helps.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
import traceback
from dataclasses import dataclass

from stc_ros.engine.questions import Error
from stc_ros.engine.worker import Worker
from stc_ros.ros import systemd

EXIT_CODE = 70  # of the process (EX_SOFTWARE of sysexits.h), when only a new one helps
END_S = 5.0  # that a turn which was given up may take to end
PAUSES_S = (0.0, 2.0, 10.0)  # before each try, in a row, to start again
STEADY_S = 60.0  # of watching, after which the tries count anew


class TurnGivenUp(BaseException):
    """Raised in a worker's thread whose turn hangs."""


@dataclass(slots=True)
class Leaving:
    """A worker that has been replaced and whose turn still runs."""

    worker: Worker
    given_up: float | None = None  # s, monotonic


class Supervisor:
    """Of a `StreamNode`; all its methods are called on the executor's thread."""

    def __init__(self, node):
        self._node = node
        self._leaving: list[Leaving] = []
        self._tries, self._active_since = 0, None
        self._pause = None  # timer, while the next try waits
        self.exit_code = 0  # of the process, where that is the node's own
        self.on_end = lambda: None  # called when it should end

    def look(self) -> None:
        """To be called every second."""
        node, now = self._node, time.monotonic()
        if not node.active:
            self._active_since = None
        elif self._active_since is None:
            self._active_since = now
        elif now - self._active_since > STEADY_S:
            self._tries = 0
        hangs = node.state != 'unconfigured' and node.worker.alive and self._hangs(node.worker)
        if hangs:
            self._replace(node.worker)
        for each in tuple(self._leaving):
            if each.worker.join(0.0):
                self._leaving.remove(each)
            elif each.given_up is None and self._hangs(each.worker):
                self._give_up(each)
            elif each.given_up and now - each.given_up > END_S:
                self._leaving.remove(each)
                self._end_process('the model hangs in a call that cannot be given up')
        if not hangs:
            systemd.tell('WATCHDOG=1')

    def retire(self, worker: Worker) -> None:
        """It has been replaced; its turn may still run, and is given up when that hangs."""
        worker.stop()
        if not worker.join(0.0) and all(each.worker is not worker for each in self._leaving):
            self._leaving.append(Leaving(worker))

    def wait_for_leaving(self) -> None:
        """On the new worker's thread: a model is loaded when the old one's memory is free, or will not be."""
        for each in tuple(self._leaving):
            each.worker.join(self._node.settings['expert.turn_limit'] + END_S)

    def start(self, pause: float = 0.0) -> None:
        """Configure and activate in `pause` seconds, without holding up the executor while the model is loaded."""
        self._pause = self._node.create_timer(pause, self._on_pause_over, clock=self._node.steady)

    def start_again(self) -> None:
        """After a fault: configure and activate, unless that is another's business or has been tried too often."""
        node = self._node
        if not node.autostart or node.closing or self._pause:
            return
        if self._tries == len(PAUSES_S):
            node.get_logger().error(f'started again {self._tries} times in vain: the node stays unconfigured')
            return
        self._tries += 1
        self.start(PAUSES_S[self._tries - 1])

    def failed_to_load(self) -> None:
        """A model that was there could not be loaded again: a broken CUDA context, say, stays so in this process."""
        if self._tries == len(PAUSES_S):
            self._end_process(f'{self._node.fault}, {self._tries} times after it had worked')
        elif self._tries:
            self.start_again()

    def _on_pause_over(self) -> None:
        self._node.destroy_timer(self._pause)
        self._pause = None
        if self._node.state == 'unconfigured':
            self._node.begin_loading()

    def _end_process(self, fault: str) -> None:
        """So that launch starts another (respawn)."""
        self._node.fault, self.exit_code = fault, EXIT_CODE
        self._node.get_logger().fatal(f'{fault}: only a new process helps; this one ends with code {EXIT_CODE}')
        self.on_end()

    def _hangs(self, worker: Worker) -> bool:
        busy = worker.busy_since
        return busy is not None and time.monotonic() - busy > self._node.settings['expert.turn_limit']

    def _replace(self, worker: Worker) -> None:
        reason = f'one turn of the model has taken {time.monotonic() - worker.busy_since:.0f} s: it is given up'
        worker.stop(Error.MODEL_FAILURE, reason)
        self.retire(worker)
        self._node.leave(reason)

    def _give_up(self, leaving: Leaving) -> None:
        leaving.given_up, thread = time.monotonic(), leaving.worker.thread
        if frame := sys._current_frames().get(thread.ident):
            stack = ''.join(traceback.format_stack(frame)[-8:])
            self._node.get_logger().fatal(f'the model hangs, or is slower than expert.turn_limit, in:\n{stack}')
        raise_in(thread, TurnGivenUp)


def raise_in(thread: threading.Thread, kind: type[BaseException]) -> None:
    """Raise in another thread, when it runs Python code next."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(kind))
