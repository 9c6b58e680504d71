"""What a process has said, which children it has, and whether they have ended (Linux)."""

import time
from pathlib import Path


def children_of(pid: int) -> list[int]:
    return [
        int(child) for task in Path(f'/proc/{pid}/task').iterdir() for child in (task / 'children').read_text().split()
    ]


def gone(pids: list[int]) -> bool:
    """Whether all have ended; one that only waits to be reaped has."""
    for pid in pids:
        try:
            state = Path(f'/proc/{pid}/stat').read_text().rsplit(')')[-1].split()[0]
        except FileNotFoundError:
            continue
        if state != 'Z':
            return False
    return True


def wait_for(process, text: str, timeout: float = 90.0) -> None:
    end = time.monotonic() + timeout
    while text not in process.log.read_text():
        assert process.poll() is None and time.monotonic() < end, process.log.read_text()
        time.sleep(0.05)
