"""What a model family offers to the stream, and nothing about how a stream uses it.

A `VideoModel` is a value: weights and functions, no state of any camera. Two streams may share one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from stc_ros.models.chat_template import ChatTemplate
from stc_ros.models.decoder import Decoder
from stc_ros.models.frame_text import FrameText
from stc_ros.models.narration_style import NarrationStyle
from stc_ros.models.pixels import Pixels
from stc_ros.models.tower import Tower

# (pixels [1, 3, h, w], ids before the frame's visual tokens, ids behind them, t) -> logits of the last t, [t, V]
Reference = Callable[[torch.Tensor, list[int], list[int], int], torch.Tensor]


class ModelError(RuntimeError):
    """A model cannot be loaded or does not work. The message names the cause and the remedy."""


@dataclass(slots=True)
class VideoModel:
    """Parts of a streaming video language model, in the order in which a frame passes through them."""

    name: str
    pixels: Pixels  # uint8 [H, W, 3] -> float [1, 3, h, w]
    tower: Tower  # [F, 3, h, w] -> patches [F, T, d] -> features [F, T, d]
    project_in: Callable[[torch.Tensor], torch.Tensor]  # features [F, T, d] -> visual tokens [F, n, D'], all but the
    project_out: Callable[[torch.Tensor], torch.Tensor]  # [.., D'] -> [.., D], projector's last layer, which is affine
    pool: Callable[[torch.Tensor], torch.Tensor]  # values of patches [F, P, c] -> of visual tokens [F, n, c], averages
    token_grid: tuple[int, int]  # rows, cols of the n visual tokens
    newline: torch.Tensor  # [0 or 1, D], stands between the last frame and the question
    decoder: Decoder  # embeddings [1, t, D] -> hidden states, logits
    chat: ChatTemplate  # text <-> token ids, the chat format
    project: Callable[[torch.Tensor], torch.Tensor] | None = None  # features -> tokens, in transformers' own order
    frame_text: FrameText = field(default_factory=FrameText)  # around each frame's visual tokens
    narration: NarrationStyle = field(default_factory=NarrationStyle)
    notes: str = ''  # what a user should know of this model
    reference: Reference | None = None  # what the model computes by somebody else's code, for the self-test
    weights: object = field(default=None, repr=False)  # the transformers model, for comparisons
    quantised: str = ''  # to what its weights were rounded after loading

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
