"""How a model is asked to narrate. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class NarrationStyle:
    """How a model is asked to narrate, and how far it is believed."""

    prompt: str = 'Describe what is happening now, and what has changed in the last {seconds} seconds.'
    frame_counts: tuple[int, ...] = ()  # values of {frames} it was trained on, ascending; (): any
    min_confidence: float = 0.0  # clauses of less probability are better dropped
    event: str = ''  # pattern of a clause that one narration reports, the next not
    yes_no: str = '{condition} Answer yes or no.'  # how a watch is asked

    def ask(self, prompt: str, frames: int, seconds: int) -> str:
        """The question that asks what has happened in the last `frames` frames, or `seconds` seconds.

        prompt: the user's own, or '' for the model's; {frames} and {seconds} are filled in. In its own prompt a model
        that was trained on certain counts of frames is asked about the next larger of them. Up to an eighth of the
        frames, the oldest, may be left out: at 17 frames, 32 would report everything twice.
        """
        if not prompt:
            prompt = self.prompt
            enough = frames - frames // 8
            frames = next((n for n in self.frame_counts if n >= enough), max(self.frame_counts, default=frames))
        return prompt.replace('{frames}', str(frames)).replace('{seconds}', str(seconds))


FIELDS = {  # of stc.json
    'narration': 'prompt',
    'certainty': 'min_confidence',
    'event': 'event',
    'frames': 'frame_counts',
    'yes_no': 'yes_no',
}


def read_style(own: Mapping[str, Any]) -> NarrationStyle:
    """By stc.json's content, checked."""
    return NarrationStyle(**{field: own[key] for key, field in FIELDS.items() if key in own})
