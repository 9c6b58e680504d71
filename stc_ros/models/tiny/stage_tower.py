"""Stage 1: the tower and the projector learn what is where, from single frames."""

import multiprocessing
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from stc_ros.models.tiny import lean
from stc_ros.models.tiny.checkpoint import load_newest, log_figures, save_checkpoint
from stc_ros.models.tiny.dense import DenseHeads, score_frames
from stc_ros.models.tiny.frames import label_frame, watch
from stc_ros.models.tiny.optimise import Optimiser, schedule, split_parameters
from stc_ros.synthetic import PROFILES
from stc_ros.synthetic.seeds import TRAIN, TUNE

PER_WORLD = 4  # frames taken from one world
STRIDE = 7  # steps between them
CONFIRM_FRAMES = 256


def draw_batch(step: int, size: int, seeds: range) -> dict[str, np.ndarray]:
    """The frames and labels of one step, the same whenever it is asked for. frames uint8 [size, S, S, 3]."""
    worlds = size // PER_WORLD
    rows = []
    for j in range(worlds):
        number = step * worlds + j
        for frame, ids, truth in watch(PROFILES[number % len(PROFILES)], seeds[number], PER_WORLD, STRIDE):
            rows.append({"frames": frame} | label_frame(ids, truth))
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


def _feed(queue, first: int, last: int, size: int) -> None:
    for step in range(first, last):
        queue.put(draw_batch(step, size, TRAIN))


def run(model, folder: Path, steps: int, size: int, rate: float, device: str, save_every: float = 120.0) -> None:
    """Trains to `steps` steps of `size` frames, from the newest checkpoint in `folder` if there is one."""
    heads = DenseHeads(model.config.vision_config.hidden_size, model.config.text_config.hidden_size)
    model.to(device), heads.to(device)
    seen = [(n, p) for n, p in model.named_parameters() if n.startswith((lean.VISION, lean.PROJECTOR))]
    matrices, others = split_parameters(seen, (lean.VISION,))
    optimiser = Optimiser(matrices, others + list(heads.parameters()), rate)
    first = load_newest(folder, "tower", model, optimiser, heads)
    if first >= steps:
        return
    context = multiprocessing.get_context("spawn")
    queue = context.Queue(maxsize=6)
    feeder = context.Process(target=_feed, args=(queue, first, steps, size), daemon=True)
    feeder.start()
    saved = time.monotonic()
    bar = tqdm(range(first, steps), initial=first, total=steps, desc="tower", mininterval=5)
    for step in bar:
        batch = {k: torch.from_numpy(v).to(device) for k, v in queue.get().items()}
        loss, figures = _score(model, heads, batch)
        loss.backward()
        optimiser.step(schedule(step, steps, warm=50, hold=0.5))
        if step % 20 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}", shape=f"{figures['token.shape']:.2f}")
            log_figures(folder, "tower", step, {"loss": loss.item()} | figures)
        if time.monotonic() - saved > save_every or step + 1 == steps:
            save_checkpoint(folder, "tower", step + 1, model, optimiser, heads)
            saved = time.monotonic()
            with torch.no_grad():
                batch = draw_batch(0, CONFIRM_FRAMES, TUNE)
                _, figures = _score(model, heads, {k: torch.from_numpy(v).to(device) for k, v in batch.items()})
            log_figures(folder, "tower-tune", step, figures)
            tqdm.write(f"tune {step}: " + " ".join(f"{k}={v:.3f}" for k, v in figures.items()))
    feeder.join()


def _score(model, heads, batch):
    w = lean.gather_weights(model, prefix="model.")
    patches = lean.see_patches(w, lean.normalise(batch["frames"]))
    return score_frames(heads, patches, lean.project(w, patches), batch)
