"""The optimiser: Muon (orthogonalised momentum) for the matrices of the blocks, AdamW for everything else."""

import math

import torch

MATRIX_SHARE = 3.0  # Muon's rate as a multiple of AdamW's


class Optimiser:
    """Muon and AdamW with one rate. `matrices` and `others` are lists of parameters."""

    def __init__(self, matrices, others, rate: float):
        self.rate = rate
        self.parts = [
            torch.optim.Muon(matrices, lr=rate * MATRIX_SHARE, weight_decay=0.01, adjust_lr_fn='match_rms_adamw'),
            torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True),
        ]

    def step(self, share: float) -> None:
        """One step at `share` of the rate; clips the gradient's norm to 1 and clears it."""
        for part, multiple in zip(self.parts, (MATRIX_SHARE, 1.0)):
            group = part.param_groups[0]
            group['lr'] = self.rate * multiple * share
            torch.nn.utils.clip_grad_norm_(group['params'], 1.0)
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict]) -> None:
        for part, state in zip(self.parts, states):
            part.load_state_dict(state)


def share_gradients(parameters: list) -> None:
    """Gives every process of the group the mean of their gradients; alone, nothing changes."""
    if not torch.distributed.is_initialized():
        return
    for p in parameters:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
    flat = torch.cat([p.grad.flatten() for p in parameters])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    for p, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        p.grad.copy_(part.view_as(p))


def split_parameters(named, matrix_prefixes: tuple[str, ...]):
    """(matrices, others): the weight matrices inside blocks, and all the rest."""
    matrices, others = [], []
    for name, p in named:
        inside = p.ndim == 2 and 'layers.' in name and name.startswith(matrix_prefixes)
        (matrices if inside else others).append(p)
    return matrices, others


def schedule(step: int, steps: int, warm: int, hold: float) -> float:
    """Share of the full rate: a linear start, constant to the share `hold` of the steps, then half a cosine to 0.02."""
    if step < warm:
        return (step + 1) / warm
    start = hold * steps
    if step < start:
        return 1.0
    done = min((step - start) / max(steps - start, 1), 1.0)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))
