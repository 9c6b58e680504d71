"""A checkpoint's parts, read and checked: what every family's loader begins with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stc_ros.models import stc_json
from stc_ros.models.base import ModelError
from stc_ros.models.chat_template import VIDEO, ChatTemplate, make_chat_template
from stc_ros.models.checkpoint import (
    AGAIN,
    find_folder,
    find_weights,
    first_line,
    read_files,
    read_processor,
    read_template,
)
from stc_ros.models.checkpoint_check import check_count, check_weights, count_layers, one_side, parse_config
from stc_ros.models.kind import Kind
from stc_ros.models.pixels import Pixels

NO_PROCESSOR_NOTE = 'No processor configuration came with it: pixels are normalised as is usual for its vision tower.'


@dataclass(slots=True)
class Described:
    """What is told of a model beside its weights. config: transformers'. processor: None where there is none."""

    content: dict
    config: Any
    processor: dict | None
    pixels: Pixels
    own: dict


@dataclass(slots=True)
class Loaded:
    """What lies in a model folder. content: config.json's. own: stc.json's, checked. template: see `read_template`."""

    weights: torch.nn.Module
    tokenizer: Any
    pixels: Pixels
    content: dict
    own: dict
    notes: str
    template: str | None


def describe(source: str, folder: Path, kind: Kind, adapt=lambda processor: None) -> Described:
    """All that can be read, and found wrong, before any weight is. Raises `ModelError`; see `load_checkpoint`."""
    content = read_files(folder)
    config = parse_config(source, content, kind)
    processor, file = read_processor(folder)
    if processor is not None:
        adapt(processor)
    own = stc_json.check(source, stc_json.read_stc_json(folder))
    try:
        pixels = kind.pixels(config, processor, own) if kind.pixels else None
    except ValueError as error:
        raise ModelError(f'{source}: {file or "its processor"}: {error}') from None
    if pixels is None:
        pixels = choose_pixels(f'{source}: {file}', config, processor)
    return Described(content, config, processor, pixels, own)


def load_checkpoint(
    source: str, folder: Path | None, device: torch.device, dtype: torch.dtype, kind: Kind, adapt=lambda processor: None
) -> Loaded:
    """Load a hub id or local folder of that `kind`, in `dtype` on `device`.

    folder: where `find_folder` has found it already; of a hub's model the weights are downloaded here. adapt: changes
    a processor's configuration, in place, to what `Pixels` understands. Raises `ModelError`, which says what is wrong
    and what to do, for a model that would not run as it was trained: of another family, incomplete, damaged,
    contradicting itself, or with code of its own, which is never executed.
    """
    import transformers  # seconds: only where it is needed
    from transformers.utils import logging

    folder = folder or find_folder(source)
    about = describe(source, folder, kind, adapt)
    check_count(source, about.config, find_weights(source, folder))
    logging.disable_progress_bar()  # what was to be downloaded has been
    where = {'trust_remote_code': False, 'local_files_only': True}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **where)
    except Exception as error:  # transformers raises a dozen types for what is one thing to a user
        raise ModelError(f'cannot read the tokenizer of {source}: {first_line(error)}; {AGAIN}') from error
    try:
        weights, info = getattr(transformers, kind.model).from_pretrained(
            folder,
            config=about.config,
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
            f'cannot load {source} as {kind.article} {kind.title} model: {first_line(error)} (is it complete?); {AGAIN}'
        ) from error
    notes = check_weights(source, weights, info, count_layers(about.config), kind)
    if about.processor is None:
        notes = f'{NO_PROCESSOR_NOTE} {notes}'.strip()
    return Loaded(weights, tokenizer, about.pixels, about.content, about.own, notes, read_template(folder))


def choose_pixels(where: str, config, processor: dict | None) -> Pixels:
    """What prepares frames by a processor's configuration; None is what is usual for the tower. Raises `ModelError`."""
    vision = config.vision_config
    try:
        side = one_side(vision.image_size)
        return Pixels.from_config(processor, side, clip=vision.model_type == 'clip_vision_model')
    except ValueError as error:
        raise ModelError(f'{where}: {error}') from None


def chat_of(
    name: str, tokenizer, weights: torch.nn.Module, own: dict, template: str | None = None, usual: dict | None = None
) -> ChatTemplate:
    """The chat format that stc.json names, else the family's `usual` one. Raises `ModelError`."""
    config = weights.config
    video = getattr(config, 'video_token_id', None)
    if video is None:  # frames are shown as images
        video = tokenizer.get_vocab().get(VIDEO, config.image_token_id)
    try:
        return make_chat_template(
            tokenizer,
            weights.generation_config.eos_token_id,
            config.text_config.vocab_size,
            video,
            own.get('chat', usual),
            template,
        )
    except ValueError as error:
        raise ModelError(f'{name}: {error}') from None
