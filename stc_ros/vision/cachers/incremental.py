"""The incremental cacher: a frame costs what has changed in it, and what it takes to keep the rest as it would be.

Changed patches are chosen once per frame, from the pixels, each against the picture at its own last recompute
(`patches.py`), on the CPU: a GPU would have to be waited for. All blocks then run on those patches alone, over the
cached keys and values of the others (`rows.py`), so the cost is k / T of the plain tower in every part of it, where
STC-Cacher (arXiv 2512.00891, §3.3) computes
dense keys in every layer and dense frames every N. What did not change follows the drift of a few samples
(`drift.py`), which also tell how large the error of all that is reused is; a closed loop keeps that under the bound
1 - `cache_similarity` (`bound.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from stc_ros.models.tower import Tower
from stc_ros.parameter_spec import param
from stc_ros.parameters import cachers
from stc_ros.transfer import Download, upload
from stc_ros.vision.cachers.base import Embed, Encoded
from stc_ros.vision.cachers.bound import Bound
from stc_ros.vision.cachers.drift import FEWEST
from stc_ros.vision.cachers.patches import (
    bucket,
    choose_changed,
    pooled_with,
    replace_patches,
    similarity,
    spread_order,
)
from stc_ros.vision.cachers.rows import LayerCache, compute_all, compute_rows

SETTLE = 2  # static frames that are processed before others are skipped: rest, too, has to be seen
LEAST = 0.1  # share of the patches that a frame with any change recomputes: what has not changed are samples
WHOLE = 0.7  # share of the patches from which a whole frame is hardly dearer, and exact


@dataclass(slots=True)
class IncrementalState(LayerCache):
    """What the cacher keeps of one stream; P counts only the patches."""

    image: torch.Tensor  # uint8 [1, 3, h, w]: every patch as it was at its last recompute
    order: torch.Tensor  # int64 [P]: patches in the order in which they are samples, any stretch spread evenly
    bound: Bound = field(default_factory=Bound)
    similarity: float = 1.0  # of what the newest frame reused to what it would be, mean over patches, as estimated
    next_sample: int = 0  # place in `order`
    skipped: int = 0  # frames in a row that were skipped
    static: int = 0  # frames in a row that showed nothing new, skipped or not
    found: tuple[Download, float] | None = None  # errors that the newest frame showed, not noted yet, and their bound

    def fits(self, tower: Tower, image: torch.Tensor) -> bool:
        """Whether this state is of such pictures and of that tower."""
        same = self.image.shape == image.shape and self.image.device == image.device
        return same and self.features.shape[1] == tower.tokens

    def note(self, errors: torch.Tensor, allowed: float) -> None:
        """Of `errors`, a whole frame's [1] or others' [2]: at once on a CPU, on a GPU when they are asked for."""
        self.found = Download(errors), allowed
        if errors.device.type == 'cpu':
            self.settle()

    def settle(self) -> None:
        """Take in what the newest frame showed of the error."""
        if self.found:
            (errors, allowed), self.found = self.found, None
            values = errors.read().tolist()
            if len(values) == 1:  # a whole frame's
                self.bound.audit(values[0], allowed)
                self.bound.restart()
            else:
                guess, kept = values
                self.bound.note(guess, kept, allowed)
                self.similarity = 1 - self.bound.error


@cachers.register('incremental', source='stc_ros', scope='pixels, once per frame')
@dataclass
class IncrementalCacher:
    """Ours: recomputes only changed patches, lets the rest follow a few samples, and bounds the error by a loop."""

    plain = False
    static_frame_stride: int = param(
        2,
        'Of static frames in a row, every how many-th is processed all the same; 1 is every one. Raise it to save '
        'power at rest.',
        unit='frames',
        low=1,
        high=100,
    )
    state: IncrementalState | None = field(default=None, init=False)

    def encode(
        self, tower: Tower, image: torch.Tensor, embed: Embed, cache_similarity: float, refresh: bool = False
    ) -> Encoded | None:
        self.state, recomputed = encode_incremental(
            tower, self.state, image, embed, cache_similarity, self.static_frame_stride, refresh
        )
        if not recomputed.any():
            return None
        seen = self.state
        return Encoded(seen.features, seen.entry, recomputed.float(), seen.static)

    def reset(self) -> None:
        self.state = None

    @property
    def similarity(self) -> float:
        if self.state is None:
            return math.nan
        self.state.settle()
        return self.state.similarity

    @property
    def bytes(self) -> int:
        return 0 if self.state is None else self.state.bytes + self.state.image.nbytes


def encode_incremental(
    tower: Tower,
    state: IncrementalState | None,
    image: torch.Tensor,
    embed: Embed,
    cache_similarity: float,
    static_frame_stride: int = 1,
    refresh: bool = False,
) -> tuple[IncrementalState, torch.Tensor]:
    """One picture, uint8 [1, 3, h, w] -> (state, patches recomputed bool [P]).

    embed: gives the embedded tokens [1, T, d] of the picture; not called when nothing is recomputed. The features are
    in `state.features`, which the next call overwrites. `refresh` recomputes everything.
    """
    patches = tower.grid[0] * tower.grid[1]
    none = torch.zeros(patches, dtype=torch.bool, device=image.device)
    if state is None or not state.fits(tower, image):
        return start(tower, image, embed()), ~none
    state.settle()
    allowed = 1 - cache_similarity
    alike = similarity(image, state.image, tower.grid)
    changed = pooled_with(choose_changed(alike, state.bound, allowed), tower)
    count = int(changed.sum())
    state.static = 0 if count else state.static + 1
    if not refresh and state.static > SETTLE and state.skipped + 1 < static_frame_stride:
        state.skipped += 1
        return state, none
    state.skipped = 0
    least = LEAST * patches if count else 0
    wanted = max(2 * FEWEST, math.ceil(state.bound.sampled * patches))  # never blind, however small the picture
    computed = bucket(max(count + wanted, math.ceil(least)), patches)
    exact = allowed == 0 and count > 0
    due = allowed > 0 and state.bound.whole_due(allowed, resting=state.static > SETTLE)
    if refresh or exact or due or computed >= WHOLE * patches:
        return _renew_all(tower, state, image, embed, changed, 0 if refresh else allowed), ~none
    sampled = take_samples(state, changed, computed - count)
    _renew(tower, state, image, embed, changed | sampled, sampled, allowed)
    return state, changed | sampled


def start(tower: Tower, image: torch.Tensor, x: torch.Tensor) -> IncrementalState:
    """A whole frame, whose embedded tokens are x [1, T, d] -> a state that knows nothing before it."""
    whole = compute_all(tower, x)
    return IncrementalState(whole.held, whole.entry, whole.features, image, spread_order(tower.grid, image.device))


def take_samples(state: IncrementalState, changed: torch.Tensor, count: int) -> torch.Tensor:
    """The next `count` patches in `state.order` that are not `changed`, bool [P]; the order goes round."""
    order = state.order.roll(-state.next_sample)
    free = ~changed[order]
    taken = free & (free.cumsum(0) <= count)
    if count:
        state.next_sample = (state.next_sample + int(taken.nonzero()[-1]) + 1) % len(order)
    return torch.zeros_like(changed).index_put((order,), taken)


def _renew(
    tower: Tower,
    state: IncrementalState,
    image: torch.Tensor,
    embed: Embed,
    which: torch.Tensor,
    sampled: torch.Tensor,
    allowed: float,
) -> None:
    """Recompute the patches `which`, of which those `sampled` tell of the rest, bool [P] each; note their error."""
    patches = which.nonzero()[:, 0]
    found = compute_rows(tower, state, embed(), patches, sampled[patches])
    state.image = replace_patches(state.image, image, which.view(tower.grid))
    state.bound.since += 1
    state.similarity = 1 - state.bound.error
    if found is not None and allowed:
        were, foretold, are = found
        state.note(torch.stack((_error(tower, foretold, are), _error(tower, were, are))), allowed)


def _renew_all(
    tower: Tower, state: IncrementalState, image: torch.Tensor, embed: Embed, changed: torch.Tensor, allowed: float
) -> IncrementalState:
    """A whole frame -> the new state. Where errors are allowed, it also shows how far off what was unchanged is."""
    fresh, bound = start(tower, image, embed()), state.bound
    fresh.bound, fresh.next_sample, fresh.static = bound, state.next_sample, state.static
    reused = upload((~changed).nonzero()[:, 0] + tower.class_tokens, fresh.features.device)
    if allowed and len(reused) >= FEWEST:
        fresh.note(_error(tower, state.features[0, reused], fresh.features[0, reused])[None], allowed)
    else:
        bound.restart()
    return fresh


def _error(tower: Tower, old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """1 - cosine, mean over tokens [s, d] of the last block's output, as the language model is shown them."""
    if tower.after is not None:
        old, new = tower.after(old), tower.after(new)
    return 1 - F.cosine_similarity(old.float(), new.float(), dim=-1).mean()
