"""Stage 2: the embedded language model gets used to the new projector's tokens, and the projector to what it needs.

Losses, optimiser and batches are those of the embedded model's own language stage; beside them the projector's tokens
of objects are held to the embedded model's. All in float32. What is kept is a running mean of the weights
(as in arXiv 1803.05407), which needs no long fall of the rate.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from stc_ros.models.real_eye.projector import Projector
from stc_ros.synthetic.forms import TYPES
from training.real_eye.shards import find_shards
from training.tiny import forward, losses
from training.tiny.architecture import TOKENS
from training.tiny.batches import draw_batch
from training.tiny.checkpoint import load_newest, log_figures, save_checkpoint
from training.tiny.measure import measure_shard
from training.tiny.optimise import Optimiser, schedule, split_parameters
from training.tiny.stage_language import train_step
from training.tiny.tokenizer import Coder

SIZE = 4  # clips of a step
ASKED = 12  # questions a clip
NARRATED = 0.3  # of the steps also narrate
DIFFERENCES = 0.3  # of the steps are sent as differences, as the delta pruner sends a stream
DIFFERENCE_SHARES = (0.33, 0.5)
SHARES = (0.5, 0.8, 1.0, 1.0, 1.0, 1.0)  # of each frame's tokens that the other steps keep; drawn evenly
HELD = 0.3  # weight of the tokens' squared difference from the embedded model's, in units of its spread
MEAN_OVER = 60  # steps that the running mean reaches back, about
NEWEST = 0.3  # of the steps take one of the newest shards, which few steps have seen
SAVE_EVERY, LOOK_EVERY = 240.0, 420.0  # seconds


@dataclass(frozen=True)
class Course:
    """How the stage goes, and where its files are: checkpoints and log in `folder`, clips in `pool`."""

    folder: Path
    pool: Path
    steps: int
    rate: float
    seed: int = 0
    hold: float = 0.4  # share of the steps before the rate falls


def split_names(model, projector: Projector) -> list[tuple[str, nn.Parameter]]:
    """What is trained, by name: the language model, its newline and the projector."""
    for name, p in model.named_parameters():
        p.requires_grad_(name.startswith(forward.TEXT) or name == forward.NEWLINE)
    own = [(f'projector.{n}', p) for n, p in projector.named_parameters()]
    return [(n, p) for n, p in model.named_parameters() if p.requires_grad] + own


def run(model, projector: Projector, tuning: list[dict], course: Course, export) -> None:
    """Train both in place to the last step, from the newest checkpoint if there is one.

    tuning: shards to measure by. export(model, projector) is called with the running means as it measures.
    """
    heads = losses.HistoryHeads(model.config.text_config.hidden_size)
    learn = split_names(model, projector)
    matrices, others = split_parameters(learn, (forward.TEXT,))
    optimiser = Optimiser(matrices, others + list(heads.parameters()), course.rate)
    both = nn.ModuleDict({'model': model, 'projector': projector})
    mean = copy.deepcopy(both)
    first = load_newest(course.folder, 'language', nn.ModuleDict({'now': both, 'mean': mean}), optimiser, heads)
    head = torch.tensor(Coder().head)
    saved = looked = time.monotonic()
    figures = {}
    bar = tqdm(range(first, course.steps), initial=first, total=course.steps, desc='language', mininterval=10)
    for step in bar:
        draw = torch.Generator().manual_seed(course.seed * 1_000_003 + step)
        batch, held = draw_clips(projector, pick_shard(course.pool, draw), draw)
        loss, parts, right, types = train_step(model, heads, batch, head, torch.float32)
        (loss + HELD * held).backward()
        optimiser.step(schedule(step, course.steps, warm=40, hold=course.hold))
        follow(mean, both, 1 / min(step + 1, MEAN_OVER))
        parts |= {'held': held.item(), 'right': right.float().mean().item(), 'loss': loss.item()}
        parts |= {name: right[types == i].float().mean().item() for i, name in enumerate(TYPES) if (types == i).any()}
        for key, value in parts.items():
            figures[key] = figures.get(key, value) * 0.93 + 0.07 * value
        bar.set_postfix(loss=f'{figures["loss"]:.3f}', right=f'{figures["right"]:.3f}', held=f'{figures["held"]:.3f}')
        if step % 20 == 0:
            log_figures(course.folder, 'language', step, figures)
        last = step + 1 == course.steps
        if last or time.monotonic() - looked > LOOK_EVERY:
            look(mean, tuning, course, step, head)
            export(mean['model'], mean['projector'])
            looked = time.monotonic()
        if last or time.monotonic() - saved > SAVE_EVERY:
            save_checkpoint(
                course.folder, 'language', step + 1, nn.ModuleDict({'now': both, 'mean': mean}), optimiser, heads
            )
            saved = time.monotonic()


def pick_shard(pool: Path, draw: torch.Generator) -> dict:
    """One of the shards that there are by now."""
    there = find_shards(pool)
    if bool(torch.rand((), generator=draw) < NEWEST):
        there = there[-8:]
    return torch.load(there[int(torch.randint(len(there), (), generator=draw))], weights_only=True)


def draw_clips(projector: Projector, shard: dict, draw: torch.Generator):
    """A batch of SIZE clips of a shard, whose features carry the projector's gradient, and how far these are off.

    The latter is the mean squared difference of objects' tokens from the embedded model's, in units of their spread.
    """
    some = torch.randperm(len(shard['patches']), generator=draw)[:SIZE]
    shard = {key: value[some] for key, value in shard.items()}
    tokens = projector(shard['patches'].float())  # [B, T, TOKENS, D]
    target, full = shard['target'].float(), shard['covered'].any(1)
    held = ((tokens - target)[full] / target[full].std(0)).pow(2).mean()
    seen = tokens.detach()
    differences = bool(torch.rand((), generator=draw) < DIFFERENCES)
    shares = DIFFERENCE_SHARES if differences else SHARES
    share = shares[int(torch.randint(len(shares), (), generator=draw))]
    narrated = int(torch.rand((), generator=draw) < NARRATED)
    clips = torch.arange(len(tokens))
    batch = draw_batch(shard | {'features': seen, 'late': seen}, clips, ASKED, narrated, share, draw, differences)
    index = batch.index.clamp(max=tokens.shape[1] * TOKENS - 1)
    return replace(batch, features=tokens.flatten(1, 2)[clips[:, None], index]), held


@torch.no_grad()
def follow(mean: nn.Module, now: nn.Module, share: float) -> None:
    """Move the running mean by `share` of its way to what is `now`."""
    for a, b in zip(mean.parameters(), now.parameters()):
        if b.requires_grad:
            a.lerp_(b, share)


@torch.no_grad()
def look(both: nn.ModuleDict, tuning: list[dict], course: Course, step: int, head: torch.Tensor) -> dict[str, float]:
    """Accuracy by type on each tuning shard, teacher-forced; the mean over them goes to the log, and is returned."""
    found = []
    for shard in tuning:
        tokens = both['projector'](shard['patches'].float())
        found.append(
            measure_shard(both['model'], shard | {'features': tokens, 'late': tokens}, head, dtype=torch.float32)
        )
    figures = {key: sum(f[key] for f in found) / len(found) for key in found[0]}
    log_figures(course.folder, 'language-tune', step, figures)
    tqdm.write(f'tune {step}: ' + ' '.join(f'{k}={v:.3f}' for k, v in figures.items()))
    return figures
