"""A process that multiprocessing made ends with the one that made it, even when that was killed."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing import parent_process
from threading import Thread


def end_with_parent(end: Callable[[], None] = lambda: os._exit(1)) -> None:
    """Called in the child, at its beginning: else it would wait for work, or for room in a queue, for ever.

    end: ends the child.
    """
    Thread(target=_wait, args=(end,), daemon=True).start()


def _wait(end: Callable[[], None]) -> None:
    parent_process().join()
    end()
