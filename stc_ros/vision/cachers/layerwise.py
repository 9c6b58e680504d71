"""Cachers that choose anew in every layer, by keys: what `stc` and `threshold` share.

Source: "Accelerating Streaming Video Large Language Models via Hierarchical Token Compression", arXiv 2512.00891,
§3.3. In every layer the keys are computed for all tokens and compared with the reference's. The tokens chosen get
fresh queries, values, attention and MLP; the others take these from the reference, while the residual stream is
always the present frame's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields

import torch

from stc_ros.models.tower import Block, Tower
from stc_ros.parameter_spec import param
from stc_ros.vision.cachers.base import Embed, Encoded

Choose = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # keys [F, T, d], reference's [T, d] -> bool [F, T]


@dataclass(slots=True)
class Reference:
    """One layer's keys, values, attention and MLP outputs of the last refreshed frame, each [T, d]."""

    key: torch.Tensor
    value: torch.Tensor
    attention: torch.Tensor
    mlp: torch.Tensor


@dataclass(slots=True)
class LayerwiseState:
    """What such a cacher remembers of one stream. A new value forgets everything."""

    references: list[Reference] = field(default_factory=list)
    frames_since_refresh: int = 0
    entry: torch.Tensor | None = None  # [F, T, d]: what went into the last block in the newest call

    def fits(self, x: torch.Tensor) -> bool:
        """Whether the references are of the kind of `x` [F, T, d]."""
        if not self.references:
            return False
        key = self.references[0].key
        return key.shape == x.shape[1:] and key.dtype == x.dtype and key.device == x.device

    @property
    def bytes(self) -> int:
        held = [getattr(r, f.name) for r in self.references for f in fields(r)]
        held += [] if self.entry is None else [self.entry]
        return sum(int(tensor.nbytes) for tensor in held)


