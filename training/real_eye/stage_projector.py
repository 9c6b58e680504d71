"""Stage 1: the projector learns to see what the embedded model's own tower and projector see (distillation).

Its target is the embedded model's visual tokens of the same frames without the backdrop: what is behind the objects is
to be seen as the plain background that the language model knows. Two linear readings of a token, of its object's
colour and shape, are fitted to the targets, and the projector's tokens are to be read right by them: a squared error
hardly sees the few directions in which the shape is written.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from stc_ros.models.real_eye.projector import TOKEN, Projector, gather
from training.tiny.checkpoint import log_figures
from training.tiny.tokenizer import list_words

EMPTY_SHARE, EMPTY_WEIGHT = 0.15, 0.3  # of the tokens without an object: how many are learned from, and their weight
BATCH = 1536  # tokens of a step
READING = 0.3  # weight of the readings
DROPPED = 0.1  # of the pooled hidden values, while it learns: worlds are few
WARM = 30  # steps


class Tokens:
    """Visual tokens of many shards, as the stage reads them, all in memory.

    patches bfloat16 [n, 4, 384], target bfloat16 [n, 192], words int64 [n, 2]: ids of the object's colour and shape, or
    -1; full bool [n]: an object shows there.
    """

    def __init__(self, shards: list[dict], empty_share: float = EMPTY_SHARE, seed: int = 0):
        draw, parts = torch.Generator().manual_seed(seed), []
        for shard in shards:
            words = shard['words'].permute(0, 2, 3, 1).flatten(0, 2).long()  # [B * T * 49, 2]
            full = shard['covered'].any(1).flatten()
            keep = full | (torch.rand(full.shape, generator=draw) < empty_share)
            parts.append(
                (
                    gather(shard['patches']).flatten(0, 2)[keep],
                    shard['target'].flatten(0, 2)[keep],
                    words[keep],
                    full[keep],
                )
            )
        self.patches, self.target, self.words, self.full = (torch.cat(p) for p in zip(*parts))

    def __len__(self) -> int:
        return len(self.full)


class Readings(nn.Module):
    """Colour and shape of a token's object, as words; thrown away after the stage."""

    def __init__(self):
        super().__init__()
        self.words = nn.ModuleList(nn.Linear(TOKEN, len(list_words())) for _ in range(2))

    def score(self, tokens: torch.Tensor, words: torch.Tensor, learn: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy, and which are right, bool [n, 2]. `learn`: the readings are fitted, else the tokens alone."""
        loss, right = 0.0, []
        for i, linear in enumerate(self.words):
            weight, bias = (p if learn else p.detach() for p in (linear.weight, linear.bias))
            said = F.linear(tokens, weight, bias)
            loss = loss + F.cross_entropy(said, words[:, i])
            right.append(said.argmax(1) == words[:, i])
        return loss, torch.stack(right, 1)


def run(projector: Projector, shards: list[dict], folder: Path, steps: int, rate: float, seed: int = 0) -> Readings:
    """Train `projector` in place; `shards` as `training.real_eye.shards` makes them. Figures go to the log."""
    torch.manual_seed(seed)
    data, readings = Tokens(shards, seed=seed), Readings()
    spread = data.target[data.full].float().std(0)  # [192]
    optimiser = torch.optim.AdamW([*projector.parameters(), *readings.parameters()], rate, weight_decay=0.02)
    bar = tqdm(range(steps), desc=f'projector, {len(data)} tokens', mininterval=10)
    for step in bar:
        for group in optimiser.param_groups:
            group['lr'] = rate * min((step + 1) / WARM, (steps - step) / (0.7 * steps), 1.0)
        pick = torch.randint(len(data), (BATCH,))
        error, reading, right = score(projector, readings, data, pick, spread, DROPPED)
        (error + READING * reading).backward()
        nn.utils.clip_grad_norm_(projector.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if step % 25 == 0 or step + 1 == steps:
            colour, shape = right.float().mean(0).tolist()
            figures = {'error': error.item(), 'reading': reading.item(), 'colour': colour, 'shape': shape}
            bar.set_postfix({k: f'{v:.3f}' for k, v in figures.items()})
            log_figures(folder, 'projector', step, figures)
    return readings


def score(
    projector: Projector,
    readings: Readings,
    data: Tokens,
    pick: torch.Tensor,
    spread: torch.Tensor,
    dropped: float = 0.0,
):
    """Squared error in units of the targets' spread, the readings' cross-entropy, and which they read right [m, 2]."""
    target, full = data.target[pick].float(), data.full[pick]
    hidden = F.dropout(projector.enter(data.patches[pick].float()).mean(1), dropped, dropped > 0)
    tokens = projector.linear_3(hidden)
    weight = torch.where(full, 1.0, EMPTY_WEIGHT)
    error = (((tokens - target) / spread).pow(2).mean(1) * weight).sum() / weight.sum()
    words = data.words[pick]
    known = words[:, 0] >= 0
    fitted, _ = readings.score(target[known], words[known], learn=True)
    reading, right = readings.score(tokens[known], words[known], learn=False)
    return error, reading + fitted, right


@torch.no_grad()
def measure(projector: Projector, readings: Readings, shards: list[dict]) -> dict[str, float]:
    """On other shards: squared error of the tokens that show an object, and shares of colours and shapes read right."""
    data = Tokens(shards, 0.0)
    pick = torch.arange(len(data))
    error, _, right = score(projector, readings, data, pick, data.target.float().std(0))
    colour, shape = right.float().mean(0).tolist()
    return {'error': error.item(), 'colour': colour, 'shape': shape}
