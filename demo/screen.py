"""Lines that stay, and below them one status line that is rewritten (on a terminal) or repeated now and then."""

from __future__ import annotations

import shutil
import sys
import time

REPEAT_S = 5.0  # between status lines where they cannot be rewritten


class Screen:
    def __init__(self, plain: bool):
        self.plain = plain or not sys.stdout.isatty()
        self._status = ''
        self._repeat_at = 0.0

    def line(self, text: str) -> None:
        if not self.plain:
            sys.stdout.write('\r\x1b[2K')
        print(text, flush=True)
        self._draw()

    def status(self, text: str) -> None:
        self._status = text
        if not self.plain:
            self._draw()
        elif time.monotonic() >= self._repeat_at:
            self._repeat_at = time.monotonic() + REPEAT_S
            print(text, flush=True)

    def end_status(self) -> None:
        """Nothing more is rewritten."""
        if not self.plain:
            sys.stdout.write('\r\x1b[2K')
        self._status = ''

    def _draw(self) -> None:
        if not self.plain:
            width = shutil.get_terminal_size().columns - 1
            sys.stdout.write(f'\r\x1b[2K{self._status[:width]}')
            sys.stdout.flush()
