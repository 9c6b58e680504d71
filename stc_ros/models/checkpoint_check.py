"""Whether a checkpoint is what this package runs, and whole: its configuration, then its loaded weights.

transformers fills what a checkpoint lacks with random numbers, and takes any configuration for the one it was asked
for; such a model answers, too. Hence every check here refuses.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from stc_ros.models.base import ModelError
from stc_ros.models.checkpoint import AGAIN, first_line
from stc_ros.models.kind import Kind
from stc_ros.models.memory_needed import WITH_CLASS_TOKEN

if TYPE_CHECKING:  # else imported where it is needed: it takes seconds
    from transformers import PreTrainedConfig

ROTATIONS = ('default', 'linear', 'yarn', 'llama3')  # whose frequencies do not change with the length
TRAINED = {'mm_newline_position': 'one_token', 'mm_spatial_pool_mode': 'bilinear', 'mm_spatial_pool_stride': 2}
MADE_UP = 10**9  # weights, 4 GB: no more are made up only to find that they were missing


def parse_config(name: str, content: dict, kind: Kind) -> PreTrainedConfig:
    """config.json's `content` -> configuration. Raises `ModelError` for what would not run as it was trained."""
    content = kind.nest(content)
    _check_parts(name, content, kind)
    for part in (content, content['text_config'], content['vision_config']):
        if method := part.get('quantization_config') or part.get('compression_config'):
            how = method.get('quant_method', 'unnamed') if isinstance(method, dict) else method
            raise ModelError(
                f'{name} was saved quantised ({how}), which is not supported: take the checkpoint of which it '
                'was made, in bfloat16, float16 or float32, and set model.quantise'
            )
    for key, trained in TRAINED.items():
        if content.get(key) not in (None, trained):
            raise ModelError(
                f'{name} was trained with {key} {content[key]!r}, as LLaVA-Video is; only {trained!r}, '
                f'as LLaVA-OneVision has it, is supported: take another checkpoint, such as {kind.example}'
            )
    import transformers

    try:
        content = copy.deepcopy(content)
        content.pop('transformers_weights', None)  # names other files than those that were checked
        config = getattr(transformers, kind.config).from_dict(content)
    except Exception as error:  # its validators raise types of their own
        lines = ' '.join(str(error).split())
        raise ModelError(
            f'{name}: config.json holds what cannot be: {lines or type(error).__name__}. Correct it, or {AGAIN}'
        ) from None
    try:
        _check_sizes(config)
    except (ValueError, TypeError, ArithmeticError, AttributeError) as error:
        raise ModelError(
            f'{name}: config.json contradicts itself: {first_line(error)}. Correct it, or {AGAIN}'
        ) from None
    _check_layers(name, config, kind)
    return config


def check_count(name: str, config: PreTrainedConfig, held: int) -> None:
    """Raise `ModelError` where far more numbers are configured than `held`: before they are made up, in gigabytes."""
    text, vision = config.text_config, config.vision_config
    needed = (
        text.vocab_size * text.hidden_size
        + count_layers(config) * vision.hidden_size * vision.intermediate_size * 2
        + text.num_hidden_layers * text.hidden_size * text.intermediate_size * 3
    )
    if needed - held > MADE_UP:
        raise ModelError(
            f'{name} is not complete: config.json describes at least {needed / 1e9:.1f} billion weights, '
            f'of which {held / 1e9:.1f} are there. Take the config.json that belongs to them, or {AGAIN}'
        )


def count_layers(config: PreTrainedConfig) -> int:
    """How many of the vision tower's layers are run."""
    layer = getattr(config, 'vision_feature_layer', -1)
    return layer if layer >= 0 else config.vision_config.num_hidden_layers + 1 + layer


def check_weights(name: str, weights, info: dict, tower_layers: int, kind: Kind) -> str:
    """Raise `ModelError` unless all `weights` that are read came from the checkpoint, in their sizes, and are finite.

    info: what from_pretrained tells of its loading, with mismatched sizes ignored. tower_layers: how many of the
    vision tower's are run. Returns what a user should know of weights that were left out, or ''.
    """

    def read(key: str) -> bool:
        found = kind.unread.match(key)
        return not found or (found[1] is not None and int(found[1]) < tower_layers)

    if missing := sorted(filter(read, info['missing_keys'])):
        raise ModelError(
            f'{name} is not complete: it lacks weights, {_by_part(missing, kind)}, which would be '
            f'random numbers. {AGAIN.capitalize()}, or convert it again'
        )
    if wrong := sorted(((k, *map(list, s)) for k, *s in info['mismatched_keys']), key=lambda w: w[0]):
        _, held, needed = wrong[0]
        raise ModelError(
            f'{name}: sizes of weights contradict config.json, '
            f'{_by_part([w[0] for w in wrong], kind)}: the first is {held} where {needed} is needed. Take the '
            'config.json that belongs to them'
        )
    surplus = sorted(filter(read, info['unexpected_keys']))
    if placeless := [k for k in surplus if k.startswith(tuple(kind.parts))]:
        raise ModelError(
            f'{name} has weights for which config.json has no place, '
            f'{_by_part(placeless, kind)}. Take the config.json that belongs to them'
        )
    _check_finite(name, weights, kind)
    return f'{len(surplus)} weights were left out, the first is {surplus[0]}.' if surplus else ''


def _check_parts(name: str, content: dict, kind: Kind) -> None:
    for part, kinds, what in (
        ('vision_config', kind.towers, 'vision tower'),
        ('text_config', kind.texts, 'language model'),
    ):
        config = content.get(part)
        found = config.get('model_type') if isinstance(config, dict) else None
        if found not in kinds:
            raise ModelError(
                f'{name} has a {what} of the model_type {found!r} ({part} in config.json); supported is '
                f'{" or ".join(map(repr, kinds))}. Take another checkpoint, such as {kind.example}'
            )


