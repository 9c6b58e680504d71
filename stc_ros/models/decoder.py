"""Runs a language model of Qwen2's kind (Qwen3, Llama), layer by layer, over keys and values that our memory holds.

The layers are transformers' own modules, or others of the same names; the loop over them, attention and rotation are
ours. Only differences of positions count, so a stream can run for ever while they stay inside the trained range (idea:
ReKV, arXiv 2503.00540; StreamingLLM, arXiv 2309.17453).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from stc_ros.models.attention import Piece, attend
from stc_ros.models.places import Places
from stc_ros.transfer import upload

Write = Callable[[int, torch.Tensor, torch.Tensor], list[Piece]]
Hook = Callable[[int, torch.Tensor], None]


class ModelFailure(RuntimeError):
    """The model computed something that is no number."""


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding in the half-split layout: x [..., T, head], cos and sin [T, head] -> [..., T, head]."""
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)


@dataclass(slots=True)
class Layer:
    """One layer's parts: x + attention(norm1 x), then x + down(silu(gate) * up) of norm2 x."""

    norm1: nn.Module
    q: nn.Module
    k: nn.Module
    v: nn.Module
    out: nn.Module
    norm2: nn.Module
    gate: nn.Module
    up: nn.Module
    down: nn.Module
    q_norm: nn.Module | None = None  # of each head, as Qwen3 has them
    k_norm: nn.Module | None = None

    @classmethod
    def of(cls, layer: nn.Module) -> Layer:
        """From a transformers Qwen2, Qwen3 or Llama layer."""
        a, mlp = layer.self_attn, layer.mlp
        return cls(
            layer.input_layernorm,
            a.q_proj,
            a.k_proj,
            a.v_proj,
            a.o_proj,
            layer.post_attention_layernorm,
            mlp.gate_proj,
            mlp.up_proj,
            mlp.down_proj,
            getattr(a, 'q_norm', None),
            getattr(a, 'k_norm', None),
        )

    @property
    def weights(self) -> int:
        """In its matrices."""
        linears = (self.q, self.k, self.v, self.out, self.gate, self.up, self.down)
        return sum(linear.in_features * linear.out_features for linear in linears)


