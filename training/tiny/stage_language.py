"""Stage 2: the language model learns to answer about streams, from the frozen tower's features."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from stc_ros.synthetic import PROFILES
from stc_ros.synthetic.forms import TYPES
from training.tiny import attention_losses, forward, losses
from training.tiny.batches import SHARES, draw_batch
from training.tiny.checkpoint import load_newest, log_figures, save_checkpoint
from training.tiny.export import export_model
from training.tiny.measure import measure_shard
from training.tiny.optimise import Optimiser, schedule, share_gradients, split_parameters
from training.tiny.shards import CLIPS, first_shard, load_shard, tune_shard
from training.tiny.tokenizer import Coder

SIZE = 8  # clips per step
ASKED = 16  # questions per clip
TELLINGS = 3  # narrations per clip, in the steps that have any
WEIGHTS = {
    'answer': 1.0,
    'tell': 1.0,
    'look': 0.5,
    'number': 0.3,
    'match': 0.25,
    'name': 0.3,
    'choose': 0.3,
    'point': 0.4,
    'moves': 0.5,
    'past': 0.3,
    'times': 3.0,
    'mark': 1.0,
    'census': 1.0,
}
VISITS = 2.5  # how often a clip is seen, on average
RECENT = 24  # shards from which clips are drawn
DIFFERENCES = 0.5  # of the steps are sent as differences, as a stream is by default
DIFFERENCE_SHARES = (0.33, 0.33, 0.33, 0.5)  # of all tokens that those may tell; drawn evenly
BUSY = 2.0  # times as likely as others to be drawn are clips of the profile `busy`
TUNE_FRAMES = (8, 16, 32)


@dataclass(frozen=True)
class Course:
    """How the language stage goes, and where its files are."""

    folder: Path  # checkpoints and log
    pool: Path  # clips
    export: Path
    steps: int
    rate: float
    seed: int = 0
    device: str = 'cpu'
    hold: float = 0.6  # share of the steps before the rate falls
    narrated: float = 0.5  # share of the steps that also narrate
    tune_clips: int = 48
    begin: int = 0  # the first shard
    rank: int = 0
    ranks: int = 1  # processes that share the steps
    save_every: float = 240.0  # seconds
    look_every: float = 900.0


def shards_for(step: int, begin: int = 0) -> tuple[int, int]:
    """First and last shard that a step may draw from, of those from `begin` on."""
    newest = begin + int(step * SIZE / VISITS / CLIPS) + 4
    return max(newest - RECENT, begin), newest


def train_step(model, heads, batch, head: torch.Tensor, dtype: torch.dtype = torch.bfloat16):
    """Loss, its parts, and which answers were right, bool [n], by type, int64 [n]. Computed in `dtype`."""
    w = forward.gather_weights(model, dtype, forward.TEXT) | {forward.NEWLINE: model.model.image_newline.to(dtype)}
    h = len(head)
    caches, states = losses.read_batch(w, batch, head)
    parts, rights = dict.fromkeys(('answer', 'look', 'number', 'match', 'name', 'choose'), 0.0), []
    asked = sum(group['type'].shape[1] for group in batch.asked)
    for group in batch.asked:
        part = group['type'].shape[1] / asked
        logits, seen = losses.answer_pieces(w, caches, batch, group, h, attention_losses.LAYERS)
        loss, right = losses.score_answers(logits, group)
        rights.append(right)
        parts['answer'] = parts['answer'] + part * loss
        look, number = attention_losses.score_look(seen, batch, group, h)
        parts['look'], parts['number'] = parts['look'] + part * look, parts['number'] + part * number
        parts['match'] = parts['match'] + part * attention_losses.score_match(seen, batch, group, h)
        parts['name'] = parts['name'] + part * attention_losses.score_names(seen, batch, group, h)
        parts['choose'] = parts['choose'] + part * attention_losses.score_choose(seen, batch, group)
    parts['moves'], parts['past'], going = losses.score_history(heads, states, batch, h)
    parts['times'], parts['mark'] = losses.score_times(heads, states, batch, h)
    parts['census'] = losses.score_census(heads, states, batch, h)
    if batch.narrated:
        logits, seen = losses.answer_pieces(w, caches, batch, batch.narrated, h, attention_losses.LAYERS)
        parts['tell'], _ = losses.score_answers(logits, batch.narrated)
        parts['point'] = attention_losses.score_tell(seen, batch, batch.narrated, h)
    loss = sum(WEIGHTS[k] * v for k, v in parts.items())
    types = torch.cat([group['type'] for group in batch.asked], 1).flatten()
    figures = {k: v.item() for k, v in parts.items()} | {'going': going.item()}
    return loss, figures, torch.cat(rights, 1).flatten(), types


def run(model, course: Course) -> None:
    """Trains to the last step, from the newest checkpoint if there is one; exports as it measures.

    Each of the processes takes its share of every step's clips; the first one saves, measures and reports.
    """
    heads = losses.HistoryHeads(model.config.text_config.hidden_size)
    model.to(course.device), heads.to(course.device)
    for name, p in model.named_parameters():
        p.requires_grad_(name.startswith(forward.TEXT) or name == forward.NEWLINE)
    learn = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    matrices, others = split_parameters(learn, (forward.TEXT,))
    optimiser = Optimiser(matrices, others + list(heads.parameters()), course.rate)
    tower = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    first = load_newest(course.folder, 'language', model, optimiser, heads)
    if any(not torch.equal(p, tower[n]) for n, p in model.named_parameters() if n in tower):
        raise SystemExit(
            f"{course.folder} holds a language model that was trained on another tower's features: remove "
            f'its language-*.pt and {course.pool}, or name another --run'
        )
    head = torch.tensor(Coder().head, device=course.device)
    saved = looked = time.monotonic()
    mean = {}
    steps = range(first, course.steps)
    bar = tqdm(steps, initial=first, total=course.steps, desc='language', mininterval=10, disable=course.rank > 0)
    for step in bar:
        batch = _draw(course, step).to(course.device)
        loss, parts, right, types = train_step(model, heads, batch, head)
        loss.backward()
        share_gradients([p for _, p in learn] + list(heads.parameters()))
        optimiser.step(schedule(step, course.steps, warm=100, hold=course.hold))
        if course.rank:
            continue
        for key, value in (parts | {'right': right.float().mean().item(), 'loss': loss.item()}).items():
            mean[key] = mean.get(key, value) * 0.95 + 0.05 * value
        for i, name in enumerate(TYPES):
            of_type = right[types == i]
            if len(of_type):
                mean[name] = mean.get(name, 0.3) * 0.95 + 0.05 * of_type.float().mean().item()
        if step % 10 == 0:
            bar.set_postfix(loss=f'{mean["loss"]:.3f}', right=f'{mean["right"]:.3f}', going=f'{mean["going"]:.2f}')
        if step % 50 == 0:
            log_figures(course.folder, 'language', step, mean)
        if time.monotonic() - saved > course.save_every or step + 1 == course.steps:
            export_model(model, course.export)  # first: behind the last checkpoint a run that is killed does nothing
            save_checkpoint(course.folder, 'language', step + 1, model, optimiser, heads)
            saved = time.monotonic()
        if time.monotonic() - looked > course.look_every or step + 1 == course.steps:
            _look(model, course, step, head)
            looked = time.monotonic()


def _look(model, course: Course, step: int, head: torch.Tensor) -> None:
    """Measures on tuning clips of each length, the longest ones also sent as differences."""
    views = {f'tune-{frames}': (frames, 1.0, False) for frames in TUNE_FRAMES}
    views['tune-differences'] = (TUNE_FRAMES[-1], DIFFERENCE_SHARES[0], True)
    for name, (frames, share, differences) in views.items():
        shard = tune_shard(model, course.pool, frames, course.tune_clips, course.device)
        figures = measure_shard(model, shard, head, share, differences)
        log_figures(course.folder, f'language-{name}', step, figures)
        tqdm.write(f'{name} {step}: ' + ' '.join(f'{k}={v:.2f}' for k, v in figures.items()))


def _draw(course: Course, step: int):
    """The batch of a step, or a process's share of it: the same whenever it is asked for."""
    draw = torch.Generator().manual_seed(course.seed * 1_000_003 + step)
    low, high = shards_for(step, course.begin)
    low = max(low, first_shard(course.pool))
    (course.pool / 'used').write_text(str(high))
    shard = load_shard(course.pool, int(torch.randint(low, high + 1, (), generator=draw)))
    differences = bool(torch.rand((), generator=draw) < DIFFERENCES)
    shares = DIFFERENCE_SHARES if differences else SHARES
    share = shares[int(torch.randint(len(shares), (), generator=draw))]
    liking = torch.ones(len(shard['moment']))
    liking[PROFILES.index('busy') :: len(PROFILES)] = BUSY
    clips = torch.multinomial(liking, SIZE, generator=draw)[course.rank :: course.ranks]
    narrated = TELLINGS * int(torch.rand((), generator=draw) < course.narrated)
    return draw_batch(shard, clips, ASKED, narrated, share, draw, differences)
