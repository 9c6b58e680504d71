"""Qwen3-VL (arXiv 2511.21631) through transformers: features of several layers, Qwen3, three axes, times as text.

What is read of the tower's last layer is embedded; what is read of earlier ones is added to the first layers of the
language model (deepstack, arXiv 2406.04334). Both lie behind each other in a token, so a pruner keeps or drops them
together.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from stc_ros.models import model_families
from stc_ros.models.assemble import assemble
from stc_ros.models.base import ModelError, VideoModel
from stc_ros.models.frame_text import SECONDS
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
    model_type='qwen3_vl',
    title='Qwen3-VL',
    example='Qwen/Qwen3-VL-2B-Instruct',
    config='Qwen3VLConfig',
    model='Qwen3VLForConditionalGeneration',
    towers=('qwen3_vl_vision',),
    texts=('qwen3_vl_text',),
    parts={
        'model.visual.merger.': 'projector',
        'model.visual.deepstack_merger_list.': 'projector',
        'model.visual.': 'vision tower',
        'model.language_model.': 'language model',
        'lm_head.': 'language model',
    },
    nest=partial(nest, kind='qwen3_vl'),
    pixels=partial(frame_pixels, frames=2),  # its processor bounds a video, of which the least is a pair of frames
)
CHAT = {'prefix': '<|im_start|>user\n', 'suffix': CHAT_END}
AROUND = f'<{SECONDS} seconds><|vision_start|>', '<|vision_end|>'
SECTIONS = (24, 20, 20)


@model_families.register('qwen3_vl', source='arXiv 2511.21631', scope='Qwen3-VL, Cosmos-Reason2; no mixture of experts')
class Qwen3VL:
    """Qwen3-VL and what was trained from it: features of several layers of a tower, and Qwen3 with three axes."""

    def load(self, source: str, folder: Path, device: torch.device, dtype: torch.dtype) -> VideoModel:
        """See `load_checkpoint`."""
        return build(source, load_packed(source, folder, device, dtype, KIND))

    def examine(self, source: str, folder: Path) -> Sizes:
        """What it needs, if nothing is found wrong before weights are read. Raises `ModelError`."""
        about = describe(source, folder, KIND)
        check(source, about.config)
        vision = about.config.vision_config
        table = vision.num_position_embeddings
        mergers = 1 + len(vision.deepstack_visual_indexes)
        return reckon(about.config, about.pixels, mergers, 4, lambda patches: vision.hidden_size * (table - patches))


def check(name: str, config) -> None:
    """Raise `ModelError` for what its configuration allows but the loops here do not compute."""
    sections_of(name, config, SECTIONS)
    vision, text = config.vision_config, config.text_config
    taps, side = list(vision.deepstack_visual_indexes), round(vision.num_position_embeddings**0.5)
    if (
        taps != sorted(set(taps))
        or not all(0 <= tap < vision.depth for tap in taps)
        or len(taps) > text.num_hidden_layers
    ):
        raise ModelError(
            f'{name}: deepstack_visual_indexes in config.json is {taps}: they must ascend, be of the '
            f"tower's {vision.depth} layers, and no more than the language model has: correct it"
        )
    if side**2 != vision.num_position_embeddings:
        raise ModelError(
            f'{name}: num_position_embeddings in config.json is {vision.num_position_embeddings}, which is no square: '
            'correct it, or download it again'
        )


def build(name: str, loaded: Loaded) -> VideoModel:
    """A `VideoModel` around loaded weights. Raises `ModelError` for what does not fit together."""
    weights = loaded.weights
    config, body, visual = weights.config, weights.model, weights.model.visual
    check(name, config)
    vision = config.vision_config
    tower = build_tower(visual, grid_of(config, loaded.pixels))
    mergers = [visual.merger, *visual.deepstack_merger_list]  # of the last layer first, as the tokens are read

    def project_in(x: torch.Tensor) -> torch.Tensor:
        """[.., n, side * side * layers * d] -> [.., n, layers * D']."""
        *early, last = x.unflatten(-1, (-1, len(mergers), vision.hidden_size)).unbind(-2)  # [.., n, side * side, d]
        return torch.cat([merged(merger, part) for merger, part in zip(mergers, (last, *early))], -1)

    def project_out(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([m.linear_fc2(part) for m, part in zip(mergers, x.chunk(len(mergers), -1))], -1)

    return assemble(
        name,
        loaded,
        tower=tower,
        side=(vision.spatial_merge_size, 'spatial_merge_size'),
        body=body.language_model,
        chat=CHAT,
        around=AROUND,
        project_in=project_in,
        project_out=project_out,
        reference=GridForward(weights),
        axes=interleaved(sections_of(name, config, SECTIONS)),
    )


def merged(merger: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """A square's patches [.., side * side, d] -> [.., D'], all but the merger's last layer."""
    x = merger.norm(x.flatten(-2)) if merger.use_postshuffle_norm else merger.norm(x).flatten(-2)
    return merger.act_fn(merger.linear_fc1(x))


def interleaved(sections: list[int]) -> torch.Tensor:
    """Which axis turns each frequency: time, row, column by turns, and time alone where those have had theirs."""
    axes = torch.zeros(sum(sections), dtype=torch.long)
    for axis in (1, 2):
        axes[axis : 3 * sections[axis] : 3] = axis
    return axes


def build_tower(visual: nn.Module, grid: tuple[int, int]) -> Tower:
    """A `Tower` from a transformers Qwen3-VL vision model, for frames of `grid` patches."""
    config, table = visual.config, visual.pos_embed.weight.detach()
    side = round(config.num_position_embeddings**0.5)
    learned = table.float().view(1, side, side, -1).permute(0, 3, 1, 2)
    stretched = F.interpolate(learned, grid, mode='bilinear', align_corners=True)[0].flatten(1).T
    turn = turn_of(visual, grid, table.device)
    blocks = [
        Block(b.norm1, *split(b.attn.qkv), b.attn.proj, b.norm2, b.mlp, config.num_heads, turn) for b in visual.blocks
    ]
    return Tower(
        Embeddings(visual.patch_embed.proj, stretched.to(table.dtype)),
        None,
        blocks,
        grid,
        taps=tuple(config.deepstack_visual_indexes),
    )
