"""How sure a share is, and whether one of two is better: exact, and without scipy."""

from __future__ import annotations

import math
from collections.abc import Sequence

Z95 = 1.959963984540054  # of the normal distribution, two-sided 95 %


def wilson(mean: float, n: int) -> list[float]:
    """95 % interval of a mean of n values, 0 or 1 (Wilson 1927); where values lie between, it is wider than need be."""
    if not n:
        return [0.0, 1.0]
    spread = Z95 * math.sqrt(mean * (1 - mean) / n + Z95**2 / (4 * n * n))
    low, high = (mean + Z95**2 / (2 * n) + sign * spread for sign in (-1, 1))
    return [round(min(max(bound / (1 + Z95**2 / n), 0.0), 1.0), 6) for bound in (low, high)]


def combined(parts: Sequence[tuple[float, float, int]]) -> tuple[float, list[float]]:
    """The sum of weight * mean over independent parts (weight, mean, n), and its 95 % interval: the distances to the
    parts' Wilson bounds added up as squares (Zou and Donner 2008)."""
    bounds = [wilson(mean, n) for _, mean, n in parts]
    total = sum(weight * mean for weight, mean, _ in parts)
    below, above = (
        math.sqrt(sum((weight * (bound[side] - mean)) ** 2 for (weight, mean, _), bound in zip(parts, bounds)))
        for side in (0, 1)
    )
    return total, [round(max(total - below, 0.0), 6), round(min(total + above, 1.0), 6)]


def sign_test(better: int, worse: int) -> float:
    """Two-sided p-value that so uneven a split is chance; of right and wrong answers it is McNemar's exact test."""
    n, fewer = better + worse, min(better, worse)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n) if n else 1.0