def _check_sizes(config: PreTrainedConfig) -> None:
    """Raise `ValueError` for sizes that no model can have. The patches need not fill the image: 384 has 27 of 14."""
    vision, text = config.vision_config, config.text_config
    for part, sizes, names in (
        (
            'vision_config',
            vision,
            'hidden_size intermediate_size num_hidden_layers num_attention_heads image_size patch_size',
        ),
        (
            'text_config',
            text,
            'hidden_size intermediate_size num_hidden_layers num_attention_heads '
            'num_key_value_heads vocab_size max_position_embeddings',
        ),
    ):
        for name in names.split():
            if name == 'image_size' and not hasattr(sizes, name):  # frames of any size
                continue
            size = getattr(sizes, name)
            size = one_side(size) if sizes.model_type == 'internvl_vision' else size
            if type(size) is not int or size < 1:
                raise ValueError(f'{name} of {part} is {size!r}, not a whole number above 0')
        if sizes.hidden_size % sizes.num_attention_heads:
            raise ValueError(
                f'hidden_size {sizes.hidden_size} of {part} cannot be divided among '
                f'num_attention_heads {sizes.num_attention_heads}'
            )
    if text.num_attention_heads % text.num_key_value_heads:
        raise ValueError(
            f'num_attention_heads {text.num_attention_heads} cannot share num_key_value_heads '
            f'{text.num_key_value_heads}'
        )
    if hasattr(vision, 'image_size') and one_side(vision.image_size) < one_side(vision.patch_size):
        raise ValueError(f'image_size {vision.image_size} is less than patch_size {vision.patch_size}')
    if not hasattr(config, 'vision_feature_select_strategy'):
        return
    layer, whole = config.vision_feature_layer, config.vision_feature_select_strategy == 'full'
    if type(layer) is int and not -vision.num_hidden_layers <= layer <= vision.num_hidden_layers or layer == 0:
        raise ValueError(f"vision_feature_layer {layer} is none of the vision tower's {vision.num_hidden_layers}")
    if whole == (vision.model_type in WITH_CLASS_TOKEN):  # else patches would not fill their grid
        raise ValueError(
            f'vision_feature_select_strategy {config.vision_feature_select_strategy!r} does not fit a '
            f'{vision.model_type}: {"default" if whole else "full"!r} does'
        )


def one_side(size):
    """Of a square one, as some configurations write it."""
    return size[0] if isinstance(size, (list, tuple)) and len(set(size)) == 1 else size


def _check_layers(name: str, config: PreTrainedConfig, kind: Kind) -> None:
    """Raise `ModelError` for what the architecture allows but our attention does not compute."""
    text = config.text_config
    if not isinstance(getattr(config, 'vision_feature_layer', -1), int):
        raise ModelError(
            f'{name} takes features from several vision layers ({config.vision_feature_layer}); one is '
            f'supported: take another checkpoint, such as {kind.example}'
        )
    if others := sorted(set(getattr(text, 'layer_types', None) or ()) - {'full_attention'}):
        raise ModelError(
            f'{name} has layers of {" and ".join(others)} in its language model (layer_types or '
            'use_sliding_window in config.json); only full_attention is supported: take another '
            f'checkpoint, such as {kind.example}'
        )
    if text.hidden_act != 'silu':
        raise ModelError(
            f'{name}: hidden_act of its language model is {text.hidden_act!r} in config.json; only silu, '
            'with which they are trained, is supported: correct it, or take another checkpoint'
        )
    rotation = (text.rope_parameters or {}).get('rope_type', 'default')
    if rotation not in ROTATIONS:
        raise ModelError(
            f'{name} turns its positions by rope_type {rotation!r}; supported are {", ".join(ROTATIONS)}: '
            'take another checkpoint'
        )


def _check_finite(name: str, weights, kind: Kind) -> None:
    params = dict(weights.named_parameters())
    sums = torch.stack([p.detach().sum(dtype=torch.float32) for p in params.values()])  # no wait for each on a GPU
    if not torch.isfinite(sums).all():
        bad = [key for key, total in zip(params, sums.tolist()) if not abs(total) < float('inf')]
        cause, remedy = 'is damaged', AGAIN
        if params[bad[0]].dtype == torch.float16:
            cause, remedy = 'is damaged, or does not fit float16', f'set model.dtype to bfloat16 or float32, or {AGAIN}'
        raise ModelError(f'{name} {cause}: weights are not finite, {_by_part(bad, kind)}; {remedy}')


def _by_part(keys, kind: Kind) -> str:
    """What a list of weights is part of, with the first of each part."""
    parts: dict[str, list[str]] = {}
    for key in keys:
        part = next((part for start, part in kind.parts.items() if key.startswith(start)), 'other parts')
        parts.setdefault(part, []).append(key)
    return ', '.join(f'{len(some)} of its {part} ({some[0]})' for part, some in parts.items())


def choose_positions(name: str, trained: int, wanted: int | None, needed: int) -> int:
    """The range of positions that a stream may use: `wanted`, where stc.json asks for less than what was trained."""
    if trained < needed:
        raise ModelError(
            f'{name}: max_position_embeddings in config.json is {trained}, too few for its frames, which '
            f'need {needed}: correct it, or take another checkpoint'
        )
    if wanted is None:
        return trained
    if not needed <= wanted <= trained:
        raise ModelError(
            f'{name}: "max_positions" in stc.json is {wanted}: write a number from {needed}, which its '
            f'frames need, to {trained}, for which it was trained'
        )
    return wanted
