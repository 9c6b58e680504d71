"""The `stc` pruner: the language model is told what differs from what it was last told about that place.

The paper (arXiv 2512.00891, §3.4) keeps a fixed number of tokens, however little has happened, and compares with the
mean of past frames, in which places are lost. Here each place is compared with its own last telling, as a video codec
does (so does differential token drop, arXiv 2504.17343, with the frame before). The number kept follows the scene
under a cap on the rate: what a quiet frame leaves is saved up for a busy one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from stc_ros.compression.pruner import Selection, budget, take
from stc_ros.compression.vision import Sight
from stc_ros.settings import Settings

NEW = 0.02              # cosine distance above which a token says something new


class Delta:
    """Remembers, for every place, what was last told about it and when."""

    def __init__(self):
        self.told: torch.Tensor | None = None           # [n, D], before the projector's last layer
        self.age: torch.Tensor | None = None            # int64 [n]: frames since
        self.allowance = 0.0                            # tokens that may be told now

    def select(self, sight: Sight, settings: Settings) -> Selection:
        """At most `prune_ratio` is left out on average; a token is told again after `novelty_history` frames."""
        hidden = sight.hidden
        n = len(hidden)
        if settings.prune_ratio == 0:
            return take(sight, torch.arange(n, device=hidden.device))
        if self.told is None or self.told.shape != hidden.shape:
            self.told, self.age, self.allowance = hidden.clone(), torch.zeros_like(hidden[:, 0], dtype=torch.long), 0.0
            return take(sight, torch.arange(n, device=hidden.device))
        self.age += 1
        self.allowance = min(n, self.allowance + budget(n, settings.prune_ratio))
        novelty = self.novelty(hidden, settings)
        count = max(1, min(int((novelty > 0).sum()), int(self.allowance)))
        chosen = novelty.topk(count).indices
        self.allowance -= count
        self.told[chosen] = hidden[chosen]
        self.age[chosen] = 0
        return take(sight, chosen)

    def novelty(self, hidden: torch.Tensor, settings: Settings) -> torch.Tensor:
        """[n, D] -> [n]: change since told, weighed with difference from the frame's mean; 0 where nothing is new.

        What was told too long ago comes first: it is about to leave the window.
        """
        change = 1 - F.cosine_similarity(hidden.float(), self.told.float(), dim=-1)
        apart = 1 - F.cosine_similarity(hidden.float(), hidden.float().mean(0), dim=-1)
        alpha = settings.novelty_balance
        worth = alpha * change + (1 - alpha) * apart * (change > NEW)
        return torch.where(self.age >= settings.novelty_history, 4.0 + apart, worth * (change > NEW))
