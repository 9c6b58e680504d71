"""Checkpoints of training and its log: written whole or not at all, the newest two kept."""

import json
import os
import time
from pathlib import Path

import torch


def save_checkpoint(folder: Path, stage: str, step: int, model, optimiser, heads) -> None:
    """Writes FOLDER/STAGE-STEP.pt and removes all but the two newest of the stage."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'{stage}-{step:07d}.pt'
    part = path.with_suffix('.part')
    parts = {'model': model, 'optimiser': optimiser, 'heads': heads}
    torch.save({'step': step} | {key: value.state_dict() for key, value in parts.items()}, part)
    os.replace(part, path)
    for old in find_checkpoints(folder, stage)[:-2]:
        old.unlink()


def find_checkpoints(folder: Path, stage: str) -> list[Path]:
    """The checkpoints of a stage, oldest first."""
    return sorted(folder.glob(f'{stage}-*.pt'))


def load_newest(folder: Path, stage: str, model, optimiser=None, heads=None) -> int:
    """Loads the newest checkpoint of a stage; returns the number of steps it has done, 0 when there is none."""
    found = find_checkpoints(folder, stage)
    if not found:
        return 0
    saved = torch.load(found[-1], map_location='cpu', weights_only=True)
    model.load_state_dict(saved['model'])
    if heads is not None:
        heads.load_state_dict(saved['heads'])
    if optimiser is not None:
        optimiser.load_state_dict(saved['optimiser'])
    return saved['step']


def log_figures(folder: Path, stage: str, step: int, figures: dict[str, float]) -> None:
    """Appends one line of JSON to FOLDER/log.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    line = {'time': time.strftime('%H:%M:%S'), 'stage': stage, 'step': step}
    line |= {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}
    with open(folder / 'log.jsonl', 'a') as file:
        file.write(json.dumps(line) + '\n')
