"""The loop that keeps the error of reused features under a bound: how much to recompute, from what was found.

The samples of `drift.py` are foretold from each other before they are computed: an estimate, in every frame, of how far
reused features are from what they would be. It misses what all patches get wrong together, samples included, as they
attend to stale keys, and what grows with every frame since all was computed. So now and then a frame is computed whole
(an audit) and shows the truth; what it showed beyond the estimate is added from then on, as far as it has grown.
Effort, which sets how many samples are taken and how little change counts as change, rises while the error is above the
bound and falls while it is below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SAMPLED = 0.06  # of the patches are samples at effort 1
CHANGE = 0.07  # difference of pixels that counts as change at effort 1: four and a half grey levels
MOST_CHANGE = 0.3
NOISY = 0.1  # noise never asks for a larger difference than this
EFFORT = (0.4, 4.0)  # least, where the bound is 1 - .99 (lower bounds allow less), and most
STEP = 0.25  # power of the error's ratio to the bound by which effort follows it
SMOOTH = 0.3  # weight of the newest frame in running means
JUMP = 0.05  # error of what was left as it was, in one frame, that shows another context: all is due
FAR = 2.0  # times the bound at which a whole frame is due when effort is at its most
INTERVALS = (8, 32)  # fewest and most frames from one whole frame to the next
RESTING = 4  # times as many while no pixel changes: samples see what light does, and nothing else drifts
UNSEEN = (0.0, 0.5)  # least and most of `unseen`


@dataclass(slots=True)
class Bound:
    """What the loop knows. Errors are 1 - cosine, means over patches."""

    effort: float = 1.0
    interval: int = 16  # frames from the last whole frame to the next audit
    unseen: float = 0.0  # error beyond the estimate, as a multiple of it for each frame since; from audits
    since: int = 0  # frames since the last whole frame
    guess: float = 0.0  # running mean of the estimates: reused and moved with the samples
    kept: float = 0.0  # running mean of the samples' error had they been left as they were
    known: bool = False  # whether there was an estimate since the last whole frame
    jumped: bool = False  # whether the newest frame showed another context

    @property
    def error(self) -> float:
        """Estimated error of what is reused, running mean.

        It lies between what the samples tell of each other and what they would have been off by if left as they were;
        their geometric mean was nearest the truth on all tuning inputs.
        """
        return math.sqrt(self.guess * self.kept) * (1 + self.unseen * self.since)

    @property
    def sampled(self) -> float:
        """Share of the patches that are samples."""
        return SAMPLED * self.effort

    def change(self, noise: float) -> float:
        """Difference of pixels that counts as change, where `noise` is what a quarter of the patches stays below."""
        return min(MOST_CHANGE, max(CHANGE / math.sqrt(self.effort), min(NOISY, 1.5 * noise)))

    def whole_due(self, bound: float, resting: bool = False) -> bool:
        """Whether the next frame is to be computed whole; `resting`: nothing in it has changed for a while."""
        spent = self.known and self.error > FAR * bound and self.effort >= EFFORT[1]
        return self.jumped or self.since >= self.interval * (RESTING if resting else 1) or spent

    def note(self, guess: float, kept: float, bound: float) -> None:
        """Take in one frame's estimates: of the error of what was reused, and of what was left as it was."""
        share = SMOOTH if self.known else 1.0
        self.guess += share * (guess - self.guess)
        self.kept += share * (kept - self.kept)
        self.known, self.jumped = True, kept > max(JUMP, 4 * bound)
        ratio = max(self.error, 1e-6) / bound
        least = EFFORT[0] * min(1.0, math.sqrt(0.01 / bound))
        self.effort = min(EFFORT[1], max(least, self.effort * min(2.0, max(0.5, ratio**STEP))))

    def audit(self, truth: float, bound: float) -> None:
        """A whole frame has shown the error of what would have been left as it was: `truth`."""
        if self.known and min(self.guess, self.kept) > 1e-6:
            beyond = (truth - self.kept) / (math.sqrt(self.guess * self.kept) * self.since)
            self.unseen += 0.5 * (min(UNSEEN[1], max(UNSEEN[0], beyond)) - self.unseen)
        if truth < bound / 2:
            self.interval = min(INTERVALS[1], 2 * self.interval)
        elif truth > FAR * bound:
            self.interval = max(INTERVALS[0], self.interval // 2)

    def restart(self) -> None:
        """A whole frame was computed: what is reused from now on is as it would be."""
        self.since, self.known, self.jumped = 0, False, False
