"""Between the host and a GPU without waiting: uploads from pinned memory, downloads that are read when they are there.

A plain `.to(device)` or `.tolist()` makes the host wait for all that the GPU has still to do, and the GPU then for the
host. On a CPU both hand on what they are given.
"""

from __future__ import annotations

from typing import Any

import torch


def upload(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`tensor`, on `device`. The host does not wait; PyTorch keeps the pinned copy until the GPU has read it."""
    if device.type != 'cuda' or tensor.device.type == 'cuda':
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class Download:
    """A tensor on its way to the host. A later `read` does not wait where the GPU is past it already."""

    def __init__(self, tensor: torch.Tensor):
        self._there: torch.cuda.Event | None = None
        self._host = tensor
        if tensor.device.type == 'cuda':
            self._host = tensor.to('cpu', non_blocking=True)  # into pinned memory
            self._there = torch.cuda.Event()
            self._there.record(torch.cuda.current_stream(tensor.device))

    def read(self) -> torch.Tensor:
        """On the CPU."""
        if self._there is not None:
            self._there.synchronize()
            self._there = None
        return self._host

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickled one has arrived."""
        return Download, (self.read(),)
