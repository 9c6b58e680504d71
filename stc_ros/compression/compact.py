"""The compact cacher: a frame costs what has changed in it, and nothing more.

Changed tokens are chosen once per frame, from the pixels, each against the picture at its own last recompute. All
blocks then run on those tokens alone; they attend to the cached keys and values of the others, and their own are
written back. So the cost is k / T of the plain tower in every part of it, where the paper's cacher (arXiv 2512.00891,
§3.3) computes dense keys in every layer and dense frames every N. The stalest tokens ride along in every frame, so
that none waits longer than `refresh_period` frames that are looked at, and no frame is dearer than its change.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from stc_ros.models.tower import Block, Tower
from stc_ros.settings import Settings

SETTLE = 2              # quiet frames that are looked at before others are skipped: rest, too, has to be seen
REMEMBERED = 64         # looked-at frames from which the usual amount of change is known
USUAL = 0.1             # quantile of it: nine frames in ten want more
BURST = 2.5             # times the usual that a frame may recompute, if that is more than `recompute_burst`
FULL_SCALE = 64.0       # root mean square difference of a patch, in grey levels, that counts as similarity 0


@dataclass(slots=True)
class CompactState:
    """What the cacher keeps of one stream; T counts the class tokens, P only the patches."""

    image: torch.Tensor         # uint8 [1, 3, h, w]: every patch as it was at its last recompute
    keys: torch.Tensor          # [layers, heads, T, head]
    values: torch.Tensor        # [layers, heads, T, head]
    entry: torch.Tensor         # [1, T, d]: the last block's input
    features: torch.Tensor      # [1, T, d]: the last block's output
    age: torch.Tensor           # int64 [P]: frames since each patch's last recompute
    skipped: int = 0            # frames in a row that were skipped
    quiet: int = 0              # frames in a row that showed nothing new, skipped or not
    wanted: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED))   # patches, by frame not skipped

    def fits(self, tower: Tower, image: torch.Tensor, dtype: torch.dtype) -> bool:
        """Whether this state is of such pictures and of that tower."""
        return (self.image.shape == image.shape and self.image.device == image.device
                and self.features.dtype == dtype and self.features.shape[1] == tower.tokens)


def similarity(image: torch.Tensor, last: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """How alike the patches of two uint8 pictures [1, 3, h, w] are, float32 [P] in [0, 1].

    1 - (root mean square difference) / 64 grey levels: 1 is the same to the last bit, 0.85 differs by ten levels.
    """
    height, width = image.shape[2] // grid[0], image.shape[3] // grid[1]
    cut = (image[..., :grid[0] * height, :grid[1] * width], last[..., :grid[0] * height, :grid[1] * width])
    square = (cut[0].float() - cut[1].float()).square().mean(1, keepdim=True)
    return (1 - F.avg_pool2d(square, (height, width)).flatten().sqrt() / FULL_SCALE).clamp(min=0)


def choose_changed(state: CompactState, image: torch.Tensor, tower: Tower, settings: Settings):
    """Which patches to recompute -> indices int64 [k] ascending, how many frames in a row have shown nothing new, and
    how many patches would be recomputed without a limit.

    None means all, an empty tensor none.

    Changed is what is less similar than `cache_similarity` (at 1: what differs at all); what is pooled with it comes
    along, see `pooled_with`. The count is rounded up to a bucket, so that shapes repeat; the room left goes to the
    stalest, at least P / refresh_period a frame. When this is more than `allowance` grants, what has changed most comes
    first, and what has changed and finds no room follows in the next frames.
    When nothing has changed for more than SETTLE frames the frame is skipped, but for every `heartbeat`-th.
    """
    alike = similarity(image, state.image, tower.grid)
    changed = alike < settings.cache_similarity
    along = pooled_with(changed, tower)
    patches, count = len(alike), int(along.sum())
    quiet = 0 if count else state.quiet + 1
    if skips(quiet, state.skipped, settings):
        return changed.nonzero()[:, 0], quiet, 0
    stalest = math.ceil(patches / settings.refresh_period)
    wanted = bucket(count + stalest, patches)
    granted = min(wanted, max(allowance(state.wanted, patches, settings), bucket(stalest + 1, patches)))
    if granted == patches:
        return None, quiet, wanted
    waited = state.age + 0.5 * (1 - alike)
    urgency = (state.age.max() + 2) * (changed.int() + along.int()) + (1 - alike)       # above all that only waited
    first = torch.where(along, urgency, waited).topk(granted - stalest).indices
    rest = waited.index_fill(0, first, -1.0).topk(stalest).indices
    return torch.cat((first, rest)).sort().values, quiet, wanted


def pooled_with(changed: torch.Tensor, tower: Tower) -> torch.Tensor:
    """`changed`, bool [P], and with it the patches whose features are pooled into the same visual tokens.

    They often show the edge of what has moved, too little of it to count as changed themselves.
    """
    if tower.pooled is None:
        return changed
    touched = (tower.pooled @ changed.float() > 0).float()                                  # [n], of visual tokens
    return changed | (touched @ tower.pooled > 0)


def allowance(wanted: Sequence[int], patches: int, settings: Settings) -> int:
    """How many patches a frame may recompute, whole buckets, after frames that `wanted` so many.

    `recompute_burst` of them; where change never rests, and so is no burst, BURST times what nine frames in ten want at
    least. Never more than `recompute_limit`. With few frames known, as behind a cut, what the
    quietest of them wants is usual.
    """
    usual = sorted(wanted)[int(len(wanted) * USUAL)] if wanted else 0
    most, step = max(settings.recompute_burst * patches, BURST * usual), bucket_step(patches)
    most = min(most, settings.recompute_limit * patches)
    return patches if most >= patches else int(most) // step * step


def skips(quiet: int, skipped: int, settings: Settings) -> bool:
    """Whether a frame is skipped: the `quiet`-th in a row that shows nothing new, after `skipped` skipped ones."""
    return quiet > SETTLE and skipped + 1 < settings.heartbeat


def bucket(count: int, patches: int) -> int:
    """`count` rounded up to a multiple of `bucket_step`, at most all."""
    step = bucket_step(patches)
    return min(patches, math.ceil(count / step) * step)


def bucket_step(patches: int) -> int:
    """About a twenty-fourth of all patches: 8, 16, 32, 64 ..."""
    return 1 << max(3, round(math.log2(patches / 24)))


def encode_compact(tower: Tower, state: CompactState | None, image: torch.Tensor, embed, settings: Settings,
                   refresh: bool = False):
    """See one picture, uint8 [1, 3, h, w] -> (state, patches recomputed bool [P]).

    embed: gives the embedded tokens [1, T, d] of the picture; not called when nothing is recomputed. The features are
    in `state.features`, which the next call overwrites. `refresh` recomputes everything.
    """
    patches = tower.grid[0] * tower.grid[1]
    rows = None
    if not refresh and state is not None and state.fits(tower, image, state.features.dtype):
        rows, state.quiet, wanted = choose_changed(state, image, tower, settings)
        if wanted:
            state.wanted.append(wanted)
    if rows is None:
        fresh = compute_all(tower, image, embed())
        if state is not None and not refresh:
            fresh.wanted = state.wanted
        return fresh, torch.ones(patches, dtype=torch.bool, device=image.device)
    recomputed = torch.zeros(patches, dtype=torch.bool, device=image.device)
    state.age += 1
    state.skipped = state.skipped + 1 if len(rows) == 0 else 0
    recomputed[rows] = True
    renew(tower, state, image, embed, recomputed)
    return state, recomputed


def catch_up(tower: Tower, state: CompactState, image: torch.Tensor, embed, settings: Settings) -> torch.Tensor:
    """Recompute what a limit has left for later in the newest picture -> patches recomputed, bool [P].

    `image` is the picture that `state` has seen last. The next frames need not do it any more.
    """
    late = pooled_with(similarity(image, state.image, tower.grid) < settings.cache_similarity, tower)
    renew(tower, state, image, embed, late)
    return late


def renew(tower: Tower, state: CompactState, image: torch.Tensor, embed, which: torch.Tensor) -> None:
    """Recompute the patches `which`, bool [P], from `image`; nothing is embedded when there are none."""
    rows = which.nonzero()[:, 0]
    if len(rows):
        compute_rows(tower, state, embed(), rows)
        state.image = replace_patches(state.image, image, which.view(tower.grid))
        state.age[rows] = 0


def replace_patches(old: torch.Tensor, new: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """`old` [1, 3, h, w] with the patches `which` [rows, cols] taken from `new`; pixels beyond the grid stay."""
    height, width = old.shape[2] // which.shape[0], old.shape[3] // which.shape[1]
    mask = which.repeat_interleave(height, 0).repeat_interleave(width, 1)
    mask = F.pad(mask, (0, old.shape[3] - mask.shape[1], 0, old.shape[2] - mask.shape[0]))
    return torch.where(mask, new, old)


def compute_all(tower: Tower, image: torch.Tensor, x: torch.Tensor) -> CompactState:
    """The plain tower on x [1, T, d], every key and value kept."""
    keys, values, run = [], [], tower.runs(run_block)
    for block in tower.blocks:
        entry = x
        x, key, value = run(block, x, None, None, None)
        keys.append(key)
        values.append(value)
    age = torch.zeros(tower.grid[0] * tower.grid[1], dtype=torch.long, device=image.device)
    return CompactState(image, torch.stack(keys), torch.stack(values), entry, x, age)


def compute_rows(tower: Tower, state: CompactState, x: torch.Tensor, rows: torch.Tensor) -> None:
    """The tower on the patches `rows` [k] (and the class tokens) of x [1, T, d]; results are written into `state`."""
    rows = rows + tower.class_tokens
    if tower.class_tokens:
        rows = torch.cat((torch.arange(tower.class_tokens, device=rows.device), rows))
    x, run = x[:, rows], tower.runs(run_block)
    for block, key, value in zip(tower.blocks, state.keys, state.values):
        entry = x
        x, _, _ = run(block, x, key, value, rows)
    state.entry.index_copy_(1, rows, entry)
    state.features.index_copy_(1, rows, x)


def run_block(block: Block, x: torch.Tensor, keys, values, rows):
    """A layer on x [1, k, d] over cached keys and values [heads, T, head], whose `rows` [k] it overwrites.

    Without a cache, over x itself. Returns the output [1, k, d], keys and values.
    """
    h = block.norm1(x)
    query, key, value = (linear(h)[0].unflatten(-1, (block.heads, -1)).transpose(0, 1)
                         for linear in (block.q, block.k, block.v))      # [heads, k, head]
    if rows is None:
        keys, values = key, value
    else:
        keys.index_copy_(1, rows, key)
        values.index_copy_(1, rows, value)
    mixed = F.scaled_dot_product_attention(query[None], keys[None], values[None])
    x = x + block.out(mixed.transpose(1, 2).flatten(2))
    return x + block.mlp(block.norm2(x)), keys, values
