"""The node under test, as a process of its own that ends with this one."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from stc_ros.parameters import in_use, parameters
from stc_ros.parent_watchdog import end_with_parent
from stc_ros.settings import Settings

END_S = 10.0  # for the node to end
LAST_LINES = 5  # of its log, in an error


class NodeFailed(RuntimeError):
    """The node did not start, or ended. The message has what it said."""


def node_parameters(settings: Settings, rate: float) -> dict[str, Any]:
    """ROS parameters, under which the node's time is the stream's.

    Two parameters count the computer's clock (`input.max_rate`, `expert.prefill_wait`): they become what they are on
    the stream's at that rate, as far as their range goes.
    """
    values = {name: value for name, value in settings.changed().items() if name in in_use(settings)}
    for name, factor in {'expert.prefill_wait': 1 / rate, 'input.max_rate': rate}.items():
        values[name] = min(settings[name] * factor, parameters()[name].high)
    return values | {'use_sim_time': True, 'autostart': True}


@contextlib.contextmanager
def node_process(arguments: Sequence[str], log: Path) -> Iterator[Any]:
    """Runs `stc_ros.ros.main` until the end of the block. log: file of what it prints."""
    process = get_context('spawn').Process(target=_run, args=(tuple(arguments), str(log)), name='stc_stream')
    process.start()
    try:
        yield process
    finally:
        process.terminate()  # SIGTERM: ./dev holds SIGINT back, and a child inherits that
        process.join(END_S)
        if process.is_alive():
            process.kill()
            process.join()


def check(process: Any, log: Path) -> None:
    """Raises `NodeFailed` when it has ended."""
    if not process.is_alive():
        said = '\n'.join(log.read_text(errors='replace').splitlines()[-LAST_LINES:])
        raise NodeFailed(f'the node ended with code {process.exitcode}; the last of {log}:\n{said}')


def _run(arguments: Sequence[str], log: str) -> None:
    end_with_parent(lambda: os.kill(os.getpid(), signal.SIGTERM))
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    from stc_ros.ros.main import main

    raise SystemExit(main(['stream', *arguments]))
