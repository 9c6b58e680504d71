"""SmolVLM2 (arXiv 2504.05299) through transformers: SigLIP tower, pixel shuffle, one linear layer, SmolLM2.

Every frame is squared and stands behind its time, "Frame from 01:23:", as its processor writes it; a stream's times
begin with its first frame and go round every hour.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from stc_ros.models import model_families
from stc_ros.models.assemble import assemble
from stc_ros.models.base import VideoModel
from stc_ros.models.checkpoint_check import one_side
from stc_ros.models.frame_text import TIME
from stc_ros.models.kind import Kind
from stc_ros.models.load_checkpoint import Loaded, describe, load_checkpoint
from stc_ros.models.memory_needed import Sizes, reckon_sizes
from stc_ros.models.packed import pack
from stc_ros.models.tower import Block, Tower

KIND = Kind(
    model_type='smolvlm',
    title='SmolVLM',
    example='HuggingFaceTB/SmolVLM2-500M-Video-Instruct',
    config='SmolVLMConfig',
    model='SmolVLMForConditionalGeneration',
    towers=('smolvlm_vision',),
    texts=('llama',),
    parts={
        'model.vision_model.': 'vision tower',
        'model.connector.': 'projector',
        'model.text_model.': 'language model',
        'lm_head.': 'language model',
    },
)
CHAT = {
    'prefix': '<|im_start|>User: You are provided the following series of frames from a video.\n',
    'suffix': '\n\n{question}<end_of_utterance>\nAssistant:',
}
MARK, WHOLE = '<fake_token_around_image>', '<global-img>'
LANCZOS, BICUBIC = 1, 3  # transformers' video processors have no Lanczos filter and take the bicubic one


@model_families.register('smolvlm', source='arXiv 2504.05299', scope='SmolVLM2')
class SmolVLM:
    """SmolVLM2: a SigLIP vision encoder, pixel shuffle and SmolLM2."""

    def load(self, source: str, folder: Path, device: torch.device, dtype: torch.dtype) -> VideoModel:
        """See `load_checkpoint`."""
        loaded = load_checkpoint(source, folder, device, dtype, KIND, square)
        pack(loaded.weights.model.text_model)
        pack(loaded.weights.model.vision_model, many_rows=True)
        return build(source, loaded)

    def examine(self, source: str, folder: Path) -> Sizes:
        """What it needs, if nothing is found wrong before weights are read. Raises `ModelError`."""
        config = describe(source, folder, KIND, square).config
        vision, side = config.vision_config, config.scale_factor
        grid = one_side(vision.image_size) // one_side(vision.patch_size)
        projector = vision.hidden_size * side**2 * config.text_config.hidden_size
        return reckon_sizes(config, grid, (grid // side) ** 2, projector)


def square(processor: dict) -> None:
    """Frames are squared to `max_image_size`, whatever `size` says, and then there is nothing to pad."""
    if isinstance(side := (processor.get('max_image_size') or {}).get('longest_edge'), int):
        processor['size'] = {'height': side, 'width': side}
    if processor.get('resample') == LANCZOS:
        processor['resample'] = BICUBIC


def build(name: str, loaded: Loaded) -> VideoModel:
    """A `VideoModel` around loaded weights. Raises `ModelError` for what does not fit together."""
    config, body = loaded.weights.config, loaded.weights.model
    return assemble(
        name,
        loaded,
        tower=build_tower(body.vision_model),
        side=(config.scale_factor, 'scale_factor'),
        body=body.text_model,
        chat=CHAT,
        around=(f'\nFrame from {TIME}:{MARK}{WHOLE}', MARK),
        project_in=lambda x: x,
        project_out=body.connector.modality_projection,
        batched=True,
    )


class Embeddings(nn.Module):
    """transformers', told that no patch is padding."""

    def __init__(self, inner: nn.Module, side: int):
        super().__init__()
        self.inner, self.side = inner, side

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """[F, 3, h, w] -> [F, T, d]."""
        real = torch.ones(len(pixels), self.side, self.side, dtype=torch.bool, device=pixels.device)
        return self.inner(pixel_values=pixels, patch_attention_mask=real)


def build_tower(vision: nn.Module) -> Tower:
    """A `Tower` from a transformers SmolVLM vision model."""
    side = one_side(vision.config.image_size) // one_side(vision.config.patch_size)
    blocks = [Block.of(layer) for layer in vision.encoder.layers]
    return Tower(Embeddings(vision.embeddings, side), None, blocks, (side, side), after=vision.post_layernorm)
