"""Milliseconds per stage, right on a GPU too, where calls return before the work is done."""

from __future__ import annotations

import time

import torch

now = time.perf_counter  # the clock on a CPU; a benchmark on a busy machine may count CPU time instead


class Stopwatch:
    """Marks the end of stages; `read` waits for the device once and gives each stage's milliseconds."""

    def __init__(self, device: torch.device):
        self.device, self.gpu = device, device.type == 'cuda'
        self.marks = [('', self._now())]

    def mark(self, stage: str) -> None:
        self.marks.append((stage, self._now()))

    def read(self) -> dict[str, float]:
        if self.gpu:
            self.marks[-1][1].synchronize()
        pairs = zip(self.marks, self.marks[1:])
        return {stage: self._between(a, b) for (_, a), (stage, b) in pairs}

    def _now(self):
        if not self.gpu:
            return now()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))  # else the current device's, which may be another
        return event

    def _between(self, a, b) -> float:
        return a.elapsed_time(b) if self.gpu else (b - a) * 1e3
