"""The delta pruner sends what differs from what was last sent of that place.

STC-Pruner (arXiv 2512.00891, §3.4) keeps a fixed number of tokens and compares with the mean of past frames, in which
places are lost. Here each place is compared with its own last token sent, as a video codec does (so does differential
token drop, arXiv 2504.17343, with the frame before), and weighed with how far it stands out from its own frame. Two
tokens of one thing say much the same, so the lesser of them counts for less and the room goes to another thing: maximal
marginal relevance (Carbonell and Goldstein, SIGIR 1998), for all tokens at once instead of one after the other. How
many are sent follows the change: a quiet frame uses only a part of its budget and saves up for a busy one, where
change never rests more is sent than the budget, up to a cap on the rate, and of a static scene nothing after a while:
it would evict from the memory what was seen before.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from stc_ros.parameter_spec import param
from stc_ros.parameters import pruners
from stc_ros.pruning.base import Pruner, Selection, budget, take
from stc_ros.transfer import upload
from stc_ros.vision.encode import FrameFeatures

NEW = 0.01  # cosine distance above which a token says something new
QUIET = 0.75  # times its budget, which a frame uses when little is new
RESTLESS = 1.5  # times its budget, which a frame may use on average when all is new
STATIC = 8  # frames in a row without news of which tokens are sent; of those behind them none are
REPEATED = 0.5  # of its worth a token loses that says just what a worthier one says


@pruners.register('delta', source='stc_ros', scope='stream')
@dataclass
class DeltaPruner(Pruner):
    """Ours: tokens that differ from those last sent of their place, every thing once before one twice.

    All of the first frame are kept, then QUIET to RESTLESS times what `prune_ratio` leaves; of a static stream none.
    Worth of a token: alpha (1 - cos(z, sent)) + (1 - alpha) (1 - cos(z, mean of the frame)), alpha being
    `temporal_weight`; less what `discount_repeated` takes off. The highest are kept.
    """

    exact = False
    temporal_weight: float = param(
        0.5,
        'Weight of change in time against standing out from the frame. Raise it to follow motion, lower it to see '
        'small things that rest.',
        low=0.0,
        high=1.0,
    )
    sent: torch.Tensor | None = field(default=None, init=False)  # [n, D], before the projector's last layer
    allowance: float = field(default=0.0, init=False)  # tokens that may be sent now
    static: int = field(default=0, init=False)  # frames in a row that had nothing new

    def select(self, frame: FrameFeatures, prune_ratio: float) -> Selection:
        hidden = frame.hidden
        n = len(hidden)
        if prune_ratio == 0 or self.sent is None or self.sent.shape != hidden.shape:
            self.sent, self.allowance, self.static = hidden.clone(), 0.0, 0
            return take(frame, torch.arange(n), late=True)
        share = budget(n, prune_ratio)
        self.allowance = min(n, self.allowance + RESTLESS * share)
        z, mean = hidden.float(), hidden.float().mean(0)
        change = 1 - F.cosine_similarity(z, self.sent.float(), dim=-1)
        apart = 1 - F.cosine_similarity(z, mean, dim=-1)
        worth = self.temporal_weight * change + (1 - self.temporal_weight) * apart
        worth, change = torch.stack((discount_repeated(worth, z - mean), change)).cpu()  # the frame's one wait
        count = max(int((change > NEW).sum()), round(QUIET * share), 1)
        chosen = worth.topk(min(count, int(self.allowance))).indices
        if frame.static_frames is not None:
            self.static = frame.static_frames
        else:
            self.static = 0 if (change[chosen] > NEW).any() else self.static + 1
        if self.static > STATIC:
            chosen = chosen[:0]
        self.allowance -= len(chosen)
        there = upload(chosen, hidden.device)
        self.sent[there] = hidden[there]
        return take(frame, chosen, late=True)

    def reset(self) -> None:
        self.sent, self.allowance, self.static = None, 0.0, 0


def discount_repeated(worth: torch.Tensor, apart: torch.Tensor) -> torch.Tensor:
    """The `worth` of tokens, float32 [n], less the share REPEATED of each one's likeness to the worthier most like it.

    apart: float32 [n, D], what each token is beside the mean of its frame; likeness is the cosine of two, at least 0.
    """
    direction = F.normalize(apart, dim=-1)
    likeness = (direction @ direction.T).masked_fill(worth <= worth[:, None], 0.0)  # to those of more worth
    return worth * (1 - REPEATED * likeness.amax(1))
