"""What the towers of Qwen2.5-VL and Qwen3-VL share: frames of any size, a patch of two frames, a rotation of two axes.

Rows of patches stay in raster order, where the published code puts them square by square, or window by window: nothing
in a block hangs on the order, since each row knows its place and its window. A frame stands for both frames of the
patch, as an image does.

Sources: Qwen2.5-VL, arXiv 2502.13923, §2.1; Qwen3-VL, arXiv 2511.21631, §2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from stc_ros.models.base import ModelError
from stc_ros.models.kind import Kind
from stc_ros.models.load_checkpoint import Loaded, load_checkpoint
from stc_ros.models.memory_needed import Sizes, reckon_sizes
from stc_ros.models.packed import pack
from stc_ros.models.pixels import Pixels

USUAL = (384, 512)  # height and width of a frame, where nobody names others: those of VGA's shape, 200 to 250 tokens
CHAT_END = '{question}<|im_end|>\n<|im_start|>assistant\n'
VIDEO = 2  # a token's kind, as transformers numbers them


def nest(content: dict, kind: str) -> dict:
    """config.json's content, in which older checkpoints of `kind` lay the language model's out flat."""
    content = dict(content)
    if isinstance(vision := content.get('vision_config'), dict) and vision.get('model_type') in (None, kind):
        content['vision_config'] = {**vision, 'model_type': f'{kind}_vision'}
    if 'text_config' not in content:
        kept = ('vision_config', 'model_type', 'architectures', 'transformers_version', 'quantization_config')
        content['text_config'] = {
            **{key: value for key, value in content.items() if key not in kept and not key.endswith('token_id')},
            'model_type': f'{kind}_text',
        }
    return content


def frame_pixels(config, processor: dict | None, own: dict, frames: int = 1) -> Pixels:
    """What prepares frames. frames: of how many together the processor's bounds are. Raises `ValueError`."""
    vision = config.vision_config
    unit = vision.patch_size * vision.spatial_merge_size
    if processor is None:
        raise ValueError(
            'it came without its video processor, which says how frames become pixels: add its '
            'video_preprocessor_config.json or preprocessor_config.json'
        )
    for name, key in (('patch_size',) * 2, ('temporal_patch_size',) * 2, ('merge_size', 'spatial_merge_size')):
        if (given := processor.get(name, getattr(vision, key))) != getattr(vision, key):
            raise ValueError(f'{name} is {given!r}, but {key} in config.json is {getattr(vision, key)}: correct one')
    size = processor.get('size') if isinstance(processor.get('size'), dict) else {}
    least = processor.get('min_pixels') or size.get('shortest_edge')
    most = processor.get('max_pixels') or size.get('longest_edge')
    if not all(type(bound) is int and bound > 0 for bound in (least, most)) or least > most:
        raise ValueError(
            f'it must bound how many pixels a frame has (size: shortest_edge, longest_edge), not {least!r} to {most!r}'
        )
    height, width = own.get('frame_size') or fit(USUAL, unit, least / frames, most / frames)
    if height % unit or width % unit:
        near = [max(unit, round(side / unit) * unit) for side in (height, width)]
        raise ValueError(f'"frame_size" in stc.json must be multiples of {unit}, not {[height, width]}: write {near}')
    rest = {key: value for key, value in processor.items() if key not in ('size', 'crop_size', 'do_center_crop')}
    return replace(Pixels.from_config(rest, height), width=width)


def load_packed(source: str, folder: Path, device: torch.device, dtype: torch.dtype, kind: Kind) -> Loaded:
    """See `load_checkpoint`; on a CPU with weights laid out as they are multiplied fastest."""
    loaded = load_checkpoint(source, folder, device, dtype, kind)
    visual = loaded.weights.model.visual
    for block in visual.blocks:
        pack(block.mlp, many_rows=True)
    for part in (loaded.weights.model.language_model, visual.merger, getattr(visual, 'deepstack_merger_list', None)):
        if part is not None:
            pack(part)
    return loaded


def grid_of(config, pixels: Pixels) -> tuple[int, int]:
    """Rows and columns of a frame's patches."""
    patch = config.vision_config.patch_size
    return pixels.height // patch, pixels.width // patch