class Decoder:
    """A causal language model and its head.

    `body` is a Qwen2 model without head (layers, norm, embed_tokens, rotary_emb, config), `head` maps hidden states
    [.., D] to logits [.., V]. `max_positions` is the range in which it was trained. `places`: where a frame's tokens
    stand on several axes. `added`: to how many layers' outputs something is added at visual tokens (deepstack, arXiv
    2406.04334); embeddings are then [.., (1 + added) * D], what is added behind what is read.
    """

    def __init__(self, body: Any, head: nn.Module):
        config = body.config
        self.blocks, self.norm, self.head = [Layer.of(layer) for layer in body.layers], body.norm, head
        self.layers = len(self.blocks)
        self.heads: int = config.num_attention_heads
        self.key_heads: int = config.num_key_value_heads
        self.head_size: int = getattr(config, 'head_dim', None) or config.hidden_size // config.num_attention_heads
        self.max_positions: int = config.max_position_embeddings
        self.weights = sum(layer.weights for layer in self.blocks)  # that every pass reads
        self.embed_weight = body.embed_tokens
        self.device: torch.device = self.embed_weight.weight.device
        self.frequencies = body.rotary_emb.inv_freq.double().to(self.device)  # radians per position, [head / 2]
        self.scaling = getattr(body.rotary_emb, 'attention_scaling', 1.0)
        rope = getattr(config, 'rope_parameters', None) or getattr(config, 'rope_scaling', None) or {}
        rope = rope if isinstance(rope, dict) else vars(rope)
        sections = torch.tensor(rope.get('mrope_section') or [len(self.frequencies)])  # frequencies of each axis
        self.axis_of = torch.arange(len(sections)).repeat_interleave(sections).to(self.device)  # int64 [head / 2]
        self.places: Places | None = None
        self.added = 0

    @property
    def spare_tokens(self) -> int:
        """Tokens that a pass takes along for little more time, which goes into reading the weights and into calls.

        On a GPU about as many as it has operations for each byte that it reads (roofline, Williams et al. 2009); on a
        CPU, where that is a handful, as many as cost no more than 8 billion operations: a tenth of a core's second.
        """
        return 256 if self.device.type != 'cpu' else min(256, int(4e9 / self.weights))

    def embed(self, ids: list[int]) -> torch.Tensor:
        """Token ids -> [1, t, D]; nothing is added to them in the layers."""
        x = self.embed_weight(upload(torch.tensor([ids]), self.device))
        return F.pad(x, (0, self.added * x.shape[-1])) if self.added else x

    def stand(self, offsets: torch.Tensor, position: int, moved: int | torch.Tensor) -> torch.Tensor:
        """Positions of tokens at `offsets`, [t] or [axes, t], from `position` on -> [t], or [axes, t] with `places`.

        moved: how far `position` is ahead of those axes that do not move on with frames. All of it on the CPU.
        """
        if self.places is None:
            return position + offsets
        return position + offsets.expand(len(self.places.resting), -1) - moved * self.places.resting

    def rotation(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Positions [t], however large, or [axes, t] -> cosines and sines, float32 [t, head].

        Of several axes each turns the frequencies that `axis_of` gives it (M-RoPE: Qwen2-VL, arXiv 2409.12191, §2.1).
        """
        if positions.ndim == 1:
            angles = (positions[:, None] * self.frequencies).repeat(1, 2)
        else:
            angles = (positions[self.axis_of].T * self.frequencies).repeat(1, 2)
        return (angles.cos() * self.scaling).float(), (angles.sin() * self.scaling).float()

    def mask(self, seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Which keys each token sees, bool [t, S] -> what is added to the scores, [H / G * t, S]: 0 or -infinity."""
        added = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)
        return added.repeat(self.heads // self.key_heads, 1)

    def run(self, x: torch.Tensor, positions: torch.Tensor, write: Write, hooks: Sequence[Hook] = ()) -> torch.Tensor:
        """Run embeddings x [1, t, (1 + added) * D] at `positions`, [t] or [axes, t] -> hidden states [1, t, D].

        write(layer, keys, values): given the new tokens' keys, not yet rotated, and values, [1, G, t, head] each;
        returns the `Piece`s to attend to, the new ones among them. What is causal is its business, and goes by the
        sequence of tokens: on several axes a later one may have a smaller position. hooks: each is called with the
        number of a layer and its output [1, t, D].
        """
        cos_sin = self.rotation(positions)
        x, *added = x.chunk(1 + self.added, -1)
        for number, layer in enumerate(self.blocks):
            h = normed(x, layer.norm1)
            query, keys, values = (
                part(h).unflatten(-1, (-1, self.head_size)).transpose(1, 2) for part in (layer.q, layer.k, layer.v)
            )  # [1, H or G, t, head]
            query = query if layer.q_norm is None else normed(query, layer.q_norm)
            keys = keys if layer.k_norm is None else normed(keys, layer.k_norm)
            x = x + layer.out(self.attend(rotate(query, *cos_sin), write(number, keys, values)))
            h = normed(x, layer.norm2)
            x = x + layer.down(F.silu(layer.gate(h)) * layer.up(h))
            x = x + added[number] if number < self.added else x
            for hook in hooks:
                hook(number, x)
        return normed(x, self.norm)

    def attend(self, query: torch.Tensor, pieces: list[Piece]) -> torch.Tensor:
        """Attention of rotated queries [1, H, t, head] over `pieces` -> [1, t, H * head].

        Query heads that share a key head are laid behind each other as if they were more queries, so that keys are
        never repeated in memory; masks are laid so already.
        """
        folded = query.reshape(1, self.key_heads, -1, self.head_size)  # [1, G, H / G * t, head]
        return attend(folded, pieces, self.head_size**-0.5).reshape(query.shape).transpose(1, 2).flatten(2)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states [.., D] -> logits [.., V]."""
        return self.head(hidden)


def normed(x: torch.Tensor, norm: nn.Module) -> torch.Tensor:
    """Root mean square norm over the last dimension."""
    return F.rms_norm(x, x.shape[-1:], norm.weight, norm.variance_epsilon)
