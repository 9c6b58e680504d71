"""Work beside the caller, one piece at a time: in a thread of its own, on a GPU in a CUDA stream of its own too."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch


class BackgroundStream:
    """Runs what is put into it while the caller goes on. Belongs to one caller's thread.

    What a piece of work reads must not change before the next `settle`. Its memory on a GPU is kept until then.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._side = torch.cuda.Stream(device) if device.type == 'cuda' else None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix='stc prefill')
        self._running: tuple[Future, Callable[[], Any] | None] | None = None

    def put(self, work: Callable[[], Any]) -> None:
        """Begin `work`. Settle first what was put in before; raises RuntimeError otherwise."""
        if self._running:
            raise RuntimeError('something is under way: settle it first')
        if self._side:
            self._side.wait_stream(torch.cuda.current_stream(self._device))
        self._running = self._thread.submit(self._run, work), self._side and work  # else a circle with its owner

    def settle(self) -> Any:
        """Wait for what runs -> what it returned, or None when there is nothing. Raises what it raised."""
        if not self._running:
            return None
        future, _ = self._running
        try:
            return future.result()
        finally:
            if self._side:
                torch.cuda.current_stream(self._device).wait_stream(self._side)
            self._running = None

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickled one waits for what runs, and has its result still to be settled."""
        ran = None
        if self._running:
            future, _ = self._running
            ran = future.exception(), None if future.exception() else future.result()
        return settled_later, (self._device, ran)

    def _run(self, work: Callable[[], Any]) -> Any:
        with torch.inference_mode(), torch.cuda.stream(self._side):  # without a GPU: None, which changes nothing
            return work()


def settled_later(device: torch.device, ran: tuple[BaseException | None, Any] | None) -> BackgroundStream:
    """One in which work has ended: with an exception or a result, or, where `ran` is None, none."""
    stream = BackgroundStream(device)
    if ran:
        future: Future = Future()
        future.set_exception(ran[0]) if ran[0] else future.set_result(ran[1])
        stream._running = future, None
    return stream