def reckon(config, pixels: Pixels, mergers: int, vectors: int, more: Callable[[int], int]) -> Sizes:
    """`Sizes` of a model with so many mergers, of two matrices and `vectors` biases and norms each.

    more: given how many patches a frame has, what else its tower has, less what it lacks of a usual one.
    """
    vision, grid = config.vision_config, grid_of(config, pixels)
    joined, patches = vision.hidden_size * vision.spatial_merge_size**2, grid[0] * grid[1]
    projector = mergers * joined * (joined + config.text_config.hidden_size + vectors)
    later = 3 * vision.patch_size**2 * vision.hidden_size * (vision.temporal_patch_size - 1)  # frames of a patch
    return reckon_sizes(config, grid, patches // vision.spatial_merge_size**2, projector + later + more(patches))


def fit(sides: tuple[int, int], unit: int, least: float, most: float) -> tuple[int, int]:
    """Height and width of about `sides`, multiples of `unit`, of an area between `least` and `most`."""
    area = sides[0] * sides[1]
    rounded = [max(unit, round(side / unit) * unit) for side in sides]
    if rounded[0] * rounded[1] > most:
        rounded = [max(unit, math.floor(side * math.sqrt(most / area) / unit) * unit) for side in sides]
    elif rounded[0] * rounded[1] < least:
        rounded = [math.ceil(side * math.sqrt(least / area) / unit) * unit for side in sides]
    return rounded[0], rounded[1]


class Embeddings(nn.Module):
    """Patches of a frame that stands for all frames of a patch."""

    def __init__(self, projection: nn.Conv3d, positions: torch.Tensor | None = None):
        """positions: [T, d], added to all patches in raster order."""
        super().__init__()
        self.projection, self.positions = projection, positions

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """[F, 3, h, w] -> [F, T, d]."""
        weight = self.projection.weight
        x = pixels.repeat_interleave(weight.shape[2], 1)
        x = F.conv2d(x, weight.flatten(1, 2), self.projection.bias, weight.shape[-1]).flatten(2).transpose(1, 2)
        return x if self.positions is None else x + self.positions


def turn_of(vision: nn.Module, grid: tuple[int, int], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of each patch's place, float32 [T, head]: half of the frequencies by row, half by column."""
    config = vision.config
    head = config.hidden_size // config.num_heads
    rope = getattr(config, 'rope_parameters', None) or {}
    number = torch.arange(0, head // 2, 2, dtype=torch.float32)
    frequencies = 1 / rope.get('rope_theta', 10000.0) ** (number / (head // 2))
    place = torch.cartesian_prod(*(torch.arange(side, dtype=torch.float32) for side in grid))  # [T, 2]
    angles = (place[..., None] * frequencies).flatten(1).repeat(1, 2).to(device)
    return angles.cos(), angles.sin()


def split(fused: nn.Linear) -> list[nn.Linear]:
    """Queries, keys and values, of weights that stay where they are."""
    parts = []
    for number in range(3):
        rows = slice(number * fused.in_features, (number + 1) * fused.in_features)
        part = nn.Linear(1, 1, bias=False)
        part.in_features = part.out_features = fused.in_features
        part.weight = nn.Parameter(fused.weight.detach()[rows], requires_grad=False)
        if fused.bias is not None:
            part.bias = nn.Parameter(fused.bias.detach()[rows], requires_grad=False)
        parts.append(part)
    return parts


def sections_of(name: str, config, usual: tuple[int, int, int]) -> list[int]:
    """How many of the language model's frequencies turn by time, row and column. Raises `ModelError`."""
    text = config.text_config
    head = getattr(text, 'head_dim', None) or text.hidden_size // text.num_attention_heads
    sections = (text.rope_parameters or {}).get('mrope_section', list(usual))
    if not isinstance(sections, (list, tuple)) or len(sections) != 3 or sum(sections) != head // 2:
        raise ModelError(
            f'{name}: mrope_section in config.json is {sections!r}, which are not the {head // 2} frequencies of its '
            'heads by time, row and column: correct it, or download it again'
        )
    return list(sections)


@dataclass(frozen=True, slots=True)
class GridForward:
    """transformers' own forward of a frame between ids: see `Reference`."""

    weights: nn.Module

    def __call__(self, pixels: torch.Tensor, before: list[int], behind: list[int], keep: int) -> torch.Tensor:
        """pixels [1, 3, h, w] -> logits [keep, V] of the last ids."""
        config = self.weights.config
        vision = config.vision_config
        patch, side, device = vision.patch_size, vision.spatial_merge_size, pixels.device
        grid = pixels.shape[2] // patch, pixels.shape[3] // patch
        count = grid[0] * grid[1] // side**2
        kinds = torch.tensor([[0] * len(before) + [VIDEO] * count + [0] * len(behind)], device=device)
        ids = torch.tensor([[*before, *[config.video_token_id] * count, *behind]], device=device)
        run = self.weights(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=kinds,
            pixel_values_videos=squares(pixels, patch, side, vision.temporal_patch_size),
            video_grid_thw=torch.tensor([[1, *grid]], device=device),
            logits_to_keep=keep,
            use_cache=False,
        )
        return run.logits[0]


def squares(pixels: torch.Tensor, patch: int, side: int, frames: int) -> torch.Tensor:
    """Frames [F, 3, h, w] as Qwen's processors lay them out: patches by squares, [F * T, 3 * frames * p * p]."""
    height, width = (size // (patch * side) for size in pixels.shape[2:])
    x = pixels.view(-1, 3, height, side, patch, width, side, patch).permute(0, 2, 5, 3, 6, 1, 4, 7)
    return x.unsqueeze(6).expand(*x.shape[:6], frames, *x.shape[6:]).reshape(-1, 3 * frames * patch**2)
