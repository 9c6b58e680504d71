"""InternVL 3 and 3.5 (arXiv 2504.10479, 2508.18265) through transformers: InternViT, pixel shuffle, Qwen2 or Qwen3.

A frame is one tile, between <img> and </img>. The published prompt counts the frames of a clip ("Frame7: "); a stream
has no last one, so that the marks stand alone, as between several images.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from stc_ros.models import model_families
from stc_ros.models.assemble import assemble
from stc_ros.models.base import VideoModel
from stc_ros.models.checkpoint_check import one_side
from stc_ros.models.kind import Kind
from stc_ros.models.load_checkpoint import Loaded, describe, load_checkpoint
from stc_ros.models.memory_needed import Sizes, reckon_sizes
from stc_ros.models.packed import pack
from stc_ros.models.tower import Block, Scaled, Tower

KIND = Kind(
    model_type='internvl',
    title='InternVL',
    example='OpenGVLab/InternVL3-1B-hf',
    config='InternVLConfig',
    model='InternVLForConditionalGeneration',
    towers=('internvl_vision',),
    texts=('qwen2', 'qwen3'),
    parts={
        'model.vision_tower.': 'vision tower',
        'model.multi_modal_projector.': 'projector',
        'model.language_model.': 'language model',
        'lm_head.': 'language model',
    },
)
CHAT = {'prefix': '<|im_start|>user\n', 'suffix': '{question}<|im_end|>\n<|im_start|>assistant\n'}


@model_families.register('internvl', source='arXiv 2504.10479', scope='InternVL 3 and 3.5, in the -hf format')
class InternVL:
    """InternVL 3 and 3.5: InternViT with layer scale, pixel shuffle, and Qwen2 or Qwen3."""

    def load(self, source: str, folder: Path, device: torch.device, dtype: torch.dtype) -> VideoModel:
        """See `load_checkpoint`."""
        loaded = load_checkpoint(source, folder, device, dtype, KIND)
        pack(loaded.weights.model.language_model)
        pack(loaded.weights.model.vision_tower, many_rows=True)
        return build(source, loaded)

    def examine(self, source: str, folder: Path) -> Sizes:
        """What it needs, if nothing is found wrong before weights are read. Raises `ModelError`."""
        config = describe(source, folder, KIND).config
        vision, width = config.vision_config, config.text_config.hidden_size
        grid = one_side(vision.image_size) // one_side(vision.patch_size)
        side = round(1 / config.downsample_ratio)
        projector = vision.hidden_size * side**2 * width + width**2
        return reckon_sizes(config, grid, (grid // side) ** 2, projector)


def build(name: str, loaded: Loaded) -> VideoModel:
    """A `VideoModel` around loaded weights. Raises `ModelError` for what does not fit together."""
    config, body, projector = loaded.weights.config, loaded.weights.model, loaded.weights.model.multi_modal_projector
    return assemble(
        name,
        loaded,
        tower=build_tower(body.vision_tower, config.vision_feature_layer, config.vision_feature_select_strategy),
        side=(round(1 / config.downsample_ratio), 'downsample_ratio'),
        body=body.language_model,
        chat=CHAT,
        around=('<img>', '</img>\n'),
        project_in=lambda x: projector.act(projector.linear_1(projector.layer_norm(x))),
        project_out=projector.linear_2,
    )


def build_tower(vision: nn.Module, feature_layer: int, select: str) -> Tower:
    """A `Tower` from a transformers InternVL vision model; arguments as for `models.tower.build_tower`."""
    config, layers = vision.config, vision.encoder.layer
    used = len(layers) + 1 + feature_layer if feature_layer < 0 else feature_layer
    side = one_side(config.image_size) // one_side(config.patch_size)
    return Tower(
        vision.embeddings,
        None,
        [_block(layer) for layer in layers[:used]],
        (side, side),
        class_tokens=1,
        drop_class_token=select == 'default',
        after=vision.layernorm if feature_layer == -1 else None,
    )


def _block(layer: nn.Module) -> Block:
    a = layer.attention
    return Block(
        layer.layernorm_before,
        nn.Sequential(a.q_proj, a.q_norm),
        nn.Sequential(a.k_proj, a.k_norm),
        a.v_proj,
        Scaled(a.projection_layer, layer.lambda_1),
        layer.layernorm_after,
        Scaled(layer.mlp, layer.lambda_2),
        a.num_heads,
    )
