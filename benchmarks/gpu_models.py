"""The models of gpu.py: LLaVA-OneVision 7B and Qwen3-VL 8B with random weights, made where they are to run.

Nothing is downloaded or read. Time and memory do not depend on what the weights are; that a model fits its
configuration, and what it needs, goes through the family's own checks.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from stc_ros.models.base import VideoModel
from stc_ros.models.families import llava_onevision, qwen3_vl
from stc_ros.models.load_checkpoint import Described, Loaded, describe
from stc_ros.models.memory_needed import Sizes
from stc_ros.models.random import MARKS, WORDS, made, random_model, random_tokenizer, random_weights

MODELS = {'llava': 'LLaVA-OneVision 7B', 'qwen3_vl': 'Qwen3-VL 8B'}
LLAVA_SIZES = {'full': '7b', 'toy': 'toy'}
SPECIAL = (*MARKS, '<|vision_start|>', '<|vision_end|>')
QWEN_WORDS = [*WORDS, *SPECIAL[len(MARKS) :]]
# vision, text, and [height, width] of a frame where not the family's own; those of 8B are of its published config.json
QWEN_SIZES = {
    'full': (
        {
            'depth': 27,
            'hidden_size': 1152,
            'intermediate_size': 4304,
            'num_heads': 16,
            'patch_size': 16,
            'out_hidden_size': 4096,
            'num_position_embeddings': 2304,
            'deepstack_visual_indexes': [8, 16, 24],
        },
        {
            'vocab_size': 151936,
            'hidden_size': 4096,
            'intermediate_size': 12288,
            'num_hidden_layers': 36,
            'num_attention_heads': 32,
            'num_key_value_heads': 8,
            'head_dim': 128,
            'max_position_embeddings': 262144,
            'rope_parameters': {'rope_type': 'default', 'rope_theta': 5e6, 'mrope_section': [24, 20, 20]},
        },
        None,
    ),
    'toy': (
        {
            'depth': 4,
            'hidden_size': 32,
            'intermediate_size': 48,
            'num_heads': 2,
            'patch_size': 4,
            'out_hidden_size': 64,
            'num_position_embeddings': 36,
            'deepstack_visual_indexes': [0, 2],
        },
        {
            'vocab_size': len(QWEN_WORDS),
            'hidden_size': 64,
            'intermediate_size': 96,
            'num_hidden_layers': 3,
            'num_attention_heads': 4,
            'num_key_value_heads': 2,
            'head_dim': 16,
            'max_position_embeddings': 1000,
            'rope_parameters': {'rope_type': 'default', 'rope_theta': 1e4, 'mrope_section': [4, 2, 2]},
        },
        [32, 48],
    ),
}
BOUNDS = {'full': (4096, 25165824), 'toy': (64, 1 << 20)}  # pixels, as its video processor has them


def make(name: str, size: str, device: torch.device, dtype: torch.dtype) -> VideoModel:
    """One of MODELS, "full" or "toy", on `device`. Raises `torch.OutOfMemoryError`."""
    if name == 'llava':
        return random_model(LLAVA_SIZES[size], device=device, dtype=dtype)
    weights, about = qwen_weights(size, device, dtype), qwen_described(size)
    loaded = Loaded(weights, qwen_tokenizer(), about.pixels, about.content, about.own, '', None)
    return qwen3_vl.build(f'random {name} {size}', loaded)


def sizes_of(name: str, size: str) -> Sizes:
    """What `stc_ros models` would reckon its memory from; no weight is made."""
    if name == 'llava':
        return llava_onevision.sizes_of(random_weights(LLAVA_SIZES[size], device='meta').config)
    with tempfile.TemporaryDirectory() as folder:
        write_qwen(size, Path(folder))
        return qwen3_vl.Qwen3VL().examine(f'random {name} {size}', Path(folder))


def qwen_config(size: str) -> Qwen3VLConfig:
    vision, text, _ = QWEN_SIZES[size]
    end = QWEN_WORDS.index('<|im_end|>')
    return Qwen3VLConfig(
        vision_config=vision,
        text_config={**text, 'rms_norm_eps': 1e-6, 'pad_token_id': 0, 'bos_token_id': None, 'eos_token_id': end},
        image_token_id=QWEN_WORDS.index('<image>'),
        video_token_id=QWEN_WORDS.index('<video>'),
        tie_word_embeddings=False,
    )


def write_qwen(size: str, folder: Path) -> None:
    """All of a checkpoint that is read before weights are."""
    qwen_config(size).save_pretrained(folder)
    vision, _, frame = QWEN_SIZES[size]
    least, most = BOUNDS[size]
    processor = {
        'patch_size': vision['patch_size'],
        'temporal_patch_size': 2,
        'merge_size': 2,
        'size': {'shortest_edge': least, 'longest_edge': most},
        'image_mean': [0.5] * 3,
        'image_std': [0.5] * 3,
    }
    (folder / 'video_preprocessor_config.json').write_text(json.dumps(processor))
    if frame:
        (folder / 'stc.json').write_text(json.dumps({'frame_size': frame}))


def qwen_described(size: str) -> Described:
    with tempfile.TemporaryDirectory() as folder:
        write_qwen(size, Path(folder))
        return describe('random Qwen3-VL', Path(folder), qwen3_vl.KIND)


def qwen_weights(size: str, device: torch.device | str, dtype: torch.dtype) -> Qwen3VLForConditionalGeneration:
    """transformers' own model, seeded, in eval mode."""
    return made(Qwen3VLForConditionalGeneration, qwen_config(size), QWEN_WORDS.index('<|im_end|>'), 0, device, dtype)


def qwen_tokenizer() -> PreTrainedTokenizerFast:
    """Words and marks; a frame's time is as many tokens as with the real one."""
    return random_tokenizer(QWEN_WORDS, SPECIAL)
