"""The compact cacher: a frame costs what has changed in it, and what it takes to keep the rest as it would be.

Changed patches are chosen once per frame, from the pixels, each against the picture at its own last recompute. All
blocks then run on those patches alone, over the cached keys and values of the others, so the cost is k / T of the plain
tower in every part of it, where the paper's cacher (arXiv 2512.00891, §3.3) computes dense keys in every layer and
dense frames every N. What did not change follows the drift of a few samples (`drift.py`), which also tell how large the
error of all that is reused is; a closed loop keeps that under the bound 1 - `cache_similarity` (`bound.py`).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from stc_ros.compression.bound import Bound
from stc_ros.compression.drift import ENOUGH, FEWEST, follow, weigh
from stc_ros.models.tower import Block, Tower
from stc_ros.settings import Settings

SETTLE = 2  # quiet frames that are looked at before others are skipped: rest, too, has to be seen
LEAST = 0.1  # share of the patches that a frame with any change recomputes: what has not changed are samples
MOST = 0.6  # share of the patches that are recomputed at most while the error is within its bound, but for
MUCH = 0.3  # those that differ by more than this
WHOLE = 0.7  # share of the patches from which a whole frame is hardly dearer, and exact
FULL_SCALE = 64.0  # root mean square difference of a patch, in grey levels, that counts as similarity 0


@dataclass(slots=True)
class CompactState:
    """What the cacher keeps of one stream; T counts the class tokens, P only the patches."""

    image: torch.Tensor  # uint8 [1, 3, h, w]: every patch as it was at its last recompute
    held: torch.Tensor  # [layers, T, 2 d]: keys and values
    entry: torch.Tensor  # [1, T, d]: the last block's input
    features: torch.Tensor  # [1, T, d]: the last block's output
    order: torch.Tensor  # int64 [P]: patches in the order in which they are samples, any stretch spread evenly
    bound: Bound = field(default_factory=Bound)
    similarity: float = 1.0  # of what the newest frame reused to what it would be, mean over patches, as estimated
    next_sample: int = 0  # place in `order`
    skipped: int = 0  # frames in a row that were skipped
    quiet: int = 0  # frames in a row that showed nothing new, skipped or not

    def fits(self, tower: Tower, image: torch.Tensor) -> bool:
        """Whether this state is of such pictures and of that tower."""
        return (
            self.image.shape == image.shape
            and self.image.device == image.device
            and self.features.shape[1] == tower.tokens
        )


def similarity(image: torch.Tensor, last: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """How alike the patches of two uint8 pictures [1, 3, h, w] are, float32 [P] in [0, 1].

    1 - (root mean square difference) / 64 grey levels: 1 is the same to the last bit, 0.85 differs by ten levels.
    """
    height, width = image.shape[2] // grid[0], image.shape[3] // grid[1]
    cut = (image[..., : grid[0] * height, : grid[1] * width], last[..., : grid[0] * height, : grid[1] * width])
    square = (cut[0].float() - cut[1].float()).square().mean(1, keepdim=True)
    return (1 - F.avg_pool2d(square, (height, width)).flatten().sqrt() / FULL_SCALE).clamp(min=0)


def encode_compact(
    tower: Tower, state: CompactState | None, image: torch.Tensor, embed, settings: Settings, refresh: bool = False
):
    """See one picture, uint8 [1, 3, h, w] -> (state, patches recomputed bool [P]).

    embed: gives the embedded tokens [1, T, d] of the picture; not called when nothing is recomputed. The features are
    in `state.features`, which the next call overwrites. `refresh` recomputes everything.
    """
    patches = tower.grid[0] * tower.grid[1]
    none = torch.zeros(patches, dtype=torch.bool, device=image.device)
    if state is None or not state.fits(tower, image):
        return compute_all(tower, image, embed()), ~none
    allowed = 1 - settings.cache_similarity
    alike = similarity(image, state.image, tower.grid)
    changed = pooled_with(choose_changed(alike, state.bound, allowed), tower)
    count = int(changed.sum())
    state.quiet = 0 if count else state.quiet + 1
    if not refresh and skips(state.quiet, state.skipped, settings):
        state.skipped += 1
        return state, none
    state.skipped = 0
    least = LEAST * patches if count else 0
    wanted = max(2 * FEWEST, math.ceil(state.bound.sampled * patches))  # never blind, however small the picture
    computed = bucket(max(count + wanted, math.ceil(least)), patches)
    exact = allowed == 0 and count > 0
    due = allowed > 0 and state.bound.whole_due(allowed, resting=state.quiet > SETTLE)
    if refresh or exact or due or computed >= WHOLE * patches:
        return _renew_all(tower, state, image, embed, changed, 0 if refresh else allowed), ~none
    sampled = take_samples(state, changed, computed - count)
    _renew(tower, state, image, embed, changed | sampled, sampled, allowed)
    return state, changed | sampled


def choose_changed(alike: torch.Tensor, bound: Bound, allowed: float) -> torch.Tensor:
    """Which patches have changed, bool [P], by their likeness to what was last computed of them, float32 [P].

    Where no error is `allowed`: all that differ at all.
    """
    if allowed == 0:
        return alike < 1
    differs = 1 - alike
    noise = float(differs.kthvalue(max(1, len(alike) // 4)).values)
    changed = differs > bound.change(noise)
    most = int(MOST * len(alike))
    if bound.effort <= 1 and int(changed.sum()) > most:
        changed &= differs >= min(MUCH, float(differs.topk(most).values[-1]))
    return changed


def pooled_with(changed: torch.Tensor, tower: Tower) -> torch.Tensor:
    """`changed`, bool [P], and with it the patches whose features are pooled into the same visual tokens.

    They often show the edge of what has moved, too little of it to count as changed themselves.
    """
    if tower.pooled is None:
        return changed
    touched = (tower.pooled @ changed.float() > 0).float()  # [n], of visual tokens
    return changed | (touched @ tower.pooled > 0)


def take_samples(state: CompactState, changed: torch.Tensor, count: int) -> torch.Tensor:
    """The next `count` patches in `state.order` that are not `changed`, bool [P]; the order goes round."""
    order = state.order.roll(-state.next_sample)
    free = ~changed[order]
    taken = free & (free.cumsum(0) <= count)
    state.next_sample = (state.next_sample + int(taken.nonzero()[-1]) + 1) % len(order) if count else state.next_sample
    return torch.zeros_like(changed).index_put((order,), taken)


def skips(quiet: int, skipped: int, settings: Settings) -> bool:
    """Whether a frame is skipped: the `quiet`-th in a row that shows nothing new, after `skipped` skipped ones."""
    return quiet > SETTLE and skipped + 1 < settings.heartbeat


def bucket(count: int, patches: int) -> int:
    """`count` rounded up to a multiple of about a twenty-fourth of all, 8, 16, 32, 64 ..., so that shapes repeat."""
    step = 1 << max(3, round(math.log2(patches / 24)))
    return min(patches, math.ceil(count / step) * step)


@functools.lru_cache(8)
def spread_order(grid: tuple[int, int], device) -> torch.Tensor:
    """The patches, int64 [P], so ordered that any stretch is spread over the picture: by an 8 x 8 ordered dither.

    Source: B. E. Bayer, "An optimum method for two-level rendition of continuous-tone pictures", ICC 1973.
    """
    row, col = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing='ij')
    rank = torch.zeros(grid, dtype=torch.long)
    for bit in (1, 2, 4):
        rank = 4 * rank + 2 * ((row & bit > 0) ^ (col & bit > 0)) + (row & bit > 0)
    return rank.flatten().argsort(stable=True).to(device)


def replace_patches(old: torch.Tensor, new: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """`old` [1, 3, h, w] with the patches `which` [rows, cols] taken from `new`; pixels beyond the grid stay."""
    height, width = old.shape[2] // which.shape[0], old.shape[3] // which.shape[1]
    mask = which.repeat_interleave(height, 0).repeat_interleave(width, 1)
    mask = F.pad(mask, (0, old.shape[3] - mask.shape[1], 0, old.shape[2] - mask.shape[0]))
    return torch.where(mask, new, old)


def compute_all(tower: Tower, image: torch.Tensor, x: torch.Tensor) -> CompactState:
    """The plain tower on x [1, T, d], every key and value kept."""
    held, run = [], tower.runs(run_block)
    for block in tower.blocks:
        entry = x
        x, both = run(block, x, None, None, None)
        held.append(both)
    return CompactState(image, torch.stack(held), entry, x, spread_order(tower.grid, image.device))


def compute_rows(tower: Tower, state: CompactState, x: torch.Tensor, patches: torch.Tensor, sampled=None):
    """The tower on the patches [k] (and the class tokens) of x [1, T, d]; results are written into `state`.

    sampled: bool [k], those among them that did not change: all that is not computed follows their drift. Returns what
    they were, what they would be had they only followed the others, and what they are: three [s, d], by the last
    block's output; None when they are too few to tell anything.
    """
    first, samples = tower.class_tokens, None
    rows = torch.cat((torch.arange(first, device=patches.device), patches + first))
    at = None if sampled is None else sampled.nonzero()[:, 0]
    if at is not None and len(at) >= FEWEST:
        at = at[:: -(-len(at) // ENOUGH)]  # to follow more costs more than it tells
        samples = weigh(state.features[0], tower.grid, first, rows, at + first)
    x, run = x[:, rows], tower.runs(run_block)
    for block, held in zip(tower.blocks, state.held):
        entry = x
        x, _ = run(block, x, held, rows, samples)
    told = None
    if samples is not None:
        were = state.features[0, samples.rows]
        follow(state.entry[0], entry[0], samples)
        told = were, follow(state.features[0], x[0], samples), x[0, samples.at]
    state.entry.index_copy_(1, rows, entry)
    state.features.index_copy_(1, rows, x)
    return told


def run_block(block: Block, x: torch.Tensor, held, rows, samples):
    """A layer on x [1, k, d] over `held` keys and values [T, 2 d], whose `rows` [k] it overwrites.

    Without them, over x itself. With `samples` the other rows follow first. Returns the output [1, k, d] and `held`.
    """
    h = block.norm1(x)
    fresh = torch.cat((block.k(h)[0], block.v(h)[0]), -1)
    if held is None:
        held = fresh
    else:
        if samples is not None:
            follow(held, fresh, samples, parts=2)
        held.index_copy_(0, rows, fresh)
    query, keys, values = (
        t.unflatten(-1, (block.heads, -1)).transpose(0, 1) for t in (block.q(h)[0], *held.chunk(2, -1))
    )  # [heads, k or T, head]
    mixed = F.scaled_dot_product_attention(query[None], keys[None], values[None])
    x = x + block.out(mixed.transpose(1, 2).flatten(2))
    return x + block.mlp(block.norm2(x)), held


def _renew(tower, state: CompactState, image, embed, which, sampled, allowed: float) -> None:
    """Recompute the patches `which`, of which those `sampled` tell of the rest, bool [P] each; note their error."""
    patches = which.nonzero()[:, 0]
    told = compute_rows(tower, state, embed(), patches, sampled[patches])
    state.image = replace_patches(state.image, image, which.view(tower.grid))
    state.bound.since += 1
    if told is not None and allowed:
        were, foretold, are = told
        guess, kept = torch.stack((_error(tower, foretold, are), _error(tower, were, are))).tolist()
        state.bound.note(guess, kept, allowed)
    state.similarity = 1 - state.bound.error


def _renew_all(tower, state: CompactState, image, embed, changed, allowed: float) -> CompactState:
    """A whole frame -> the new state. Where errors are allowed, it also shows how far off what was unchanged is."""
    fresh, bound = compute_all(tower, image, embed()), state.bound
    reused = (~changed).nonzero()[:, 0] + tower.class_tokens
    if allowed and len(reused) >= FEWEST:
        bound.audit(float(_error(tower, state.features[0, reused], fresh.features[0, reused])), allowed)
    bound.restart()
    fresh.bound, fresh.next_sample, fresh.quiet = bound, state.next_sample, state.quiet
    return fresh


def _error(tower: Tower, old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """1 - cosine, mean over tokens [s, d] of the last block's output, as the language model is shown them."""
    if tower.after is not None:
        old, new = tower.after(old), tower.after(new)
    return 1 - F.cosine_similarity(old.float(), new.float(), dim=-1).mean()
