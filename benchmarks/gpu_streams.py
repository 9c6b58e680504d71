"""Streams that gpu.py measures, and how: cameras that show the same pictures, frames and questions by two clocks.

A frame's stages are timed by events on the GPU's own clock (`stc_ros.timing.Stopwatch`), and once more as a whole by
the wall clock between two synchronisations; gpu_bars.py compares both.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch

from stc_ros import timing
from stc_ros.models.base import VideoModel
from stc_ros.settings import Settings
from stc_ros.stream import Stream, open_stream

STAGES = ('vision', 'prune', 'prefill')  # the pruner stands between, and waits for the GPU: it is counted
QUESTION = 'what is moving ?'


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured where there is time. fill: frames at most until the window is full; asks: of each mode."""

    frames: int = 240
    fill: int = 150
    asks: int = 30
    fps: float = 10.0


class Camera:
    """Pictures there and back, so that no cut is among them, with the stamps of a camera."""

    def __init__(self, pictures: list[np.ndarray], fps: float, first: int = 0):
        self.pictures, self.fps, self.first, self.number = pictures, fps, first, 0

    def next(self) -> tuple[np.ndarray, int]:
        """Picture, stamp in ns."""
        count = len(self.pictures)
        turn = (self.first + self.number) % max(1, 2 * count - 2)
        stamp = round(self.number * 1e9 / self.fps)
        self.number += 1
        return self.pictures[min(turn, 2 * count - 2 - turn)], stamp


@dataclass(slots=True)
class Seen:
    """A measured frame."""

    ms: dict[str, float]
    wall: float  # ms
    recomputed: float  # share of the patches
    kept: float  # share of the visual tokens
    passed: bool  # tokens that waited ran through the language model

    @property
    def total(self) -> float:
        return sum(self.ms[stage] for stage in STAGES)


@dataclass(slots=True)
class Watched:
    """A mode's streams, one for each camera, on one model, and what was measured of them."""

    streams: list[Stream]
    cameras: list[Camera]
    frames: list[Seen] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)  # ms

    @classmethod
    def open(cls, model: VideoModel, settings: dict, pictures: list[np.ndarray], plan: Plan, cameras: int = 1):
        """Warm streams; each camera shows another part of the pictures."""
        streams = [open_stream(model, Settings(settings)) for _ in range(cameras)]
        for stream in streams:
            stream.warm_up()
        step = len(pictures) // cameras
        return cls(streams, [Camera(pictures, plan.fps, number * step) for number in range(cameras)])

    @property
    def full(self) -> bool:
        """Whether each window has lost its first frame, as that of a long stream has."""
        return all(stream.memory.first_stamp(0) > 0 for stream in self.streams)

    def see(self) -> None:
        """Measure one frame of each camera."""
        for stream, camera in zip(self.streams, self.cameras):
            frame, stamp = camera.next()
            waited = stream.tokens_waiting
            began = start(stream.model.device)
            report = stream.see(frame, stamp)
            kept, waits = report.visual_tokens_kept, report.tokens_waiting
            passed = waits < waited + kept or (kept > 0 and waits == 0)
            recomputed = report.patches_recomputed / report.patches
            wall = end(stream.model.device, began)
            self.frames.append(Seen(dict(report.ms), wall, recomputed, kept / report.visual_tokens, passed))

    def pay(self) -> None:
        """Run what still waits, on the account of the newest frames."""
        for stream, seen in zip(self.streams, self.frames[-len(self.streams) :]):
            began = start(stream.model.device)
            stream.prefill()
            ms = end(stream.model.device, began)
            seen.ms['prefill'] += ms
            seen.wall += ms

    def ask(self, keep: bool) -> None:
        """Time from a question, asked right behind a frame, to its first token, in the first stream."""
        stream = self.streams[0]
        stream.see(*self.cameras[0].next())
        began = start(stream.model.device)
        list(stream.ask(QUESTION, 1))
        ms = end(stream.model.device, began)
        self.first_tokens += [ms] * keep


def fill(watched: list[Watched], plan: Plan, until: float) -> None:
    """Let all see the same frames until their windows are full; then nothing waits."""
    for _ in range(plan.fill):
        if all(each.full for each in watched) or time.monotonic() > until:
            break
        for each in watched:
            for stream, camera in zip(each.streams, each.cameras):
                stream.see(*camera.next())
    for each in watched:
        for stream in each.streams:
            stream.prefill()


def start(device: torch.device) -> float:
    """The wall clock, when nothing of before is left to do."""
    synchronise(device)
    return timing.now()


def end(device: torch.device, began: float) -> float:
    """Milliseconds since `began`, when all that was begun is done."""
    synchronise(device)
    return (timing.now() - began) * 1e3


def synchronise(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
