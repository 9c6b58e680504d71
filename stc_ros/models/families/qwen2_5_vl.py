"""Qwen2.5-VL (arXiv 2502.13923) through transformers: a tower of windows, merged squares of patches, Qwen2, M-RoPE.

Frames follow each other as one video. On the axis of time they stand by the clock, rows and columns begin anew, and a
question begins behind the largest of all, as transformers 4 put it when these models were trained; transformers 5 puts
it behind a frame's longer side, into the midst of a longer video.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import nn

from stc_ros.models import model_families
from stc_ros.models.assemble import assemble
from stc_ros.models.base import ModelError, VideoModel
from stc_ros.models.kind import Kind
from stc_ros.models.load_checkpoint import Loaded, describe
from stc_ros.models.memory_needed import Sizes
from stc_ros.models.qwen_vision import (
    CHAT_END,
    Embeddings,
    GridForward,
    frame_pixels,
    grid_of,
    load_packed,
    nest,
    reckon,
    sections_of,
    split,
    turn_of,
)
from stc_ros.models.tower import Block, Tower

KIND = Kind(
    model_type='qwen2_5_vl',
    title='Qwen2.5-VL',
    example='Qwen/Qwen2.5-VL-3B-Instruct',
    config='Qwen2_5_VLConfig',
    model='Qwen2_5_VLForConditionalGeneration',
    towers=('qwen2_5_vl_vision',),
    texts=('qwen2_5_vl_text',),
    parts={
        'model.visual.merger.': 'projector',
        'model.visual.': 'vision tower',
        'model.language_model.': 'language model',
        'lm_head.': 'language model',
    },
    nest=partial(nest, kind='qwen2_5_vl'),
    pixels=frame_pixels,
)
CHAT = {
    'prefix': '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_start|>',
    'suffix': f'<|vision_end|>{CHAT_END}',
}
SECTIONS = (16, 24, 24)


@model_families.register(
    'qwen2_5_vl', source='arXiv 2502.13923', scope='Qwen2.5-VL, Cosmos-Reason1, StreamingVLM, TimeChat-Online'
)
class Qwen25VL:
    """Qwen2.5-VL and what was trained from it: a tower of windows, and Qwen2 with positions of three axes."""

    def load(self, source: str, folder: Path, device: torch.device, dtype: torch.dtype) -> VideoModel:
        """See `load_checkpoint`."""
        return build(source, load_packed(source, folder, device, dtype, KIND))

    def examine(self, source: str, folder: Path) -> Sizes:
        """What it needs, if nothing is found wrong before weights are read. Raises `ModelError`."""
        about = describe(source, folder, KIND)
        check(source, about.config)
        vision = about.config.vision_config
        gates = vision.num_hidden_layers * vision.hidden_size * vision.intermediate_size
        positions = vision.hidden_size  # of each patch, which it has none of
        return reckon(about.config, about.pixels, 1, 1, lambda patches: gates - positions * patches)


def check(name: str, config) -> None:
    """Raise `ModelError` for what its configuration allows but the loops here do not compute."""
    sections_of(name, config, SECTIONS)
    vision = config.vision_config
    if vision.window_size // vision.spatial_merge_size // vision.patch_size < 1:
        raise ModelError(
            f'{name}: window_size {vision.window_size} in config.json holds no square of {vision.spatial_merge_size} x '
            f'{vision.spatial_merge_size} patches: correct it, or download it again'
        )


def build(name: str, loaded: Loaded) -> VideoModel:
    """A `VideoModel` around loaded weights. Raises `ModelError` for what does not fit together."""
    weights = loaded.weights
    config, body, merger = weights.config, weights.model, weights.model.visual.merger
    check(name, config)
    vision = config.vision_config
    sections = torch.tensor(sections_of(name, config, SECTIONS))
    tower = build_tower(body.visual, grid_of(config, loaded.pixels))

    def project_in(x: torch.Tensor) -> torch.Tensor:
        return merger.mlp[1](merger.mlp[0](merger.ln_q(x.unflatten(-1, (-1, vision.hidden_size))).flatten(-2)))

    return assemble(
        name,
        loaded,
        tower=tower,
        side=(vision.spatial_merge_size, 'spatial_merge_size'),
        body=body.language_model,
        chat=CHAT,
        around=('', ''),
        project_in=project_in,
        project_out=merger.mlp[2],
        reference=GridForward(weights),
        axes=torch.arange(3).repeat_interleave(sections),
        per_second=float(vision.tokens_per_second),
    )


def build_tower(visual: nn.Module, grid: tuple[int, int]) -> Tower:
    """A `Tower` from a transformers Qwen2.5-VL vision model, for frames of `grid` patches."""
    config, device = visual.config, visual.patch_embed.proj.weight.device
    side = config.window_size // config.patch_size // config.spatial_merge_size * config.spatial_merge_size
    row, col = torch.cartesian_prod(*(torch.arange(length, device=device) for length in grid)).T
    window = row // side * grid[1] + col // side
    turn = turn_of(visual, grid, device)
    blocks = [
        Block(
            b.norm1,
            *split(b.attn.qkv),
            b.attn.proj,
            b.norm2,
            b.mlp,
            config.num_heads,
            turn,
            None if number in config.fullatt_block_indexes else window,
        )
        for number, b in enumerate(visual.blocks)
    ]
    return Tower(Embeddings(visual.patch_embed.proj), None, blocks, grid)
