"""Visual tokens that are squares of patches, laid behind each other: pixel shuffle (SmolVLM, InternVL)."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Of a grid of patches [rows, cols], squares of `side` x `side`. units: int64 [n, side * side], their patches."""

    token_grid: tuple[int, int]
    units: torch.Tensor

    @classmethod
    def of(cls, grid: tuple[int, int], side: int, device: torch.device) -> SideBySide:
        """Raises `ValueError` for a grid that squares do not fill."""
        rows, cols = grid
        if rows % side or cols % side:
            raise ValueError(f'{rows} x {cols} patches are no squares of {side} x {side}')
        number = torch.arange(rows * cols, device=device).view(rows // side, side, cols // side, side)
        return cls((rows // side, cols // side), number.permute(0, 2, 1, 3).reshape(-1, side * side))

    def join(self, x: torch.Tensor) -> torch.Tensor:
        """Patches [F, P, d] -> [F, n, side * side * d]."""
        return x[:, self.units].flatten(2)

    def average(self, x: torch.Tensor) -> torch.Tensor:
        """Values of patches [F, P, c] -> of visual tokens, [F, n, c]."""
        return x[:, self.units].mean(2)

    def pooled(self, patches: int) -> torch.Tensor:
        """For `Tower.pooled`, float32 [n, P], on the CPU."""
        return torch.zeros(len(self.units), patches).scatter_(1, self.units.cpu(), 1.0)
