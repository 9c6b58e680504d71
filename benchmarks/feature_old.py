"""The incremental cacher and its default as they were before real features were measured: a row to compare with.

Patches whose pixels changed (similarity below .85) are recomputed over the cached keys and values of the others, and
with them the stalest, so that none waits longer than 32 frames. A burst of change is spread over the next frames: no
frame recomputes more than .13 of the patches, or BURST times what nine frames in ten want at least. Of frames that show
nothing new every other one is skipped.
"""

from __future__ import annotations

import math
from collections import deque

import torch
from feature_modes import Eye, Mode, whole

from stc_ros.vision.cachers.incremental import SETTLE
from stc_ros.vision.cachers.patches import bucket, replace_patches, similarity
from stc_ros.vision.cachers.rows import compute_all, compute_rows

SIMILARITY, PERIOD, LIMIT, STRIDE = 0.85, 32, 0.13, 2
REMEMBERED, USUAL, BURST = 64, 0.1, 2.5  # frames from which the usual change is known, its quantile and multiple


class OldDefault(Mode):
    """The incremental cacher, with the choice of patches as it was; a picture with a cut is recomputed whole."""

    target = SIMILARITY

    def __init__(self, eye: Eye):
        super().__init__(
            eye,
            'old default',
            f'version 0.1: cache_similarity={SIMILARITY:g} refreshed every {PERIOD} frames '
            f'burst_update_ratio={LIMIT:g} static_frame_stride={STRIDE}',
        )

    def reset(self) -> None:
        self.state = self.image = self.age = self.features = None
        self.skipped = self.static = 0
        self.wanted: deque[int] = deque(maxlen=REMEMBERED)

    def encode(self, image: torch.Tensor, cut: bool):
        tower = self.eye.tower
        if cut:
            self.reset()
        rows = self.choose(image)
        if rows is None:
            self.state, self.image, self.age = compute_all(tower, self.eye.embed(image)), image, whole(tower) * 0
            recomputed = whole(tower)
        else:
            self.age += 1
            self.skipped = 0 if len(rows) else self.skipped + 1
            recomputed = whole(tower).zero_().index_fill_(0, rows, 1.0)
            if len(rows) == 0:
                return self.features, recomputed
            compute_rows(tower, self.state, self.eye.embed(image), rows)
            self.image = replace_patches(self.image, image, recomputed.bool().view(tower.grid))
            self.age[rows] = 0
        self.features = tower.finish(self.state.features)[0]
        return self.features, recomputed

    def choose(self, image: torch.Tensor) -> torch.Tensor | None:
        """The patches to recompute, int64 [k] ascending; None means all."""
        if self.state is None:
            return None
        alike = similarity(image, self.image, self.eye.tower.grid)
        changed, patches = alike < SIMILARITY, len(alike)
        count = int(changed.sum())
        self.static = 0 if count else self.static + 1
        if self.static > SETTLE and self.skipped + 1 < STRIDE:
            return changed.nonzero()[:, 0]
        stalest = math.ceil(patches / PERIOD)
        wanted, step = bucket(count + stalest, patches), bucket(1, patches)
        usual = sorted(self.wanted)[int(len(self.wanted) * USUAL)] if self.wanted else 0
        most = min(max(LIMIT * patches, BURST * usual), patches)
        most = patches if most == patches else int(most) // step * step
        granted = min(wanted, max(most, bucket(stalest + 1, patches)))
        self.wanted.append(wanted)
        if granted == patches:
            return None
        waited = self.age + 0.5 * (1 - alike)
        urgency = (self.age.max() + 2) * 2 * changed + (1 - alike)
        first = torch.where(changed, urgency, waited).topk(granted - stalest).indices
        rest = waited.index_fill(0, first, -1.0).topk(stalest).indices
        return torch.cat((first, rest)).sort().values
