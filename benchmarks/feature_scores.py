"""What a mode's features are worth, against the plain tower's of the same frames, and what they cost.

The first frame, which everybody computes whole, is left out of every figure. `cosine` is of a patch's feature with the
plain tower's. A patch is *moving* when its true feature is less than MOVING like the one in the frame before, else
*still*: this counts what changes, whether its own pixels did or only what it attends to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from measure import Times

from stc_ros.models.img_focus import Head

MOVING = 0.85  # cosine of a patch's true features in consecutive frames, below which it moves
MASK = 0.4  # of the head's saliency, above which a place belongs to what the picture is about
MASKED = 3  # the head looks at every third frame
WINDOW = 16  # frames over which a cacher's estimate of itself is judged
SLACK = 0.01  # by which a window may miss the similarity asked for


@dataclass
class Trace:
    """One mode along a clip; lists have an entry for every frame."""

    name: str
    about: str
    operations: list[float] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    cosine: list[torch.Tensor] = field(default_factory=list)  # float32 [P]
    recomputed: list[torch.Tensor] = field(default_factory=list)  # float32 [P]
    stated: list[float] = field(default_factory=list)  # nan where the mode says nothing
    overlap: list[tuple[int, int]] = field(default_factory=list)  # intersection, union; of every MASKED-th frame
    target: float | None = None


class Truth:
    """The plain tower's features, milliseconds and masks."""

    def __init__(self, head: Head, grid: tuple[int, int]):
        self.head, self.grid = head, grid
        self.features: list[torch.Tensor] = []  # [P, d] each
        self.ms: list[float] = []
        self._masks: dict[int, torch.Tensor] = {}

    def mask(self, number: int) -> torch.Tensor:
        """What the head finds in a frame, bool [8 rows, 8 cols]."""
        if number not in self._masks:
            self._masks[number] = self.head(self.features[number], self.grid) > MASK
        return self._masks[number]

    def add_to(
        self,
        trace: Trace,
        features: torch.Tensor,
        number: int,
        ms: float,
        recomputed: torch.Tensor,
        operations: float,
        stated: float | None = None,
    ) -> None:
        """Judge a mode's features of a frame, [P, d], and note what they took."""
        trace.cosine.append(F.cosine_similarity(features, self.features[number], -1))
        trace.ms.append(ms)
        trace.recomputed.append(recomputed)
        trace.operations.append(operations)
        trace.stated.append(math.nan if stated is None else float(stated))
        if number % MASKED == 1:
            same = features is self.features[number]
            self._overlap(trace, self.mask(number) if same else self.head(features, self.grid) > MASK, number)

    def hold(self, period: float, about: str, operations: float, name: str = 'hold', masks: bool = True) -> Trace:
        """A control: the plain tower on every `period`-th frame (it need not be whole), its features held between."""
        trace = Trace(name, about)
        held = 0
        for number, (true, ms) in enumerate(zip(self.features, self.ms)):
            dense = number == 0 or math.floor(number / period) > math.floor((number - 1) / period)
            held = number if dense else held
            trace.cosine.append(F.cosine_similarity(self.features[held], true, -1))
            trace.ms.append(ms * dense)
            trace.recomputed.append(torch.full((len(true),), float(dense)))
            trace.operations.append(operations * dense)
            trace.stated.append(math.nan)
            if masks and number % MASKED == 1:
                self._overlap(trace, self.mask(held), number)
        return trace

    def moving(self) -> torch.Tensor:
        """bool [frames - 1, P]: of each frame but the first."""
        pairs = zip(self.features[1:], self.features)
        return torch.stack([F.cosine_similarity(a, b, -1) < MOVING for a, b in pairs])

    def _overlap(self, trace: Trace, found: torch.Tensor, number: int) -> None:
        true = self.mask(number)
        trace.overlap.append((int((found & true).sum()), int((found | true).sum())))


def error(trace: Trace) -> np.ndarray:
    """1 - mean cosine of each frame but the first."""
    return 1 - torch.stack(trace.cosine[1:]).mean(1).numpy()


def score(trace: Trace, plain: Trace, moving: torch.Tensor) -> dict:
    """A row's figures. None where there is nothing to measure (nothing moves, a mode states nothing ...).

    share: of the patches recomputed. cost: mean time of a frame over the plain tower's, each frame counted as the
    median of those with the same work (see `Times.typical`); cost_operations counts floating-point operations instead;
    dearest: the dearest kind of frame over plain's. ms_p50 and ms_p99 are as measured, hiccups of the machine included.
    reused: mean cosine of the patches a frame did not recompute, mean over frames; stated: what the cacher itself took
    that to be, and stated_error how far off this was, mean over windows of WINDOW frames; held: the share of such
    windows in which `reused` came within SLACK of the `cache_similarity` asked for.
    """
    cosine, recomputed = torch.stack(trace.cosine[1:]), torch.stack(trace.recomputed[1:])
    ms, inside, union = np.array(trace.ms[1:]), sum(a for a, _ in trace.overlap), sum(b for _, b in trace.overlap)
    times = Times(cosine.device)
    for one, key in ((trace, 'mode'), (plain, 'plain')):
        for share, taken in zip(one.recomputed[1:], one.ms[1:]):
            times.add(key, float(share.mean()), taken)
    whole = times.typical('plain')
    reused = mean_reused(cosine, recomputed)
    stated = np.where(np.isnan(reused), math.nan, trace.stated[1:])
    windows, said = windowed(reused), windowed(np.where(np.isnan(stated), math.nan, stated))
    frames = cosine.mean(1)
    row = {
        'mode': trace.name,
        'settings': trace.about,
        'share': recomputed.mean(),
        'cost': times.typical('mode') / whole,
        'cost_operations': sum(trace.operations[1:]) / sum(plain.operations[1:]),
        'dearest': max(float(np.median(group)) for group in times.by_work('mode')) / whole,
        'cosine': cosine.mean(),
        'cosine_p1': np.percentile(cosine, 1),
        'cosine_moving': cosine[moving].mean(),
        'cosine_still': cosine[~moving].mean(),
        'worst_frame': frames.min(),
        'iou': inside / union if union else math.nan,
        'ms_p50': np.percentile(ms, 50),
        'ms_p99': np.percentile(ms, 99),
        'reused': nanmean(reused),
        'stated': nanmean(stated),
        'stated_error': nanmean(np.abs(said - windows)),
        'held': math.nan
        if trace.target is None
        else nanmean(np.where(np.isnan(windows), math.nan, windows >= trace.target - SLACK)),
        'moving': moving.float().mean(),
        'worst_frame_at': int(frames.argmin()) + 1,
        'frames': len(trace.ms),
    }
    return {key: plain_number(value) for key, value in row.items()}


def mean_reused(cosine: torch.Tensor, recomputed: torch.Tensor) -> np.ndarray:
    """By frame, the mean cosine of what was not recomputed, [frames, P] each -> [frames]; nan where all was."""
    kept = 1 - recomputed
    return ((cosine * kept).sum(1) / kept.sum(1)).numpy()


def windowed(values: np.ndarray) -> np.ndarray:
    """Means over every WINDOW frames in a row; over all when there are fewer. nan does not count."""
    size = min(WINDOW, len(values))
    return np.array([nanmean(values[i : i + size]) for i in range(len(values) - size + 1)])


def nanmean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def plain_number(value):
    """A number that JSON can hold, five digits behind the point."""
    if isinstance(value, str | int):
        return value
    return None if math.isnan(value) else round(float(value), 5)
