"""The LLaVA-OneVision family (arXiv 2408.03326) through transformers: SigLIP tower, projector, pooling, Qwen2."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F

from stc_ros.models import model_families, stc_json
from stc_ros.models.base import ModelError, VideoModel
from stc_ros.models.chat_template import make_chat_template
from stc_ros.models.checkpoint import (
    AGAIN,
    find_folder,
    find_weights,
    first_line,
    read_files,
    read_processor,
    read_template,
)
from stc_ros.models.checkpoint_check import (
    LLAVA_VIDEO,
    LLAVA_VIDEO_NOTE,
    check_count,
    check_weights,
    choose_positions,
    count_layers,
    parse_config,
)
from stc_ros.models.decoder import Decoder
from stc_ros.models.narration_style import NarrationStyle
from stc_ros.models.packed import pack_model
from stc_ros.models.pixels import Pixels
from stc_ros.models.tower import build_tower

GOOD_PART = 0.05  # of a visual token, that a patch makes up: of an odd grid's tokens some patches are a trace only
NO_PROCESSOR_NOTE = 'No processor configuration came with it: pixels are normalised as is usual for its vision tower.'


@model_families.register('llava_onevision', source='arXiv 2408.03326', scope='SigLIP or CLIP, Qwen2')
class LlavaOnevision:
    """LLaVA-OneVision: a SigLIP or CLIP vision encoder, a projector, and Qwen2."""

    def load(self, source: str, folder: Path, device: torch.device, dtype: torch.dtype) -> VideoModel:
        return load(source, device, dtype, folder=folder)


def load(
    source: str, device: torch.device, dtype: torch.dtype, notes: str = '', folder: Path | None = None
) -> VideoModel:
    """Load a hub id or local folder, in `dtype` on `device`. `notes`: what a user should know of it beforehand.

    folder: where `find_folder` has found it already; of a hub's model the weights are downloaded here.

    Raises `ModelError`, which says what is wrong and what to do, for a model that would not run as it was trained:
    of another family, incomplete, damaged, contradicting itself, or with code of its own, which is never executed.
    """
    from transformers import AutoTokenizer, LlavaOnevisionForConditionalGeneration  # seconds: only where it is needed
    from transformers.utils import logging

    folder = folder or find_folder(source)
    content = read_files(folder)
    config = parse_config(source, content)
    processor, file = read_processor(folder)
    pixels = choose_pixels(f'{source}: {file}', config, processor)
    own = stc_json.check(source, stc_json.read_stc_json(folder))
    check_count(source, config, find_weights(source, folder))
    logging.disable_progress_bar()  # what was to be downloaded has been
    where = {'trust_remote_code': False, 'local_files_only': True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **where)
    except Exception as error:  # transformers raises a dozen types for what is one thing to a user
        raise ModelError(f'cannot read the tokenizer of {source}: {first_line(error)}; {AGAIN}') from error
    try:
        weights, info = LlavaOnevisionForConditionalGeneration.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # reported in `info`
            output_loading_info=True,
            **where,
        )
        weights = weights.to(device).eval()
    except torch.cuda.OutOfMemoryError:
        raise ModelError(f'{source} does not fit into the memory of {device}; take a smaller model or dtype') from None
    except Exception as error:
        raise ModelError(
            f'cannot load {source} as a LLaVA-OneVision model: {first_line(error)} (is it complete?); {AGAIN}'
        ) from error
    left_out = check_weights(source, weights, info, count_layers(config))
    if LLAVA_VIDEO.search(Path(source).name) or LLAVA_VIDEO.search(str(content.get('_name_or_path', ''))):
        notes = f'{notes} {LLAVA_VIDEO_NOTE}'
    if processor is None:
        notes = f'{notes} {NO_PROCESSOR_NOTE}'
    pack_model(weights.model)
    return build(
        weights,
        tokenizer,
        pixels,
        name=source,
        own=own,
        notes=f'{notes} {left_out}'.strip(),
        template=read_template(folder),
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
    try:
        chat = make_chat_template(
            tokenizer,
            weights.generation_config.eos_token_id,
            text.vocab_size,
            config.video_token_id,
            own.get('chat'),
            template,
        )
    except ValueError as error:
        raise ModelError(f'{name}: {error}') from None
    pool, (rows, cols) = pooling(tower.grid)
    tower.pooled = pooled_patches(tower.grid).to(body.image_newline.device)
    projector = body.multi_modal_projector
    decoder = Decoder(body.language_model, weights.lm_head)
    decoder.max_positions = choose_positions(
        name, text.max_position_embeddings, own.get('max_positions'), 2 * (len(chat.prefix()) + rows * cols)
    )
    style = NarrationStyle(**{field: own[key] for key, field in STYLE.items() if key in own})
    weights.requires_grad_(False)
    return VideoModel(
        name=name,
        pixels=pixels,
        tower=tower,
        project_in=lambda x: projector.act(projector.linear_1(x)),
        project_out=projector.linear_2,
        pool=pool,
        token_grid=(rows, cols),
        newline=body.image_newline.data,
        decoder=decoder,
        chat=chat,
        narration=style,
        notes=notes,
        weights=weights,
    )


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


STYLE = {  # by stc.json's names
    'narration': 'prompt',
    'certainty': 'min_confidence',
    'event': 'event',
    'frames': 'frame_counts',
    'yes_no': 'yes_no',
}


def choose_pixels(where: str, config, processor: dict | None) -> Pixels:
    """What prepares frames by a processor's configuration; None is what is usual for the tower. Raises `ModelError`."""
    vision = config.vision_config
    try:
        return Pixels.from_config(processor, vision.image_size, clip=vision.model_type == 'clip_vision_model')
    except ValueError as error:
        raise ModelError(f'{where}: {error}') from None
