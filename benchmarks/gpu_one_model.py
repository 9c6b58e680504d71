"""One model of gpu.py: its parts in the order in which they matter, each within its share of the time."""

from __future__ import annotations

import time
from collections.abc import Callable

import gpu_models
import numpy as np
import torch
from gpu_bars import FOUR
from gpu_parts import MODES, PLAIN, figures, measure_first_tokens, measure_frames, measure_memory, operations, release
from gpu_streams import Plan, Watched
from measure import command, input_name, machine


class OneModel:
    """All parts of one model, each with a share of the time up to `until`; an error ends its part only."""

    def __init__(self, name: str, record, shown: list[np.ndarray], device: torch.device, until: float):
        """record: takes rows, and knows of parts that are to come. Raises `RuntimeError` where there is no room."""
        self.name, self.record, self.shown, self.device, self.until = name, record, shown, device, until
        size, fps = record.chosen.size, record.chosen.fps
        self.plan = Plan(fps=fps) if size == 'full' else Plan(frames=8, fill=2, asks=2, fps=fps)
        self.watched: dict[str, Watched] = {}
        self.best_plain = ''
        dtype = torch.bfloat16 if device.type == 'cuda' else torch.float32
        self.sizes = gpu_models.sizes_of(name, size)
        self.model = gpu_models.make(name, size, device, dtype)
        self.title = f'{gpu_models.MODELS[name]} {size} {dtype}'.replace('torch.', '')

    def measure(self) -> None:
        self.attempt('memory', 0.2, lambda end: self.remember(1, end))
        self.attempt('frames', 0.5, self.see)
        if self.best_plain:
            self.attempt('first tokens', 0.4, self.ask)
            self.add_frames(self.watched, 1)
        self.watched = {}
        self.attempt('memory, four cameras', 0.3, lambda end: self.remember(FOUR, end))
        if self.best_plain:
            self.attempt('four cameras', 1.0, self.see_four)

    def attempt(self, part: str, share: float, call: Callable[[float], str]) -> None:
        """Run a part, which takes `share` of what is left at most and returns what of it was left out."""
        now = time.monotonic()
        if now > self.until:
            return
        try:
            release(self.device)
            left_out = call(now + share * (self.until - now))
        except (RuntimeError, ValueError) as error:  # out of memory is one, too
            left_out = why(error)
        self.record.to_come.pop((self.name, part))
        if left_out:
            self.record.to_come[self.name, part] = left_out

    def remember(self, cameras: int, end: float) -> str:
        found = measure_memory(self.model, self.sizes, self.shown, self.plan, end, cameras)
        self.record.add([self.row('memory', 'default', cameras) | found])
        return '' if self.device.type == 'cuda' else 'the peak is read of a GPU only'

    def see(self, end: float) -> str:
        self.watched = measure_frames(self.model, list(MODES), self.shown, self.plan, end)
        if self.watched['default'].frames:
            spent = {mode: figures(self.watched[mode])['mean_ms'] for mode in PLAIN}
            self.best_plain = min(spent, key=spent.get)
        return self.short(self.watched)

    def ask(self, end: float) -> str:
        measure_first_tokens(self.watched, self.plan, end)
        done = len(self.watched['default'].first_tokens)
        return '' if done >= self.plan.asks else f'{self.plan.asks - done} of {self.plan.asks} questions'

    def see_four(self, end: float) -> str:
        modes = [self.best_plain, 'default']
        found = measure_frames(self.model, modes, self.shown, self.plan, end, FOUR)
        self.add_frames(found, FOUR)
        return self.short(found)

    def short(self, found: dict) -> str:
        done, wanted = len(found['default'].frames), self.plan.frames
        return '' if done >= wanted else f'{wanted - done} of {wanted} frames'

    def add_frames(self, found: dict, cameras: int) -> None:
        """A row for each mode, against the best plain one. Nothing where no frame was measured."""
        if not found['default'].frames:
            return
        figured = {mode: figures(watched) for mode, watched in found.items()}
        works = {mode: operations(self.model, watched) for mode, watched in found.items()}
        rows = []
        for mode, figure in figured.items():
            settings = ', '.join(f'{key} {value}' for key, value in MODES[mode].items())
            ratio = figure['mean_ms'] / figured[self.best_plain]['mean_ms']
            compared = {
                'best_plain': self.best_plain,
                'ratio_to_plain': round(ratio, 4),
                'ideal_ratio': round(works[mode] / works[self.best_plain], 4),
            }
            rows.append(self.row('frames', mode, cameras) | {'settings': settings} | figure | compared)
        self.record.add(rows)

    def row(self, what: str, mode: str, cameras: int) -> dict:
        pixels, chosen = self.model.pixels, self.record.chosen
        return {
            'what': what,
            'name': self.name,
            'model': self.title,
            'input': input_name(chosen),
            'picture': f'{pixels.height} x {pixels.width}',
            'mode': mode,
            'cameras': cameras,
            'machine': machine(chosen, self.device),
            'command': command(),
        }


def why(error: Exception) -> str:
    return f'{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ""}'
