"""Runs a transformers language model over keys that a memory of ours holds and rotates.

No forward is replaced. transformers lets an attention function be registered, lets a cache hand over any keys, and
passes extra arguments through to both; the model's own rotation is set to the identity, and ours happens here and in
the cache. Only differences of positions count, so a stream can run for ever while they stay inside the trained range
(idea: ReKV, arXiv 2503.00540; StreamingLLM, arXiv 2309.17453).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, CacheLayerMixin

ATTENTION = 'stc_stream'


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding in the half-split layout: x [..., T, head], cos and sin [T, head] -> [..., T, head]."""
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)


def attend(module, query, key, value, attention_mask, scaling=None, *, rotation=None, mask=None, **_):
    """Attention of `query` [1, H, t, head], rotated here, over rotated `key` and `value` [1, G, S, head].

    Query heads that share a key head are laid behind each other as if they were more queries, so that keys are never
    repeated in memory; `mask` [H / G * t, S], which is added, is laid so already. None: every key may be seen.
    """
    query = rotate(query, *rotation)
    _, heads, t, size = query.shape
    groups = key.shape[1]
    query = query.reshape(1, groups, heads // groups * t, size)
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
    return mixed.view(1, heads, t, size).transpose(1, 2), None


AttentionInterface.register(ATTENTION, attend)
AttentionMaskInterface.register(ATTENTION, lambda *_, **__: None)


class NoRotation(nn.Module):
    """Takes the place of a language model's rotary embedding: cosine 1, sine 0."""

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        one = x.new_ones(1, 1, 1)
        return one, torch.zeros_like(one)


class KeptLayer(CacheLayerMixin):
    """One layer's door to a memory: `write(layer, keys, values)` stores what is new and returns all to attend to."""

    def __init__(self, layer: int, write):
        super().__init__()
        self.layer, self.write = layer, write

    def update(self, key_states, value_states, *_, **__):
        return self.write(self.layer, key_states, value_states)

    def lazy_initialization(self, key_states, value_states=None):
        pass

    def get_mask_sizes(self, query_length):
        return 0, 0

    def get_seq_length(self, *_):
        return 0

    def get_max_length(self):
        return -1

    get_max_cache_shape = get_max_length    # its name before transformers 5.20


class Decoder:
    """A causal language model and its head.

    `body` is the transformers model without head (it is changed: its rotation moves out), `head` maps hidden states
    [.., D] to logits [.., V]. `max_positions` is the range in which it was trained.
    """

    def __init__(self, body: nn.Module, head: nn.Module):
        config = body.config
        self.body, self.head = body, head
        self.layers = config.num_hidden_layers
        self.key_heads = config.num_key_value_heads
        self.head_size = getattr(config, 'head_dim', None) or config.hidden_size // config.num_attention_heads
        self.max_positions = config.max_position_embeddings
        self.embed_weight = body.get_input_embeddings()
        self.device = self.embed_weight.weight.device
        self.frequencies = body.rotary_emb.inv_freq.double()            # radians per position, [head / 2]
        self.scaling = getattr(body.rotary_emb, 'attention_scaling', 1.0)
        body.rotary_emb = NoRotation()
        body.set_attn_implementation(ATTENTION)

    def embed(self, ids: list[int]) -> torch.Tensor:
        """Token ids -> [1, t, D]."""
        return self.embed_weight(torch.tensor([ids], device=self.device))

    def rotation(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Positions [t], however large -> cosines and sines, float32 [t, head]."""
        angles = (positions[:, None] * self.frequencies).repeat(1, 2)
        return (angles.cos() * self.scaling).float(), (angles.sin() * self.scaling).float()

    def run(self, embeddings: torch.Tensor, positions: torch.Tensor, write, mask: torch.Tensor | None) -> torch.Tensor:
        """Run `embeddings` [1, t, D] at `positions` [t] over the memory behind `write` -> hidden states [1, t, D].

        `mask` is bool [t, S], which keys each may see, or None for all.
        """
        if mask is not None:        # once, in the form in which every layer's attention wants it
            mask = torch.zeros(mask.shape, dtype=embeddings.dtype, device=mask.device).masked_fill_(~mask, -torch.inf)
            mask = mask.repeat(self.body.config.num_attention_heads // self.key_heads, 1)
        cache = Cache(layers=[KeptLayer(i, write) for i in range(self.layers)])
        kinds = set(getattr(self.body.config, 'layer_types', None) or ['full_attention'])
        out = self.body(inputs_embeds=embeddings, position_ids=positions[None], past_key_values=cache, use_cache=True,
                        attention_mask=dict.fromkeys(kinds), rotation=self.rotation(positions), mask=mask)
        return out.last_hidden_state

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states [.., D] -> logits [.., V]."""
        return self.head(hidden)
