"""A process that multiprocessing made ends with the one that made it, even when that was killed."""

from __future__ import annotations

import os
from multiprocessing import parent_process
from threading import Thread


def end_with_parent() -> None:
    """Called in the child, at its beginning: else it would wait for work, or for room in a queue, for ever."""
    Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    parent_process().join()
    os._exit(1)
