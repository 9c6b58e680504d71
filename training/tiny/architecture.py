"""The shape of the embedded model, and its Hugging Face form with fresh weights."""

import math
import re

import torch
from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration, Qwen2Config, SiglipVisionConfig

IMAGE = 112  # pixels
PATCH = 8
GRID = IMAGE // PATCH  # patches per side of a frame
TOKENS = (GRID // 2) ** 2  # visual tokens per frame, after pooling 2 x 2
POSITIONS = 2048

TOWER = dict(
    hidden_size=192,
    intermediate_size=576,
    num_hidden_layers=5,
    num_attention_heads=4,
    image_size=IMAGE,
    patch_size=PATCH,
    vision_use_head=False,
)
LANGUAGE = dict(
    hidden_size=192,
    intermediate_size=512,
    num_hidden_layers=8,
    num_attention_heads=4,
    num_key_value_heads=4,
    max_position_embeddings=POSITIONS,
    tie_word_embeddings=True,
)


def configure(vocabulary: dict[str, int]) -> LlavaOnevisionConfig:
    """The configuration for a vocabulary, a dict from word to id that holds the special tokens."""
    end = vocabulary['<|im_end|>']
    text = Qwen2Config(
        vocab_size=len(vocabulary), bos_token_id=None, eos_token_id=end, pad_token_id=vocabulary['<pad>'], **LANGUAGE
    )
    return LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(**TOWER),
        text_config=text,
        vision_feature_layer=-1,
        vision_feature_select_strategy='full',
        tie_word_embeddings=True,
        image_grid_pinpoints=[[IMAGE, IMAGE]],
        image_token_index=vocabulary['<image>'],
        video_token_index=vocabulary['<video>'],
    )


def create(config: LlavaOnevisionConfig, seed: int) -> LlavaOnevisionForConditionalGeneration:
    """A model with fresh weights: small normal values, and a tower that knows where its patches are."""
    torch.manual_seed(seed)
    model = LlavaOnevisionForConditionalGeneration(config)
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            torch.nn.init.normal_(weight, std=0.02 if 'embed' in name else 0.6 / math.sqrt(weight.shape[1]))
    vision = model.model.vision_tower.embeddings
    torch.nn.init.normal_(vision.patch_embedding.weight, std=0.05)
    with torch.no_grad():
        vision.position_embedding.weight[:, :64] = encode_grid(64)
    return model


def deepen(model: LlavaOnevisionForConditionalGeneration) -> LlavaOnevisionForConditionalGeneration:
    """A model with LANGUAGE's layers that computes what the given one with fewer does.

    The new layers are copies of its last ones whose outputs are zero (as in arXiv 2401.02415), behind them.
    """
    there = model.config.text_config.num_hidden_layers
    more = LANGUAGE['num_hidden_layers'] - there
    if not more:
        return model
    config = model.config.to_dict()
    config['text_config'] |= {'num_hidden_layers': LANGUAGE['num_hidden_layers'], 'layer_types': None}
    deep = LlavaOnevisionForConditionalGeneration(type(model.config).from_dict(config)).to(model.dtype)
    weights = model.state_dict()
    for name, weight in list(weights.items()):
        if found := re.search(r'language_model\.layers\.(\d+)\.', name):
            layer = int(found[1])
            if layer >= there - more:
                new = name.replace(f'.layers.{layer}.', f'.layers.{layer + more}.')
                weights[new] = weight * 0 if 'o_proj' in name or 'down_proj' in name else weight.clone()
    deep.load_state_dict(weights)
    return deep


def encode_grid(width: int) -> torch.Tensor:
    """Row and column of every patch as sines and cosines of amplitude 1, float32 [GRID * GRID, width].

    Without it the tower's output says too little of where an object is, and motion is not learned.
    """
    scales = torch.logspace(math.log10(1.5 / GRID), math.log10(0.9), width // 4) * math.pi
    at = torch.arange(GRID)[:, None] * scales  # [GRID, width / 4]
    code = torch.cat([at.sin(), at.cos()], 1)
    rows = code[:, None].expand(-1, GRID, -1)
    return torch.cat([rows, rows.transpose(0, 1)], 2).reshape(GRID * GRID, width)
