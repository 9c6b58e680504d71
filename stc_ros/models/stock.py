"""transformers' own forward of a loaded model, with which the self-test compares ours."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class StockForward:
    """A frame between ids, run by somebody else's code.

    weights: a transformers model. token: the id that stands for a visual token. tokens: how many of them a frame has
    (LLaVA-OneVision: its newline, too). name: under which it takes pixels. batched: whether [batch, frames, 3, h, w].
    """

    weights: torch.nn.Module
    token: int
    tokens: int
    name: str = 'pixel_values'
    batched: bool = False

    def __call__(self, pixels: torch.Tensor, before: list[int], behind: list[int], keep: int) -> torch.Tensor:
        """pixels [1, 3, h, w] -> logits [keep, V] of the last ids."""
        ids = torch.tensor([[*before, *[self.token] * self.tokens, *behind]], device=pixels.device)
        shown = {self.name: pixels[None] if self.batched else pixels}
        run = self.weights(
            input_ids=ids, attention_mask=torch.ones_like(ids), logits_to_keep=keep, use_cache=False, **shown
        )
        return run.logits[0]
