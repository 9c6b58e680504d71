"""The vision transformer on some of its rows, over cached keys and values of the others, which follow samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from stc_ros.models.tower import Block, Tower
from stc_ros.transfer import upload
from stc_ros.vision.cachers.drift import ENOUGH, FEWEST, Samples, follow, weigh

SampleFeatures = tuple[
    torch.Tensor, torch.Tensor, torch.Tensor
]  # of samples: what they were, were foretold, are; [s, d] each


@dataclass(slots=True)
class LayerCache:
    """What is held of a frame's way through the tower; T counts the class tokens."""

    held: torch.Tensor  # [layers, T, 2 d]: keys and values
    entry: torch.Tensor  # [1, T, d]: the last block's input
    features: torch.Tensor  # [1, T, D]: the last block's output, and before it those of the tower's `taps`

    @property
    def bytes(self) -> int:
        return self.held.nbytes + self.entry.nbytes + self.features.nbytes


def compute_all(tower: Tower, x: torch.Tensor) -> LayerCache:
    """The plain tower on x [1, T, d], every key and value kept."""
    held, taken, run = [], [], tower.runs(run_block)
    for number, block in enumerate(tower.blocks):
        entry = x
        x, both = run(block, x, None, None, None)
        held.append(both)
        if number in tower.taps:
            taken.append(x)
    return LayerCache(torch.stack(held), entry, tower.read(taken, x))


def compute_rows(
    tower: Tower, state: LayerCache, x: torch.Tensor, patches: torch.Tensor, sampled: torch.Tensor | None = None
) -> SampleFeatures | None:
    """The tower on patches [k], on the CPU (and the class tokens) of x [1, T, d]; results are written into `state`.

    sampled: bool [k], those among them that did not change: all that is not computed follows their drift. Returns what
    they were, what they would be had they only followed the others, and what they are: three [s, d], by the last
    block's output; None when they are too few to tell anything.
    """
    first, samples = tower.class_tokens, None
    rows = upload(torch.cat((torch.arange(first), patches + first)), x.device)
    at = None if sampled is None else sampled.nonzero()[:, 0]
    if at is not None and len(at) >= FEWEST:
        at = upload(at[:: -(-len(at) // ENOUGH)] + first, x.device)  # to follow more costs more than it tells
        samples = weigh(state.features[0], tower.grid, first, rows, at)
    x, run, taken = x[:, rows], tower.runs(run_block), []
    for number, (block, held) in enumerate(zip(tower.blocks, state.held)):
        entry = x
        x, _ = run(block, x, held, rows, samples)
        if number in tower.taps:
            taken.append(x)
    x, found = tower.read(taken, x), None
    if samples is not None:
        were = state.features[0, samples.rows]
        follow(state.entry[0], entry[0], samples)
        parts = 1 + len(tower.taps)
        found = were, follow(state.features[0], x[0], samples, parts), x[0, samples.at]
    state.entry.index_copy_(1, rows, entry)
    state.features.index_copy_(1, rows, x)
    return found


def run_block(
    block: Block, x: torch.Tensor, held: torch.Tensor | None, rows: torch.Tensor | None, samples: Samples | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """A layer on x [1, k, d] over `held` keys and values [T, 2 d], whose `rows` [k] it overwrites.

    Without them, over x itself. With `samples` the other rows follow first. Returns the output [1, k, d] and `held`.
    """
    h = block.norm1(x)
    fresh = torch.cat((block.k(h)[0], block.v(h)[0]), -1)
    if held is None or rows is None:
        held = fresh
    else:
        if samples is not None:
            follow(held, fresh, samples, parts=2)
        held.index_copy_(0, rows, fresh)
    keys, values = held[None].chunk(2, -1)
    x = x + block.attend(block.q(h), keys, values, rows)
    return x + block.mlp(block.norm2(x)), held
