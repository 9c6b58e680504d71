"""The LLaVA-OneVision family (arXiv 2408.03326) through transformers: SigLIP tower, projector, pooling, Qwen2."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import AutoTokenizer, LlavaOnevisionForConditionalGeneration
from transformers.utils import logging

from stc_ros.models.base import ModelError, VideoModel
from stc_ros.models.decoder import Decoder
from stc_ros.models.packed import pack
from stc_ros.models.pixels import Pixels
from stc_ros.models.tower import build_tower
from stc_ros.models.words import Words

GOOD_PART = 0.05    # of a visual token, that a patch makes up: of an odd grid's tokens some patches are a trace only


def load(source: str, device: torch.device, dtype: torch.dtype, notes: str = '') -> VideoModel:
    """Load a hub id or local folder. Raises `ModelError`, which says what is missing and what to do."""
    local = Path(source).expanduser()
    if local.exists() and not (local / 'config.json').is_file():
        raise ModelError(f'{local} is no model folder: it holds no config.json')
    if not local.exists() and (source.startswith(('/', '.', '~')) or source.count('/') != 1):
        raise ModelError(f'there is no model folder {local}; give an existing folder, or a hub id such as '
                         'llava-hf/llava-onevision-qwen2-0.5b-ov-hf')
    where = str(local) if local.exists() else source
    if local.exists():
        logging.disable_progress_bar()      # for what takes a second; a download shows its progress
    try:
        weights = LlavaOnevisionForConditionalGeneration.from_pretrained(where, dtype=dtype).to(device).eval()
        tokenizer = AutoTokenizer.from_pretrained(where)
    except torch.cuda.OutOfMemoryError:
        raise ModelError(f'{source} does not fit into the memory of {device}; take a smaller model or dtype') from None
    except Exception as error:      # transformers and the hub raise a dozen types for what is one thing to a user
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f'cannot load {source} as a LLaVA-OneVision model: {first[0]} (is the folder complete, or, '
                         'for a hub id, is there a network?)') from error
    processor = {k: v for name in ('preprocessor_config.json', 'video_preprocessor_config.json')
                 for k, v in _read(where, name).items()}
    prompts = _read(where, 'stc.json')
    pack(weights.model)
    return build(weights, tokenizer, processor, name=source, prompts=prompts, notes=notes)


def build(weights: LlavaOnevisionForConditionalGeneration, tokenizer, processor: dict | None = None, *, name: str,
          prompts: dict | None = None, notes: str = '') -> VideoModel:
    """A `VideoModel` around loaded weights, which are changed: the language model's rotation moves out of them."""
    config, body = weights.config, weights.model
    layer = config.vision_feature_layer
    if not isinstance(layer, int):
        raise ModelError(f'{name} takes features from several vision layers ({layer}); one is supported')
    tower = build_tower(body.vision_tower, layer, config.vision_feature_select_strategy)
    rows, cols = (math.ceil(side / 2) for side in tower.grid)

    def pool(x: torch.Tensor) -> torch.Tensor:
        """[F, T, D] -> [F, rows * cols, D]: bilinear to half the grid. Averages commute with an affine layer."""
        x = x.unflatten(1, tower.grid).permute(0, 3, 1, 2).contiguous()
        return F.interpolate(x, (rows, cols), mode='bilinear').flatten(2).transpose(1, 2)

    patches = tower.grid[0] * tower.grid[1]
    tower.pooled = (pool(torch.eye(patches)[None])[0] > GOOD_PART).float().to(body.image_newline.device)
    projector = body.multi_modal_projector
    stops = weights.generation_config.eos_token_id
    stops = {stops} if isinstance(stops, int) else set(stops or ())
    end = tokenizer.convert_tokens_to_ids('<|im_end|>')
    prompts = prompts or {}
    extras = {}
    if 'narration' in prompts:
        extras['narration_prompt'] = prompts['narration']
    if 'certainty' in prompts:
        extras['narration_certainty'] = prompts['certainty']
    if 'event' in prompts:
        try:
            extras['event'] = re.compile(prompts['event']).pattern
        except (re.error, TypeError) as error:
            raise ModelError(f'{name}: "event" in stc.json is no regular expression: {error}') from None
    if 'frames' in prompts:
        extras['frame_counts'] = tuple(sorted(prompts['frames']))
    if 'questions' in prompts:
        extras['demo_questions'] = tuple(prompts['questions'])
    weights.requires_grad_(False)
    return VideoModel(
        name=name, pixels=Pixels.from_config(processor or {}, config.vision_config.image_size), tower=tower,
        project_in=lambda x: projector.act(projector.linear_1(x)), project_out=projector.linear_2, pool=pool,
        token_grid=(rows, cols), newline=body.image_newline.data,
        decoder=Decoder(body.language_model, weights.lm_head),
        words=Words(tokenizer, frozenset(stops | ({end} if end is not None else set()))), notes=notes, weights=weights,
        **extras)


def _read(folder: str, name: str) -> dict:
    """A JSON file of the model; {} where the model has none."""
    from transformers.utils import cached_file

    path = cached_file(folder, name, _raise_exceptions_for_missing_entries=False,
                       _raise_exceptions_for_connection_errors=False)
    return json.loads(Path(path).read_text()) if path else {}
