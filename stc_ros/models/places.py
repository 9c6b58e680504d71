"""Where a frame's visual tokens stand on three axes: time, row and column (M-RoPE: Qwen2-VL, arXiv 2409.12191, §2.1).

Two ways of going on from frame to frame. Either text stands between frames; then all axes move on with text and
pictures alike, as in Qwen3-VL. Or frames follow each other as one video; then only time moves on, by the clock, and
rows and columns begin anew, as in Qwen2.5-VL.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True, slots=True)
class Places:
    """grid: rows and columns of a frame's visual tokens. behind: tokens of text behind them.

    per_second: positions that time moves on by; 0: all axes move, by the frame's longer side. Tensors are on the CPU.
    """

    grid: tuple[int, int]
    behind: int = 0
    per_second: float = 0.0
    offsets: torch.Tensor = field(init=False, repr=False)  # int64 [3, n]: of each visual token inside its frame
    resting: torch.Tensor = field(init=False, repr=False)  # int64 [3, 1]: 1 for axes that do not move on with frames

    def __post_init__(self):
        rows, cols = (torch.arange(side) for side in self.grid)
        row, col = torch.cartesian_prod(rows, cols).T
        object.__setattr__(self, 'offsets', torch.stack((torch.zeros_like(row), row, col)))
        rests = int(bool(self.per_second))
        object.__setattr__(self, 'resting', torch.tensor([[0], [rests], [rests]]))

    @property
    def extent(self) -> int:
        """Positions of a frame on its longest axis."""
        return max(self.grid)

    @property
    def num_positions(self) -> int:
        """By which a frame moves all axes on."""
        return 0 if self.per_second else self.extent

    def whole(self, count: int) -> tuple[torch.Tensor, int]:
        """Offsets [3, count] of a frame with all its tokens and the text around it, and how many positions it takes."""
        before = count - self.offsets.shape[1] - self.behind
        text = torch.arange(before + self.behind).expand(3, -1)
        behind = text[:, before:] + self.num_positions
        offsets = torch.cat((text[:, :before], before + self.offsets, behind), 1)
        return offsets, before + self.num_positions + self.behind
