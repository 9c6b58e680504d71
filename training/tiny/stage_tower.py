"""Stage 1: the tower and the projector learn what is where, from single frames."""

import multiprocessing
import time
from pathlib import Path
from queue import Empty

import numpy as np
import torch
from tqdm import tqdm

from stc_ros.parent_watchdog import end_with_parent
from stc_ros.synthetic import PROFILES
from stc_ros.synthetic.seeds import TRAIN, TUNE
from training.tiny import forward
from training.tiny.checkpoint import load_newest, log_figures, save_checkpoint
from training.tiny.dense import DenseHeads, score_frames
from training.tiny.frames import EMPTY, label_frame, watch
from training.tiny.optimise import Optimiser, schedule, split_parameters

PER_WORLD = 4  # frames taken from one world
STRIDE = 7  # steps between them
CONFIRM_FRAMES = 256
HEADS_ALONE, HEADS_SHARE = 200, 16.0  # steps in which fresh heads learn to read a trained tower, and of which rate
ANCHOR = 20.0  # weight of staying what the language model has learned to read
SECOND = 1.5  # weight of the second object that a token shows
AGAIN_FROM = 100_000_000  # seed, far behind those of the first time
AGAIN = ('busy', 'static', 'busy', 'patrol', 'busy', 'night')  # profiles by turns: objects overlap in busy ones


def draw_batch(step: int, size: int, seeds: range, profiles=PROFILES) -> dict[str, np.ndarray]:
    """The frames and labels of one step, the same whenever it is asked for. frames uint8 [size, S, S, 3]."""
    worlds = size // PER_WORLD
    rows = []
    for j in range(worlds):
        number = step * worlds + j
        for frame, ids, truth in watch(profiles[number % len(profiles)], seeds[number], PER_WORLD, STRIDE):
            rows.append({'frames': frame} | label_frame(ids, truth))
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


def _feed(queue, first: int, last: int, size: int, seeds: range, profiles: tuple[str, ...]) -> None:
    end_with_parent()
    for step in range(first, last):
        queue.put(draw_batch(step, size, seeds, profiles))


def _take(queue, feeder) -> dict[str, np.ndarray]:
    """The next batch. Raises RuntimeError when the process that makes them has ended."""
    while True:
        try:
            return queue.get(timeout=5)
        except Empty:
            if not feeder.is_alive():
                raise RuntimeError('the process that makes the frames has ended; start again, it goes on') from None


def run(
    model, folder: Path, steps: int, size: int, rate: float, device: str, again: bool = False, save_every: float = 120.0
) -> None:
    """Trains to `steps` steps of `size` frames, from the newest checkpoint in `folder` if there is one.

    `again`: the model is trained already, and its language model is to understand the tower as before. So visual tokens
    that show one object or none are to stay what they were; those that two objects share are free to change.
    """
    stage = 'again' if again else 'tower'
    seeds, profiles = (TRAIN[AGAIN_FROM:], AGAIN) if again else (TRAIN, PROFILES)
    heads = DenseHeads(model.config.vision_config.hidden_size, model.config.text_config.hidden_size)
    model.to(device), heads.to(device)
    seen = [(n, p) for n, p in model.named_parameters() if n.startswith((forward.VISION, forward.PROJECTOR))]
    before = {name: p.detach().to(torch.bfloat16, copy=True) for name, p in seen} if again else None
    matrices, others = split_parameters(seen, (forward.VISION,))
    optimiser = Optimiser(matrices, others + list(heads.parameters()), rate)
    first = load_newest(folder, stage, model, optimiser, heads)
    if first >= steps:
        return
    context = multiprocessing.get_context('spawn')
    queue = context.Queue(maxsize=6)
    feeder = context.Process(target=_feed, args=(queue, first, steps, size, seeds, profiles), daemon=True)
    feeder.start()
    alone, hold = (HEADS_ALONE, 0.3) if again else (0, 0.5)
    saved = time.monotonic()
    bar = tqdm(range(first, steps), initial=first, total=steps, desc=stage, mininterval=5)
    for step in bar:
        batch = {k: torch.from_numpy(v).to(device) for k, v in _take(queue, feeder).items()}
        waits = step < alone
        for _, p in seen:
            p.requires_grad_(not waits)
        loss, figures = _score(model, heads, batch, before)
        loss.backward()
        optimiser.step(HEADS_SHARE if waits else schedule(step - alone, steps - alone, warm=50, hold=hold))
        if step % 20 == 0:
            bar.set_postfix(loss=f'{loss.item():.3f}', shape=f'{figures["token.shape"]:.2f}')
            log_figures(folder, stage, step, {'loss': loss.item()} | figures)
        if time.monotonic() - saved > save_every or step + 1 == steps:
            save_checkpoint(folder, stage, step + 1, model, optimiser, heads)
            saved = time.monotonic()
            with torch.no_grad():
                batch = draw_batch(0, CONFIRM_FRAMES, TUNE)
                _, figures = _score(model, heads, {k: torch.from_numpy(v).to(device) for k, v in batch.items()}, before)
            log_figures(folder, stage + '-tune', step, figures)
            tqdm.write(f'tune {step}: ' + ' '.join(f'{k}={v:.3f}' for k, v in figures.items()))
    feeder.join()


def _score(model, heads, batch, before=None):
    """Loss and figures; with the weights `before`, also how far the visual tokens have gone from what they were."""
    w, pixels = forward.gather_weights(model, prefix='model.'), forward.normalise(batch['frames'])
    patches = forward.see_patches(w, pixels)
    tokens = forward.project(w, patches)
    if before is None:
        return score_frames(heads, patches, tokens, batch)
    loss, figures = score_frames(heads, patches, tokens, batch, SECOND)
    with torch.no_grad():
        old = forward.project(before, forward.see_patches(before, pixels)).float()
    gone = (tokens.float() - old).square().mean(2) / old.square().mean()  # [F, TOKENS]
    empty = batch['token_class'][..., 0] == EMPTY
    alone = (batch['second_class'][..., 0] == EMPTY) & ~empty
    groups = {'gone.empty': empty, 'gone.alone': alone, 'gone': ~empty & ~alone}
    moved = {name: gone[here].sum() / max(int(here.sum()), 1) for name, here in groups.items()}
    loss = loss + ANCHOR * (moved['gone.empty'] + moved['gone.alone'])
    return loss, figures | {k: v.item() for k, v in moved.items()}
