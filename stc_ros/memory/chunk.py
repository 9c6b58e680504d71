"""What goes into a window and out of it: frames that are kept, tokens that run through the model, what they give."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class FrameSpan:
    """A frame in the window: when it was, how many tokens it keeps, and how many positions it takes."""

    stamp: int
    tokens: int
    first: int  # number of its first token among all that were ever kept
    start: int  # position of its first token, counted from the beginning of the stream
    num_positions: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens on their way through the language model: a frame's, or a question's, which are not kept.

    They see the sinks as they stood, the kept tokens with numbers in [oldest, until), and themselves, causally; those
    of a `shared` chunk are seen by all chunks behind it. In the last chunk `sees`, bool [t, t], may say which of its
    own tokens each one sees.
    """

    embeddings: torch.Tensor  # [1, t, D]
    positions: torch.Tensor  # int64 [t] or [axes, t], on the CPU
    oldest: int
    until: int
    rope_offset: int  # how far the sinks have moved on
    stamp: int = 0  # ns
    shared: bool = False
    sees: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """What a pass gives of the chunks that are not kept."""

    hidden: torch.Tensor  # [1, t, D]
    keys: torch.Tensor  # [layers, 1, G, t, head], rotated
    values: torch.Tensor  # the same
