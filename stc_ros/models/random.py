"""LLaVA-OneVision models with random weights, for tests and for measuring speed, which does not depend on weights."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration, PreTrainedTokenizerFast

from stc_ros.models.base import VideoModel
from stc_ros.models.families.llava_onevision import build
from stc_ros.models.packed import pack_model

SO400M = {
    'hidden_size': 1152,
    'intermediate_size': 4304,
    'num_attention_heads': 16,
    'num_hidden_layers': 26,
    'image_size': 384,
    'patch_size': 14,
}
SIZES = {  # vision, text
    'toy': (
        {
            'hidden_size': 32,
            'intermediate_size': 64,
            'num_attention_heads': 2,
            'num_hidden_layers': 3,
            'image_size': 24,
            'patch_size': 4,
        },
        {
            'hidden_size': 48,
            'intermediate_size': 96,
            'num_attention_heads': 4,
            'num_key_value_heads': 2,
            'num_hidden_layers': 3,
            'max_position_embeddings': 400,
        },
    ),
    'so400m': (
        SO400M,
        {
            'hidden_size': 896,
            'intermediate_size': 96,
            'num_attention_heads': 14,
            'num_key_value_heads': 2,
            'num_hidden_layers': 1,
            'max_position_embeddings': 32768,
        },
    ),
    '0.5b': (
        SO400M,
        {
            'hidden_size': 896,
            'intermediate_size': 4864,
            'num_attention_heads': 14,
            'num_key_value_heads': 2,
            'num_hidden_layers': 24,
            'max_position_embeddings': 32768,
        },
    ),
    '7b': (
        SO400M,
        {
            'hidden_size': 3584,
            'intermediate_size': 18944,
            'num_attention_heads': 28,
            'num_key_value_heads': 4,
            'num_hidden_layers': 28,
            'max_position_embeddings': 32768,
        },
    ),
}
WORDS = (
    '<unk> <|im_start|> <|im_end|> <image> <video> ? . , what is moving the a red blue circle square left right '
    'you are helpful assistant system user'
).split()  # noqa: SIM905
MARKS = ('<|im_start|>', '<|im_end|>', '<image>', '<video>')


def random_weights(size: str = 'toy', seed: int = 0, device='cpu', dtype=torch.float32):
    """transformers' own model of that size with seeded random weights, in eval mode."""
    vision, text = SIZES[size]
    config = LlavaOnevisionConfig(
        vision_config={'model_type': 'siglip_vision_model', 'vision_use_head': False, **vision},
        text_config={
            'model_type': 'qwen2',
            'vocab_size': len(WORDS) if size in ('toy', 'so400m') else 152000,
            **text,
            'rope_parameters': {'rope_type': 'default', 'rope_theta': 1e4 if size == 'toy' else 1e6},
        },
        image_token_index=WORDS.index('<image>'),
        video_token_index=WORDS.index('<video>'),
        vision_feature_layer=-1,
        vision_feature_select_strategy='full',
        tie_word_embeddings=False,
    )
    return made(LlavaOnevisionForConditionalGeneration, config, WORDS.index('<|im_end|>'), seed, device, dtype)


def made(kind, config, end: int, seed: int = 0, device='cpu', dtype=torch.float32):
    """transformers' model of the class `kind`, its weights made where they are to run. end: id that ends an answer."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        torch.manual_seed(seed)
        with torch.device(device):
            weights = kind(config)
    finally:
        torch.set_default_dtype(before)
    weights.generation_config.eos_token_id = end
    return weights.eval()


def random_tokenizer(words=WORDS, special=MARKS) -> PreTrainedTokenizerFast:
    """A word-level tokenizer over a handful of words."""
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token='<unk>'))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token='<unk>', additional_special_tokens=list(special))


def random_model(size: str = 'toy', seed: int = 0, device='cpu', dtype=torch.float32, packed=False) -> VideoModel:
    """A `VideoModel` of that size.

    size: "toy" (36 patches, 9 visual tokens), "0.5b", "7b", or "so400m", which is their tower with hardly a language
    model. packed: as a large loaded model is, so that its weights cannot be changed.
    """
    weights = random_weights(size, seed, device, dtype)
    if packed:
        pack_model(weights.model, smallest=0)
    return build(weights, random_tokenizer(), name=f'random {size}')