@dataclass
class LayerwiseCacher:
    """Refreshes everything every `cache_interval` frames, and in between what `choose` chooses in each layer."""

    plain = False
    similarity = math.nan
    cache_interval: int = param(
        4, 'Every how many frames all patches are recomputed; 1 is always.', unit='frames', low=1, high=64
    )
    state: LayerwiseState = field(default_factory=LayerwiseState, init=False)

    def choose(
        self, key: torch.Tensor, reference: torch.Tensor, cache_similarity: float, class_tokens: int = 0
    ) -> torch.Tensor:
        """Which tokens to recompute, bool [F, T], from keys [F, T, d] and the reference's keys [T, d]."""
        raise NotImplementedError

    def count(self, tokens: int, class_tokens: int) -> int | None:
        """How many of T `tokens` `choose` chooses in each frame; None: that depends on them."""
        return None

    def encode(
        self, tower: Tower, image: torch.Tensor, embed: Embed, cache_similarity: float, refresh: bool = False
    ) -> Encoded:
        def choose(key: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
            return self.choose(key, reference, cache_similarity, tower.class_tokens)

        x, recomputed = run_layers(tower, self.state, embed(), choose, self.cache_interval, refresh, self.count)
        assert self.state.entry is not None  # there is a layer
        return Encoded(x, self.state.entry, recomputed[0, tower.class_tokens :])

    def reset(self) -> None:
        self.state = LayerwiseState()

    @property
    def bytes(self) -> int:
        return self.state.bytes


def run_layers(
    tower: Tower,
    state: LayerwiseState,
    x: torch.Tensor,
    choose: Choose,
    cache_interval: int,
    refresh: bool = False,
    count: Callable[[int, int], int | None] = lambda tokens, class_tokens: None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the tower's blocks on embedded patches `x` [F, T, d], reusing what `state` holds, and update `state`.

    The F frames of a call share one reference and one mode: a refresh when `refresh` is asked, when there is no
    reference of this shape, dtype and device, or when `cache_interval` calls have passed since the last; else a
    selective pass. Returns the last block's output [F, T, d] and, as float32 [F, T], the share of the layers in which
    each token was recomputed. Before that output come those of the tower's `taps`.
    """
    taken: list[torch.Tensor] = []
    if refresh or state.frames_since_refresh >= cache_interval or not state.fits(x):
        state.frames_since_refresh = 1
        references, run = [], tower.runs(compute)
        for number, block in enumerate(tower.blocks):
            state.entry = x
            x, reference = run(block, x)
            references.append(reference)
            if number in tower.taps:
                taken.append(x)
        state.references = references
        return tower.read(taken, x), torch.ones(x.shape[:2], device=x.device)
    state.frames_since_refresh += 1
    recomputed, known = torch.zeros(x.shape[:2], device=x.device), count(x.shape[1], tower.class_tokens)
    for number, (block, reference) in enumerate(zip(tower.blocks, state.references)):
        state.entry = x
        x, chosen = compute_changed(block, x, reference, choose, known)
        recomputed += chosen
        if number in tower.taps:
            taken.append(x)
    return tower.read(taken, x), recomputed / len(tower.blocks)


def compute(block: Block, x: torch.Tensor) -> tuple[torch.Tensor, Reference]:
    """The plain layer on x [F, T, d] -> its output, and the last frame's reference (a copy of its own)."""
    h = block.norm1(x)
    key, value = block.k(h), block.v(h)
    attention = block.attend(block.q(h), key, value)
    x = x + attention
    mlp = block.mlp(block.norm2(x))
    return x + mlp, Reference(*(t[-1].clone() if len(x) > 1 else t[0] for t in (key, value, attention, mlp)))


def compute_changed(
    block: Block, x: torch.Tensor, reference: Reference, choose: Choose, count: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The layer on x [F, T, d], computed only for the tokens that `choose` chooses by their keys.

    count: how many that is in each frame, where it is known beforehand: else a GPU is asked, and waited for. Returns
    its output [F, T, d] and the tokens chosen, bool [F, T].
    """
    h = block.norm1(x)
    key = block.k(h)
    chosen = choose(key, reference.key)
    index, valid = rows_of(chosen, count)  # [F, k] each
    if index.shape[1] == 0:
        return x + reference.attention + reference.mlp, chosen
    frame = torch.arange(len(x), device=x.device)[:, None].expand_as(index)

    def flat(rows: torch.Tensor) -> torch.Tensor:
        return rows.flatten(0, 1) if valid is None else rows[valid]

    put = (flat(frame), flat(index))

    picked = h[frame, index]  # [F, k, d]
    value = reference.value.expand_as(x).clone()
    value[put] = flat(block.v(picked))
    middle = x + reference.attention
    middle[put] = x[put] + flat(block.attend(block.q(picked), key, value, index))
    out = middle + reference.mlp
    fresh = middle[put]
    out[put] = fresh + block.mlp(block.norm2(fresh))
    return out, chosen


def cosine(key: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Of keys [F, T, d] with the reference's [T, d], over all heads together, float32 [F, T]."""
    key, reference = key.float(), reference.float()
    length = torch.linalg.vector_norm(key, dim=-1) * torch.linalg.vector_norm(reference, dim=-1)
    dot: torch.Tensor = torch.linalg.vecdot(key, reference)
    return torch.div(dot, length.clamp(min=1e-8))


def rows_of(chosen: torch.Tensor, count: int | None = None) -> tuple[torch.Tensor, torch.Tensor | None]:
    """bool [F, T] -> indices of the chosen tokens [F, k], padded to the largest count, and which of them are real.

    count: how many are chosen in each row, where that is known; then all are real, which None stands for.
    """
    order = torch.argsort(chosen.int(), dim=1, descending=True, stable=True)
    if count is not None:
        return order[:, :count], None
    counts = chosen.sum(1)
    widest = int(counts.max())
    return order[:, :widest], torch.arange(widest, device=chosen.device) < counts[:, None]
