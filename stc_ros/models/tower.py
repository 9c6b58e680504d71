"""A pre-LN vision transformer whose blocks we run ourselves, so that a cacher can leave tokens out.

SigLIP and CLIP share the names of their layers' parts; both are taken from transformers unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from stc_ros.models.compiled import Compiler
from stc_ros.models.decoder import rotate


@dataclass(slots=True)
class Block:
    """One encoder layer's parts. `x + attention(norm1 x)`, then `x + mlp(norm2 x)`.

    Keys are rotated where they are attended to and nowhere else: how they move from frame to frame, and how alike they
    are, would else hang on where they stand.
    """

    norm1: nn.Module
    q: nn.Module
    k: nn.Module
    v: nn.Module
    out: nn.Linear
    norm2: nn.Module
    mlp: nn.Module
    heads: int
    turn: tuple[torch.Tensor, torch.Tensor] | None = None  # float32 [T, head]: cosines and sines of each token's place
    window: torch.Tensor | None = None  # int64 [T]: each token attends to those of its own window only

    @classmethod
    def of(cls, layer: nn.Module) -> Block:
        """From a transformers SigLIP or CLIP encoder layer."""
        a = layer.self_attn
        return cls(
            layer.layer_norm1, a.q_proj, a.k_proj, a.v_proj, a.out_proj, layer.layer_norm2, layer.mlp, a.num_heads
        )

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rows: torch.Tensor | None = None
    ) -> torch.Tensor:
        """query [F, k, d], key and value [F, T, d] -> what the attention adds to the residual, [F, k, d].

        rows: which of the T tokens the queries are of, [k] or [F, k]; None: all.
        """
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (query, key, value))
        q, k, mask = self.turned(q, rows), self.turned(k), None
        if self.window is not None:
            mine = self.window if rows is None else self.window[rows]
            mask = (mine[..., None] == self.window).unsqueeze(-3)  # [(F,) 1, k, T]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # [F, heads, k, d / heads]
        return self.out(mixed.transpose(1, 2).flatten(2))

    def turned(self, x: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Queries or keys [.., heads, k, head] of `rows` (see `attend`), rotated, where this tower rotates."""
        if self.turn is None:
            return x
        cos, sin = self.turn if rows is None else (t[rows].unsqueeze(-3) for t in self.turn)
        return rotate(x, cos, sin)


class Scaled(nn.Module):
    """A layer whose output is scaled channel by channel (layer scale, arXiv 2103.17239)."""

    def __init__(self, inner: nn.Module, scale: torch.Tensor):
        super().__init__()
        self.inner, self.scale = inner, scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) * self.scale


@dataclass(slots=True)
class Tower:
    """Patch embedding, blocks, and what the language model is shown of the last block's output."""

    embeddings: nn.Module
    before: nn.Module | None  # CLIP normalises before its first block
    blocks: list[Block]
    grid: tuple[int, int]  # rows, cols of the patches
    class_tokens: int = 0  # leading tokens that are no patch; a cacher always recomputes them
    drop_class_token: bool = False  # vision_feature_select_strategy "default"
    compiler: Compiler | None = None  # runs the blocks' functions, when they are to be compiled
    after: nn.Module | None = None  # DINOv2's features are those behind its last norm
    pooled: torch.Tensor | None = None  # float32 [n, P], on the CPU: 1 for a visual token's good parts
    taps: tuple[int, ...] = ()  # numbers of blocks whose outputs are read, too, ascending (deepstack, arXiv 2406.04334)

    @property
    def width(self) -> int:
        """d, of a token between two blocks."""
        return int(self.blocks[0].v.in_features)

    @property
    def tokens(self) -> int:
        return self.class_tokens + self.grid[0] * self.grid[1]

    def runs(self, function: Callable) -> Callable:
        """What to call for `function`, which computes one block: itself, or a compiled one."""
        return function if self.compiler is None else self.compiler.of(function)

    def read(self, taken: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """Outputs [.., d] of the blocks `taps`, and of the last -> features [.., D], D = (1 + taps) * d."""
        return torch.cat((*taken, x), -1) if taken else x

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """[F, 3, h, w] -> [F, T, d]."""
        x = self.embeddings(pixels)
        return x if self.before is None else self.before(x)

    def finish(self, x: torch.Tensor) -> torch.Tensor:
        """[F, T, d] -> [F, T', d]: hidden_states[-1] as LLaVA-OneVision takes it, and behind the norm `after`."""
        x = x[:, self.class_tokens :] if self.drop_class_token else x
        return x if self.after is None else self.after(x)


def build_tower(vision: nn.Module, feature_layer: int, select: str) -> Tower:
    """A `Tower` from a transformers SigLIP or CLIP vision model.

    `feature_layer` is the index into hidden_states (negative), `select` "full" or "default". Raises `ValueError` for a
    layer that is not one of the tower's.
    """
    body = getattr(vision, 'vision_model', vision)  # transformers 4 nested it
    config = vision.config
    count = len(body.encoder.layers)
    used = count + 1 + feature_layer if feature_layer < 0 else feature_layer
    if not 0 < used <= count:
        raise ValueError(f'vision_feature_layer {feature_layer} of a tower with {count} layers')
    side = config.image_size // config.patch_size
    blocks = [Block.of(layer) for layer in body.encoder.layers[:used]]
    return Tower(
        body.embeddings,
        getattr(body, 'pre_layrnorm', None),
        blocks,
        (side, side),
        class_tokens=int(hasattr(body.embeddings, 'class_embedding')),
        drop_class_token=select == 'default',
    )
