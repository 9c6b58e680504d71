"""Frames whose tokens a test gives, for pruners: with the interface of real ones, and no model behind them."""

from types import SimpleNamespace

import torch

from stc_ros.parameters import pruners
from stc_ros.pruning.base import Pruner, Selection
from stc_ros.vision.cachers.base import Encoded
from stc_ros.vision.encode import FrameFeatures


def given_frame(tokens: torch.Tensor) -> FrameFeatures:
    """`FrameFeatures` of tokens [n, D]: one patch each, the projector the identity, all of it recomputed.

    Keys are the first eight channels, saliency is the first.
    """
    n = len(tokens)
    model = SimpleNamespace(
        tower=SimpleNamespace(finish=lambda x: x, grid=(n, 1), class_tokens=0),
        token_grid=(7, 7) if n == 49 else (n, 1),
        visual_tokens=n,
        **{name: lambda x: x for name in ('project_in', 'project_out', 'pool')},
    )
    frame = FrameFeatures(model, Encoded(tokens[None], tokens[None], torch.ones(n)))
    frame.keys, frame.saliency = tokens[:, :8], tokens[:, 0]
    return frame


def frames(count=5, tokens=49, width=24, seed=0) -> list[torch.Tensor]:
    """Tokens [n, D] of frames that differ by a little noise everywhere, and by another token that is all new."""
    torch.manual_seed(seed)
    background = torch.randn(tokens, width)
    out = []
    for t in range(count):
        frame = background.clone() + 0.01 * torch.randn(tokens, width)
        frame[(7 * t) % tokens] = 3 * torch.randn(width)
        out.append(frame)
    return out


def select_all(pruner: Pruner | str, stream: list[torch.Tensor], prune_ratio: float = 0.67) -> list[Selection]:
    """What a pruner, or a new one of that name, selects of each frame of tokens [n, D]."""
    pruner = pruners.create(pruner) if isinstance(pruner, str) else pruner
    return [pruner.select(given_frame(tokens), prune_ratio) for tokens in stream]


def select(pruner: Pruner, tokens: torch.Tensor, prune_ratio: float) -> torch.Tensor:
    """The index of what a pruner, which does not merge, selects of one frame."""
    (selection,) = select_all(pruner, [tokens], prune_ratio)
    assert torch.equal(selection.tokens, tokens[selection.index])
    return selection.index


def same(a: Selection, b: Selection) -> bool:
    return torch.equal(a.index, b.index) and torch.equal(a.tokens, b.tokens)
