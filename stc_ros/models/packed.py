"""On a CPU: weights laid out once as the processor wants them, instead of anew in every call.

A matrix product with few rows spends more time on laying out its weights than on computing. Compressed frames have few
rows; so without this, a third of the tokens would cost half of the time. oneDNN does it, through the operators that
torch.compile uses; where they are missing, weights stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import nn

GELUS = {'GELUTanh': 'tanh', 'GELUActivation': 'none'}  # transformers' classes, by name: importing them is slow
SMALLEST = 1 << 19  # weights; below this a layer fits the caches, and plain products are as fast
_left_alone = ContextVar('_left_alone', default=False)
ROWS = 64  # the layout suits such products best; others are right, too


class PackedLinear(nn.Module):
    """Computes what the `nn.Linear` did of which it was made, and a GELU behind it. It cannot be trained or saved."""

    def __init__(self, linear: nn.Linear, gelu: str = ''):
        """`gelu`: "none", "tanh" (as PyTorch calls its two forms), or empty for no GELU at all."""
        super().__init__()
        self.behind = ('gelu', [], gelu) if gelu else ('none', [], '')
        self.in_features, self.out_features, self.bias = linear.in_features, linear.out_features, linear.bias
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), ROWS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [..., in] -> [..., out], of the weight's dtype."""
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, *self.behind)


def pack_model(model: nn.Module, smallest: int = SMALLEST) -> None:
    """Pack a LLaVA-OneVision model: its language model, which reads few rows at a time, and some of its tower."""
    pack(model.language_model, smallest)
    pack(model.vision_tower, smallest, many_rows=True)


@contextmanager
def left_alone(so: bool = True) -> Iterator[None]:
    """Within it nothing is packed: what is to be quantised behind loading must be plain until then."""
    before = _left_alone.set(so)
    try:
        yield
    finally:
        _left_alone.reset(before)


def pack(body: nn.Module, smallest: int = SMALLEST, many_rows: bool = False) -> None:
    """Pack every `nn.Linear` of at least `smallest` weights in `body` that can be: on a CPU, in float32 or bfloat16.

    One whose packed product is not that of its plain weights, on the first row of each shape, stays as it is, too.

    many_rows: only those that widen; the others are as fast or faster unpacked from 100 rows on (so400m: by a fifth of
    the time at 729). In a SigLIP or CLIP MLP the activation joins the first layer.
    """
    if _left_alone.get():
        return
    fine: dict[tuple, bool] = {}  # by what chooses a kernel: whether it computes the same
    for parent in list(body.modules()):
        for name, child in parent.named_children():
            if type(child) is not nn.Linear or (many_rows and child.out_features <= child.in_features):
                continue
            if child.weight.numel() >= smallest and can_pack(child.weight):
                gelu = GELUS.get(type(getattr(parent, 'activation_fn', None)).__name__, '') if name == 'fc1' else ''
                packed = PackedLinear(child, gelu)
                kind = (*child.weight.shape, child.weight.dtype, child.bias is None, gelu)
                if kind not in fine:
                    fine[kind] = agrees(child, packed, gelu)
                if not fine[kind]:
                    continue
                setattr(parent, name, packed)
                if gelu:
                    parent.activation_fn = nn.Identity()


@torch.inference_mode()
def agrees(linear: nn.Linear, packed: PackedLinear, gelu: str) -> bool:
    """Whether both compute the same of a few rows, but for rounding."""
    x = torch.sin(torch.arange(4 * linear.in_features).view(4, -1) * 0.37).to(linear.weight.dtype)
    plain, given = linear(x).float(), packed(x).float()
    plain = nn.functional.gelu(plain, approximate=gelu) if gelu else plain
    spread = plain.std() + torch.finfo(torch.float32).tiny
    return bool((given - plain).square().mean().sqrt() / spread < 32 * torch.finfo(x.dtype).eps)


def can_pack(weight: torch.Tensor) -> bool:
    if type(weight.data) is not torch.Tensor:  # quantised: a tensor class of its own, in an `nn.Linear` all the same
        return False
    if weight.device.type != 'cpu' or not torch.backends.mkldnn.is_available():
        return False
    if weight.dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    return weight.dtype in (torch.float32, torch.bfloat16) and hasattr(torch.ops.mkldnn, '_linear_pointwise')
