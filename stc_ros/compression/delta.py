"""The `stc` pruner: the language model is told what differs from what it was last told about that place.

The paper (arXiv 2512.00891, §3.4) keeps a fixed number of tokens and compares with the mean of past frames, in which
places are lost. Here each place is compared with its own last telling, as a video codec does (so does differential
token drop, arXiv 2504.17343, with the frame before), and weighed with how far it stands out from its own frame. Two
tokens of one thing say much the same, so the lesser of them counts for less and the room goes to another thing: maximal
marginal relevance (Carbonell and Goldstein, SIGIR 1998), for all tokens at once instead of one after the other. How
many are told follows the change: a quiet frame uses only a part of its budget and saves up for a busy one, where
change never rests more is told than the budget, up to a cap on the rate, and of a standstill nothing after a while: it
would push out of the memory what was seen before.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from stc_ros.compression.pruner import Selection, budget, take
from stc_ros.compression.vision import Sight
from stc_ros.settings import Settings

NEW = 0.01  # cosine distance above which a token says something new
QUIET = 0.75  # times its budget, which a frame uses when little is new
RESTLESS = 1.5  # times its budget, which a frame may use on average when all is new
STANDSTILL = 8  # frames in a row without news that are told; those behind them are not
REPEATED = 0.5  # of its worth a token loses that says just what a worthier one says


class Delta:
    """Remembers what was last told about every place."""

    def __init__(self):
        self.told: torch.Tensor | None = None  # [n, D], before the projector's last layer
        self.allowance = 0.0  # tokens that may be told now
        self.still = 0  # frames in a row that had nothing new to tell

    def select(self, sight: Sight, settings: Settings) -> Selection:
        """All of the first frame, then QUIET to RESTLESS times what `prune_ratio` leaves; of a standstill none.

        Worth of a token: alpha (1 - cos(z, told)) + (1 - alpha) (1 - cos(z, mean of the frame)), alpha being
        `novelty_balance`; less what `discount_repeated` takes off. The highest are kept.
        """
        hidden = sight.hidden
        n = len(hidden)
        if settings.prune_ratio == 0 or self.told is None or self.told.shape != hidden.shape:
            self.told, self.allowance, self.still = hidden.clone(), 0.0, 0
            return take(sight, torch.arange(n, device=hidden.device))
        share = budget(n, settings.prune_ratio)
        self.allowance = min(n, self.allowance + RESTLESS * share)
        z, mean = hidden.float(), hidden.float().mean(0)
        change = 1 - F.cosine_similarity(z, self.told.float(), dim=-1)
        apart = 1 - F.cosine_similarity(z, mean, dim=-1)
        worth = settings.novelty_balance * change + (1 - settings.novelty_balance) * apart
        worth = discount_repeated(worth, z - mean)
        count = max(int((change > NEW).sum()), round(QUIET * share), 1)
        chosen = worth.topk(min(count, int(self.allowance))).indices
        if sight.quiet is not None:
            self.still = sight.quiet
        else:
            self.still = 0 if (change[chosen] > NEW).any() else self.still + 1
        if self.still > STANDSTILL:
            chosen = chosen[:0]
        self.allowance -= len(chosen)
        self.told[chosen] = hidden[chosen]
        return take(sight, chosen)


def discount_repeated(worth: torch.Tensor, apart: torch.Tensor) -> torch.Tensor:
    """The `worth` of tokens, float32 [n], less the share REPEATED of each one's likeness to the worthier most like it.

    apart: float32 [n, D], what each token is beside the mean of its frame; likeness is the cosine of two, at least 0.
    """
    direction = F.normalize(apart, dim=-1)
    likeness = (direction @ direction.T).masked_fill(worth <= worth[:, None], 0.0)  # to those of more worth
    return worth * (1 - REPEATED * likeness.amax(1))
