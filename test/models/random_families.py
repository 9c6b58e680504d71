"""Small checkpoints of each family with random weights, as transformers saves them."""

import json
from functools import partial

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    InternVLConfig,
    InternVLForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)

from stc_ros.models.random import WORDS, random_tokenizer, random_weights

MARKS = ('<img>', '</img>', '<end_of_utterance>', '<fake_token_around_image>', '<global-img>')
MARKS += ('<|vision_start|>', '<|vision_end|>')
MORE = [
    *WORDS,
    *MARKS,
    'Frame',
    'from',
    '00',
    '01',
    ':',
    'User',
    'Assistant',
    '\n',
    *(f'<{i}.0' for i in range(9)),
    'seconds>',
]
VIDEO = WORDS.index('<video>')
IMAGE, END = WORDS.index('<image>'), WORDS.index('<|im_end|>')
TEXT = {
    'vocab_size': len(MORE),
    'hidden_size': 48,
    'intermediate_size': 96,
    'num_hidden_layers': 3,
    'num_attention_heads': 4,
    'num_key_value_heads': 2,
    'max_position_embeddings': 1000,
    'rms_norm_eps': 1e-6,
    'rope_parameters': {'rope_type': 'default', 'rope_theta': 1e4},
    'pad_token_id': 0,
    'bos_token_id': None,
    'eos_token_id': END,
}
VISION = {'hidden_size': 32, 'intermediate_size': 64, 'num_hidden_layers': 3, 'num_attention_heads': 2}


def spread(weights, seed=0):
    """Of such size that everything matters."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, p in weights.named_parameters():
            if p.dim() > 1:
                p.normal_(0, 1.0 if 'embed_tokens' in name else 1.2 / p[0].numel() ** 0.5)
            else:
                p.normal_(1.0 if 'norm' in name and name.endswith('weight') else 0.0, 0.2)
    weights.generation_config.eos_token_id = END
    return weights.eval()


def tokenizer():
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(MORE)}, unk_token='<unk>'))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = ['<|im_start|>', '<|im_end|>', '<image>', '<video>', *MARKS]
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token='<unk>', additional_special_tokens=special)


def internvl(text='qwen2', **vision):
    config = InternVLConfig(
        text_config={**TEXT, 'model_type': text, **({'head_dim': 16} if text == 'qwen3' else {})},
        vision_config={**VISION, 'image_size': [56, 56], 'patch_size': [14, 14], **vision},
        image_token_id=IMAGE,
        image_seq_length=4,
    )
    return spread(InternVLForConditionalGeneration(config))


def smolvlm():
    config = SmolVLMConfig(
        text_config={**TEXT, 'model_type': 'llama'},
        vision_config={**VISION, 'image_size': 64, 'patch_size': 8},
        scale_factor=4,
        image_token_id=IMAGE,
    )
    return spread(SmolVLMForConditionalGeneration(config))


def qwen(kind='qwen2_5_vl', num_hidden_layers=3, deepstack=(0, 2), **vision):
    """Of 8 x 12 patches a frame, 4 x 6 visual tokens; where there are windows, of 4 x 4 patches."""
    config, model = {
        'qwen2_5_vl': (Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration),
        'qwen3_vl': (Qwen3VLConfig, Qwen3VLForConditionalGeneration),
    }[kind]
    rope = {**TEXT['rope_parameters'], 'mrope_section': [2, 3, 3] if kind == 'qwen2_5_vl' else [4, 2, 2]}
    return spread(
        model(
            config(
                text_config={
                    **TEXT,
                    'hidden_size': 64,
                    'head_dim': 16,
                    'num_hidden_layers': num_hidden_layers,
                    'rope_parameters': rope,
                },
                vision_config={
                    'depth': 4,
                    'hidden_size': 32,
                    'intermediate_size': 48,
                    'num_heads': 2,
                    'patch_size': 4,
                    'out_hidden_size': 64,
                    **({'deepstack_visual_indexes': deepstack} if kind == 'qwen3_vl' else {}),
                    **vision,
                },
                image_token_id=IMAGE,
                video_token_id=VIDEO,
            )
        )
    )


MAKE = {
    'llava_onevision': lambda: random_weights('toy', seed=4),
    'internvl': internvl,
    'internvl with qwen3, a norm of queries and keys, and its last norm': lambda: internvl(
        'qwen3', use_qk_norm=True, norm_type='rms_norm', use_mean_pooling=False
    ),
    'smolvlm': smolvlm,
    'qwen2_5_vl': partial(qwen, fullatt_block_indexes=[1, 3], window_size=16, tokens_per_second=1),
    'qwen3_vl': partial(qwen, 'qwen3_vl', num_position_embeddings=36),
}


def save(name, folder, **changes):
    """A checkpoint in `folder` -> transformers' own model."""
    weights = MAKE[name](**changes)
    weights.save_pretrained(folder)
    if name.startswith('qwen'):
        processor = {'patch_size': 4, 'temporal_patch_size': 2, 'merge_size': 2, 'size': {}}
        processor['size'] = {'shortest_edge': 64, 'longest_edge': 1 << 20}
        processor |= {'image_mean': [0.4, 0.5, 0.6], 'image_std': [0.3, 0.25, 0.2]}
        (folder / 'video_preprocessor_config.json').write_text(json.dumps(processor))
        (folder / 'stc.json').write_text(json.dumps({'frame_size': [32, 48]}))
    (random_tokenizer() if name == 'llava_onevision' else tokenizer()).save_pretrained(folder)
    return weights
