"""How much memory is free, and what is said of a model that needs more. Imports no torch before it is needed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from stc_ros.models.memory_needed import MIB, Sizes, reckon, what_would_fit
from stc_ros.settings import Settings


def read_file(name: str) -> str:
    """'' where there is none."""
    try:
        return Path(name).read_text()
    except OSError:
        return ''


def free_on_machine(read: Callable[[str], str] = read_file, swap: bool = False) -> int | None:
    """Bytes that a process here may still take, of a container's limit, too; None: it cannot be told.

    read: gives a file's text. swap: counts what may be swapped out, too.
    """
    meminfo = read('/proc/meminfo')
    found = re.search(r'^MemAvailable:\s*(\d+) kB', meminfo, re.MULTILINE)
    if not found:
        return None
    free = int(found[1]) << 10
    if swap and (more := re.search(r'^SwapFree:\s*(\d+) kB', meminfo, re.MULTILINE)):
        free += int(more[1]) << 10
    limit, used = (read(f'/sys/fs/cgroup/memory.{name}').strip() for name in ('max', 'current'))
    if limit.isdigit() and used.isdigit():  # a container's; what it has read of files can be given up
        files = re.search(r'^inactive_file (\d+)', read('/sys/fs/cgroup/memory.stat'), re.MULTILINE)
        free = min(free, int(limit) - int(used) + (int(files[1]) if files else 0))
    return free


def free_on(device) -> int | None:
    """Bytes that are free on a `torch.device`."""
    if device.type != 'cuda':
        return free_on_machine(swap=True)
    import torch

    return torch.cuda.mem_get_info(device)[0]


def too_much(name: str, sizes: Sizes, settings: Settings, dtype: str, device: str, free: int) -> tuple[bool, str]:
    """Whether a model runs in `free` bytes at no setting, and what is to be said of it; '' where it fits as it is.

    PyTorch itself, being loaded, has taken its part already.
    """
    needed = reckon(sizes, settings, dtype, device)
    room = free + needed.runtime
    if needed.total <= room:
        return False, ''
    parts = needed.table()
    listed = ', '.join(f'{part} {parts[part]}' for part in ('weights', 'memory', 'answer', 'vision', 'activations'))
    said = (
        f'{name} in {dtype} needs about {parts["total"] - parts["runtime"]} MiB ({listed}), and {free / MIB:.0f} MiB '
        'are free'
    )
    fits = what_would_fit(sizes, settings, dtype, device, room)
    if fits:
        return False, f'{said}: {fits} would fit'
    return True, f'{said}: take a smaller model, or end what else takes memory ({device})'
