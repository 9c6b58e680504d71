"""What a memory is to the stream and to answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from stc_ros.models.decoder import Decoder


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a memory may hold; prefill_batch: how many tokens may wait to be prefilled in one pass."""

    tokens: int
    bytes: int
    dtype: torch.dtype
    prefill_batch: int = 0


class Context(Protocol):
    """What one answer knows: the memory as it was when the question came, and the question."""

    hidden: torch.Tensor  # [1, t, D], hidden states of what was asked

    def run(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Append `embeddings` [1, t, D] behind all that is known -> hidden states [1, t, D]."""


class Memory(Protocol):
    """What the language model keeps of one stream. Whether keys are stored rotated or not is its own business."""

    reserve: int  # positions for a question and its answer
    capacity: int  # visual tokens at most
    frames: Sequence[Any]  # kept, one entry for each stamp, the oldest first, each with its `stamp` in ns

    def add(self, embeddings: torch.Tensor, offsets: torch.Tensor, num_positions: int, stamp: int) -> None:
        """Keep one frame.

        embeddings [1, b, D] in raster order; offsets [b] ascending, or [axes, b], each token's position inside the
        frame, which takes `num_positions` positions; stamp in ns.
        """

    def advance(self, num_positions: int, stamp: int) -> None:
        """A frame without tokens: its time has passed."""

    def prefill(self) -> object:
        """Run what waits through the language model."""

    def open(self, asked: torch.Tensor, newest: torch.Tensor | None = None) -> Context:
        """What is known now, for one answer; the memory goes on.

        asked: the question, [1, t, D]. newest: all visual tokens of the newest frame, [1, n, D], which are read in
        place of those that the memory keeps of it.
        """

    def read_tree(
        self, asked: torch.Tensor, parents: Sequence[int], newest: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Hidden states of several questions, each read as by `open`, all in one pass -> [1, t, D].

        asked: their tokens [1, t, D], where they begin alike but once. parents: the number of the token before each,
        -1 at a beginning.
        """

    def clear(self) -> None:
        """Forget every frame."""

    def first_stamp(self, otherwise: int) -> int:
        """Stamp of the oldest frame kept, in ns."""

    def waiting_since(self, otherwise: int) -> int:
        """Stamp of the oldest frame that waits for its prefill, in ns."""

    @property
    def tokens(self) -> int:
        """Visual tokens kept now, those that wait included."""

    @property
    def tokens_waiting(self) -> int:
        """Visual tokens that wait for their prefill."""

    @property
    def bytes(self) -> int:
        """Bytes held."""


class MemoryMethod(Protocol):
    """What registers as a memory: its parameters, from which it makes one for each stream."""

    def create(self, decoder: Decoder, prefix: list[int], limits: Limits) -> Memory:
        """A memory behind the tokens `prefix` of the prompt. Raises `ValueError` when the limits hold nothing."""
