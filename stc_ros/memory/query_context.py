"""What one answer knows: a window as it was when the question came, and the question."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from stc_ros.models.attention import Piece
from stc_ros.models.decoder import rotate
from stc_ros.transfer import upload

if TYPE_CHECKING:
    from stc_ros.memory.window import Window


class QueryContext:
    """A copy of a window for one answer, with room for question and answer. The window goes on.

    asked: [1, t, D], read in one pass with what still waits in the window; `hidden` are its hidden states. newest: all
    visual tokens of the newest frame, [1, n, D], read in the same pass in place of those that the window keeps of it.
    """

    def __init__(self, window: Window, asked: torch.Tensor | None = None, newest: torch.Tensor | None = None):
        self.decoder = window.decoder
        newest_at, self.position, until = window.place(newest)
        self.moved = window.rope_offset  # how far `position` is ahead of the axes that rest
        parts, positions = [x for x in (newest, asked) if x is not None], newest_at
        if asked is not None:
            positions = torch.cat((newest_at, self.next_positions(asked.shape[1])), -1)
            self.position += asked.shape[1]
        read = window.prefill(*([window.question(torch.cat(parts, 1), positions, until)] if parts else []))
        layers, one, groups, _, head = window.keys.shape
        shape = layers, one, groups, window.sinks + window.tokens + window.reserve, head
        self.keys, self.values = window.keys.new_empty(shape), window.values.new_empty(shape)
        self.length = window.copy_to(self.keys, self.values, until)
        self.hidden = window.keys.new_empty(1, 0, 0)
        if read is not None:
            count = read.keys.shape[3]
            self._append(slice(None), read.keys, read.values)
            self.length += count
            self.hidden = read.hidden[:, count - (0 if asked is None else asked.shape[1]) :]

    def run(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Append `embeddings` [1, t, D] behind all that is known -> hidden states [1, t, D]."""
        count, length = embeddings.shape[1], self.length
        positions = upload(self.next_positions(count), embeddings.device)
        cos_sin = self.decoder.rotation(positions)

        def write(layer: int, keys: torch.Tensor, values: torch.Tensor) -> list[Piece]:
            self._append(layer, rotate(keys, *cos_sin), values)
            keys, values = (held[layer][:, :, : length + count] for held in (self.keys, self.values))
            if count == 1:
                return [Piece(keys, values)]
            causal = torch.ones(count, count, dtype=torch.bool, device=positions.device).tril()
            causal = self.decoder.mask(causal, keys.dtype)
            return [
                Piece(keys[:, :, :length], values[:, :, :length]),
                Piece(keys[:, :, length:], values[:, :, length:], causal),
            ]

        hidden = self.decoder.run(embeddings, positions, write)
        self.length += count
        self.position += count
        return hidden

    def next_positions(self, count: int) -> torch.Tensor:
        """Of what is appended next, int64 [count], or [axes, count], on the CPU."""
        return self.decoder.stand(torch.arange(count), self.position, self.moved)

    def _append(self, layer: int | slice, keys: torch.Tensor, values: torch.Tensor) -> None:
        behind = slice(self.length, self.length + keys.shape[-2])
        self.keys[layer][..., behind, :] = keys
        self.values[layer][..., behind, :] = values
