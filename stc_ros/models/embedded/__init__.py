"""The embedded model without transformers, whose classes alone take three seconds to import on a robot.

The modules have the names, and compute what the classes of transformers do, of which the checkpoint was saved; any
other checkpoint goes through transformers (llava_onevision.py), this one may, too.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn

from stc_ros.models import stc_json
from stc_ros.models.base import VideoModel
from stc_ros.models.families import llava_onevision

RECORDED = 'self_test.safetensors'  # what transformers computed of these weights, in float32, when they were exported


def load(folder: Path, device: torch.device, dtype: torch.dtype, notes: str = '') -> VideoModel:
    """The model in `folder`, in `dtype` on `device`."""
    from safetensors.torch import load_file

    config = read_config(folder / 'config.json')
    weights = LlavaOnevision(config)  # not on "meta": that imports what takes as long as transformers
    stored = load_file(folder / 'model.safetensors')
    stored = {rename(name): tensor.to(device, dtype) for name, tensor in stored.items()}
    stored['lm_head.weight'] = stored['model.language_model.embed_tokens.weight']  # tie_word_embeddings
    weights.load_state_dict(stored, assign=True)
    weights.generation_config = read_config(folder / 'generation_config.json')
    own = stc_json.check(str(folder), stc_json.read_stc_json(folder))
    processor = json.loads((folder / 'preprocessor_config.json').read_text())
    model = llava_onevision.build(
        weights.eval(), Tokenizer(folder / 'tokenizer.json'), processor, name=str(folder), own=own, notes=notes
    )
    recorded = folder / RECORDED
    model.reference = (lambda *_: load_file(recorded)['logits']) if recorded.is_file() else None
    return model


def read_config(file: Path) -> SimpleNamespace:
    """A JSON object as a namespace of namespaces."""
    config = json.loads(file.read_text(), object_hook=lambda fields: SimpleNamespace(**fields))
    config.video_token_id = getattr(config, 'video_token_index', None)
    return config


def rename(name: str) -> str:
    """A tensor's name in the file -> in `LlavaOnevision`."""
    return 'model.' + name.replace('language_model.model.', 'language_model.', 1)


class Tokenizer:
    """A tokenizer.json, with the few calls of a transformers tokenizer that `ChatTemplate` makes."""

    chat_template = eos_token_id = None

    def __init__(self, file: Path):
        import tokenizers

        self.inner = tokenizers.Tokenizer.from_file(str(file))

    def encode(self, text: str, add_special_tokens: bool = False, split_special_tokens: bool = False) -> list[int]:
        self.inner.encode_special_tokens = split_special_tokens
        return self.inner.encode(text, add_special_tokens=add_special_tokens).ids

    def decode(self, ids: list[int], skip_special_tokens: bool = False) -> str:
        return self.inner.decode(ids, skip_special_tokens=skip_special_tokens)

    def get_vocab(self) -> dict[str, int]:
        return self.inner.get_vocab(with_added_tokens=True)

    def convert_ids_to_tokens(self, number: int) -> str:
        return self.inner.id_to_token(number)


class LlavaOnevision(nn.Module):
    """Tower, projector, language model."""

    def __init__(self, config):
        super().__init__()
        self.config, text, vision = config, config.text_config, config.vision_config
        self.model = nn.Module()
        self.model.vision_tower = SiglipTower(vision)
        self.model.multi_modal_projector = Projector(vision.hidden_size, text.hidden_size)
        self.model.language_model = Qwen2(text)
        self.model.image_newline = nn.Parameter(torch.empty(text.hidden_size))
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)


class Projector(nn.Module):
    def __init__(self, vision: int, text: int):
        super().__init__()
        self.linear_1, self.act, self.linear_2 = nn.Linear(vision, text), nn.GELU(), nn.Linear(text, text)


class SiglipTower(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(SiglipLayer(config) for _ in range(config.num_hidden_layers))
        self.post_layernorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)  # stored, never used


class Embeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        patches = (config.image_size // config.patch_size) ** 2
        self.patch_embedding = nn.Conv2d(3, config.hidden_size, config.patch_size, config.patch_size)
        self.position_embedding = nn.Embedding(patches, config.hidden_size)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """[F, 3, h, w] -> [F, T, d]."""
        return self.patch_embedding(pixels).flatten(2).transpose(1, 2) + self.position_embedding.weight


class SiglipLayer(nn.Module):
    def __init__(self, config):
        super().__init__()
        d = config.hidden_size
        self.layer_norm1, self.layer_norm2 = (nn.LayerNorm(d, config.layer_norm_eps) for _ in range(2))
        self.self_attn, self.mlp = nn.Module(), SiglipMlp(d, config.intermediate_size)
        self.self_attn.num_heads = config.num_attention_heads
        for name in ('q_proj', 'k_proj', 'v_proj', 'out_proj'):
            setattr(self.self_attn, name, nn.Linear(d, d))


class SiglipMlp(nn.Module):
    def __init__(self, d: int, inner: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(d, inner), nn.Linear(inner, d)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate='tanh'))


class Qwen2(nn.Module):
    """The parts of a Qwen2 model; decoder.py runs them."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Qwen2Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary_emb = nn.Module()
        half = config.hidden_size // config.num_attention_heads // 2
        steps = torch.arange(half, dtype=torch.float32) / half
        self.rotary_emb.inv_freq = 1.0 / config.rope_parameters.rope_theta**steps


class Qwen2Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        d, inner, head = config.hidden_size, config.intermediate_size, config.hidden_size // config.num_attention_heads
        self.input_layernorm, self.post_attention_layernorm = (RmsNorm(d, config.rms_norm_eps) for _ in range(2))
        self.self_attn, self.mlp = nn.Module(), nn.Module()
        self.self_attn.q_proj = nn.Linear(d, d)
        self.self_attn.k_proj, self.self_attn.v_proj = (
            nn.Linear(d, head * config.num_key_value_heads) for _ in range(2)
        )
        self.self_attn.o_proj = nn.Linear(d, d, bias=False)
        self.mlp.gate_proj, self.mlp.up_proj = (nn.Linear(d, inner, bias=False) for _ in range(2))
        self.mlp.down_proj = nn.Linear(inner, d, bias=False)


class RmsNorm(nn.Module):
    def __init__(self, d: int, eps: float):
        super().__init__()
        self.weight, self.variance_epsilon = nn.Parameter(torch.empty(d)), eps
