"""Child processes that never outlive the demo, and end by themselves: a killed one leaves shared memory behind."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1  # prctl: the signal that a process gets when its parent dies, however that happens


class Child:
    """`python -m module arguments`, in a session of its own: a Ctrl-C in the terminal reaches only the demo."""

    def __init__(self, name: str, module: str, arguments: list[str], logs: Path):
        self.name = name
        self.log = logs / f'{name}.log'
        with self.log.open('wb') as output:
            self._process = subprocess.Popen(
                [sys.executable, '-m', module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def last_words(self, lines: int = 12) -> str:
        """The end of what it said."""
        return '\n'.join(self.log.read_text(errors='replace').splitlines()[-lines:])

    def interrupt(self) -> None:
        if self.exit_code() is None:
            self._process.send_signal(signal.SIGINT)

    def reap(self, deadline: float) -> None:
        """Wait until `deadline` (monotonic), then kill."""
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def end_all(children: list[Child], patience: float) -> None:
    """Interrupt all, and kill what still runs after `patience` seconds."""
    for child in children:
        child.interrupt()
    deadline = time.monotonic() + patience
    for child in children:
        child.reap(deadline)


def _die_with_parent() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
