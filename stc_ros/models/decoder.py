"""Runs a transformers language model over keys that a memory of ours holds and rotates.

No forward is replaced. transformers lets an attention function be registered, lets a cache hand over any keys, and
passes extra arguments through to both; the model's own rotation is set to the identity, and ours happens here and in
the cache. Only differences of positions count, so a stream can run for ever while they stay inside the trained range
(idea: ReKV, arXiv 2503.00540; StreamingLLM, arXiv 2309.17453).
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, CacheLayerMixin

from stc_ros.models.attention import attend

ATTENTION = 'stc_stream'


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding in the half-split layout: x [..., T, head], cos and sin [T, head] -> [..., T, head]."""
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)


def attend_in_layer(module, query, pieces, _, attention_mask, scaling=None, *, rotation=None, **__):
    """Attention of `query` [1, H, t, head], rotated here, over the `Piece`s that a memory has returned as keys.

    Query heads that share a key head are laid behind each other as if they were more queries, so that keys are never
    repeated in memory; masks are laid so already (`Decoder.mask`).
    """
    query = rotate(query, *rotation)
    _, heads, t, size = query.shape
    groups = pieces[0].keys.shape[1]
    mixed = attend(query.reshape(1, groups, heads // groups * t, size), pieces, scaling)
    return mixed.view(1, heads, t, size).transpose(1, 2), None


AttentionInterface.register(ATTENTION, attend_in_layer)
AttentionMaskInterface.register(ATTENTION, lambda *_, **__: None)


class NoRotation(nn.Module):
    """Takes the place of a language model's rotary embedding: cosine 1, sine 0."""

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        one = x.new_ones(1, 1, 1)
        return one, torch.zeros_like(one)


class KeptLayer(CacheLayerMixin):
    """One layer's door to a memory: `write(layer, keys, values)` stores what is new, returns `Piece`s to attend to."""

    def __init__(self, layer: int, write):
        super().__init__()
        self.layer, self.write = layer, write

    def update(self, key_states, value_states, *_, **__):
        return self.write(self.layer, key_states, value_states), None

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
        self.weights = sum(part.in_features * part.out_features for part in body.layers.modules()
                           if hasattr(part, 'in_features'))             # that every pass reads
        self.embed_weight = body.get_input_embeddings()
        self.device = self.embed_weight.weight.device
        self.frequencies = body.rotary_emb.inv_freq.double()            # radians per position, [head / 2]
        self.scaling = getattr(body.rotary_emb, 'attention_scaling', 1.0)
        body.rotary_emb = NoRotation()
        body.set_attn_implementation(ATTENTION)

    @property
    def spare_tokens(self) -> int:
        """Tokens that a pass takes along for little more time, which goes into reading the weights and into calls.

        On a GPU about as many as it has operations for each byte that it reads (roofline, Williams et al. 2009); on a
        CPU, where that is a handful, as many as cost no more than 8 billion operations: a tenth of a core's second.
        """
        return 256 if self.device.type != 'cpu' else min(256, int(4e9 / self.weights))

    def embed(self, ids: list[int]) -> torch.Tensor:
        """Token ids -> [1, t, D]."""
        return self.embed_weight(torch.tensor([ids], device=self.device))

    def rotation(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Positions [t], however large -> cosines and sines, float32 [t, head]."""
        angles = (positions[:, None] * self.frequencies).repeat(1, 2)
        return (angles.cos() * self.scaling).float(), (angles.sin() * self.scaling).float()

    def mask(self, seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Which keys each token sees, bool [t, S] -> what is added to the scores, [H / G * t, S]: 0 or -infinity."""
        added = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)
        return added.repeat(self.body.config.num_attention_heads // self.key_heads, 1)

    def run(self, embeddings: torch.Tensor, positions: torch.Tensor, write) -> torch.Tensor:
        """Run `embeddings` [1, t, D] at `positions` [t] over the memory behind `write` -> hidden states [1, t, D].

        write(layer, keys, values): given the new tokens' keys, not yet rotated, and values, [1, G, t, head] each;
        returns the `Piece`s to attend to, the new ones among them.
        """
        cache = Cache(layers=[KeptLayer(i, write) for i in range(self.layers)])
        kinds = set(getattr(self.body.config, 'layer_types', None) or ['full_attention'])
        out = self.body(inputs_embeds=embeddings, position_ids=positions[None], past_key_values=cache, use_cache=True,
                        attention_mask=dict.fromkeys(kinds), rotation=self.rotation(positions))
        return out.last_hidden_state

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states [.., D] -> logits [.., V]."""
        return self.head(hidden)
