"""The LLaVA-OneVision family (arXiv 2408.03326) through transformers: SigLIP tower, projector, pooling, Qwen2."""

from __future__ import annotations

import math
import re
from pathlib import Path

import torch
import torch.nn.functional as F

from stc_ros.models import model_families
from stc_ros.models.base import VideoModel
from stc_ros.models.checkpoint import EXAMPLE
from stc_ros.models.checkpoint_check import choose_positions
from stc_ros.models.decoder import Decoder
from stc_ros.models.kind import Kind
from stc_ros.models.load_checkpoint import chat_of, choose_pixels, describe, load_checkpoint
from stc_ros.models.memory_needed import Sizes, reckon_sizes
from stc_ros.models.narration_style import read_style
from stc_ros.models.packed import pack_model
from stc_ros.models.pixels import Pixels
from stc_ros.models.stock import StockForward
from stc_ros.models.tower import build_tower

GOOD_PART = 0.05  # of a visual token, that a patch makes up: of an odd grid's tokens some patches are a trace only
KIND = Kind(
    model_type='llava_onevision',
    title='LLaVA-OneVision',
    example=EXAMPLE,
    config='LlavaOnevisionConfig',
    model='LlavaOnevisionForConditionalGeneration',
    towers=('siglip_vision_model', 'clip_vision_model'),
    texts=('qwen2',),
    parts={
        'model.vision_tower.': 'vision tower',
        'model.multi_modal_projector.': 'projector',
        'model.image_newline': 'newline',
        'model.language_model.': 'language model',
        'lm_head.': 'language model',
    },
    unread=re.compile(r'model\.vision_tower\.(?:vision_model\.)?(?:head\.|post_layernorm\.|encoder\.layers\.(\d+)\.)'),
)
LLAVA_VIDEO = re.compile('llava[-_]?video', re.IGNORECASE)
LLAVA_VIDEO_NOTE = (
    'By its name this is LLaVA-Video, which was trained with a newline behind each row of tokens; its '
    'configuration does not say so, and as in transformers it is shown one newline behind the last '
    'frame. Answers may be worse than those published.'
)


@model_families.register('llava_onevision', source='arXiv 2408.03326', scope='SigLIP or CLIP, Qwen2')
class LlavaOnevision:
    """LLaVA-OneVision: a SigLIP or CLIP vision encoder, a projector, and Qwen2."""

    def load(self, source: str, folder: Path, device: torch.device, dtype: torch.dtype) -> VideoModel:
        return load(source, device, dtype, folder=folder)

    def examine(self, source: str, folder: Path) -> Sizes:
        """What it needs, if nothing is found wrong before weights are read. Raises `ModelError`."""
        config = describe(source, folder, KIND).config
        return sizes_of(config)


def load(
    source: str, device: torch.device, dtype: torch.dtype, notes: str = '', folder: Path | None = None
) -> VideoModel:
    """See `load_checkpoint`. notes: what a user should know of it beforehand."""
    loaded = load_checkpoint(source, folder, device, dtype, KIND)
    if LLAVA_VIDEO.search(Path(source).name) or LLAVA_VIDEO.search(str(loaded.content.get('_name_or_path', ''))):
        notes = f'{notes} {LLAVA_VIDEO_NOTE}'
    pack_model(loaded.weights.model)
    return build(
        loaded.weights,
        loaded.tokenizer,
        loaded.pixels,
        name=source,
        own=loaded.own,
        notes=f'{notes} {loaded.notes}'.strip(),
        template=loaded.template,
    )


def build(
    weights: torch.nn.Module,
    tokenizer,
    pixels: Pixels | dict | None = None,
    *,
    name: str,
    own: dict | None = None,
    notes: str = '',
    template: str | None = None,
) -> VideoModel:
    """A `VideoModel` around loaded weights, a `LlavaOnevisionForConditionalGeneration` or what has its parts.

    pixels: what prepares frames, or a processor's configuration; None is what is usual for the tower. own: stc.json's
    content, checked. template: the model's own chat template, where the tokenizer's is another. Raises `ModelError`
    for what does not fit together.
    """
    config, body = weights.config, weights.model
    text, own = config.text_config, own or {}
    if not isinstance(pixels, Pixels):
        pixels = choose_pixels(name, config, pixels)
    tower = build_tower(body.vision_tower, config.vision_feature_layer, config.vision_feature_select_strategy)
    chat = chat_of(name, tokenizer, weights, own, template)
    pool, (rows, cols) = pooling(tower.grid)
    tower.pooled = pooled_patches(tower.grid)
    projector = body.multi_modal_projector
    decoder = Decoder(body.language_model, weights.lm_head)
    decoder.max_positions = choose_positions(
        name, text.max_position_embeddings, own.get('max_positions'), 2 * (len(chat.prefix()) + rows * cols)
    )
    weights.requires_grad_(False)
    return VideoModel(
        name=name,
        pixels=pixels,
        tower=tower,
        project_in=lambda x: pool(projector.act(projector.linear_1(x))),
        project_out=projector.linear_2,
        project=lambda x: pool(projector.linear_2(projector.act(projector.linear_1(x)))),
        pool=pool,
        token_grid=(rows, cols),
        newline=body.image_newline.data[None],
        decoder=decoder,
        chat=chat,
        narration=read_style(own),
        notes=notes,
        reference=StockForward(weights, config.video_token_id, rows * cols + 1, 'pixel_values_videos', batched=True),
        weights=weights,
    )


def sizes_of(config) -> Sizes:
    """Of a configuration as transformers has it."""
    vision, text = config.vision_config, config.text_config
    grid = vision.image_size // vision.patch_size
    projector = vision.hidden_size * text.hidden_size + text.hidden_size**2
    return reckon_sizes(config, grid, math.ceil(grid / 2) ** 2, projector)


def pooling(grid: tuple[int, int]):
    """How the patches of a grid become visual tokens: [F, T, D] -> [F, rows * cols, D], and (rows, cols).

    Bilinear, to half the grid. Averages commute with an affine layer.
    """
    half = math.ceil(grid[0] / 2), math.ceil(grid[1] / 2)

    def pool(x: torch.Tensor) -> torch.Tensor:
        x = x.unflatten(1, grid).permute(0, 3, 1, 2).contiguous()
        return F.interpolate(x, half, mode='bilinear').flatten(2).transpose(1, 2)

    return pool, half


def pooled_patches(grid: tuple[int, int]) -> torch.Tensor:
    """Which patches are a good part of each visual token, float32 [n, P], for `Tower.pooled`."""
    pool, _ = pooling(grid)
    return (pool(torch.eye(grid[0] * grid[1])[None])[0] > GOOD_PART).float()
