"""What a model family offers to the stream, and nothing about how a stream uses it.

A `VideoModel` is a value: weights and functions, no state of any camera. Two streams may share one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from stc_ros.models.decoder import Decoder
from stc_ros.models.pixels import Pixels
from stc_ros.models.tower import Tower
from stc_ros.models.words import Words


class ModelError(RuntimeError):
    """A model cannot be loaded or does not work. The message names the cause and the remedy."""


@dataclass(slots=True)
class VideoModel:
    """Parts of a streaming video language model, in the order in which a frame passes through them."""

    name: str
    pixels: Pixels  # uint8 [H, W, 3] -> float [1, 3, h, w]
    tower: Tower  # [F, 3, h, w] -> patches [F, T, d] -> features [F, T, d]
    project_in: Callable[[torch.Tensor], torch.Tensor]  # features [.., d] -> [.., D], up to the projector's last layer
    project_out: Callable[[torch.Tensor], torch.Tensor]  # [.., D] -> [.., D], its last layer, which is affine
    pool: Callable[[torch.Tensor], torch.Tensor]  # patches [F, T, D] -> visual tokens [F, n, D], averages
    token_grid: tuple[int, int]  # rows, cols of the n visual tokens
    newline: torch.Tensor  # [D], stands between the last frame and the question
    decoder: Decoder  # embeddings [1, t, D] -> hidden states, logits
    words: Words  # text <-> token ids, the chat format
    narration_prompt: str = 'Describe what is happening now, and what has changed in the last {seconds} seconds.'
    frame_counts: tuple[int, ...] = ()  # values of {frames} it was trained on, ascending; (): any
    narration_certainty: float = 0.0  # clauses of less probability are better not told
    event: str = ''  # pattern of a clause that one narration tells, the next not
    demo_questions: tuple[str, ...] = ('What is in the picture?', 'What is moving?', 'What has changed?')
    notes: str = ''  # what a user should know of this model
    weights: object = field(default=None, repr=False)  # the transformers model, for comparisons

    def ask_narration(self, prompt: str, frames: int, seconds: int) -> str:
        """The question that asks what has happened in the last `frames` frames, or `seconds` seconds.

        prompt: the user's own, or '' for `narration_prompt`; {frames} and {seconds} are filled in. In its own prompt a
        model that was trained on certain counts of frames is asked about the next larger of them. Up to an eighth of
        the frames, the oldest, may be left out: at 17 frames, 32 would tell everything twice.
        """
        if not prompt:
            prompt = self.narration_prompt
            enough = frames - frames // 8
            frames = next((n for n in self.frame_counts if n >= enough), max(self.frame_counts, default=frames))
        return prompt.replace('{frames}', str(frames)).replace('{seconds}', str(seconds))

    def least_certainty(self, wanted: float) -> float:
        """The probability below which a clause of a narration is not told: `wanted`, or its own choice if negative."""
        return self.narration_certainty if wanted < 0 else wanted

    @property
    def visual_tokens(self) -> int:
        """Visual tokens of a frame before pruning, n."""
        return self.token_grid[0] * self.token_grid[1]

    @property
    def device(self) -> torch.device:
        return self.newline.device

    @property
    def dtype(self) -> torch.dtype:
        return self.newline.dtype
