"""Whether a model computes on this device what it should, before it is let near a robot: a frame, a question.

The plain path of our own (nothing reused, nothing pruned) is compared with the model's reference: transformers' forward
of the same weights on the same device, or what that gave when the embedded model was exported. Products of the first
layers are compared with the same in float64, since a kernel that is wrong is wrong for both.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import nn

from stc_ros.models.base import ModelError, VideoModel
from stc_ros.models.stock import StockForward
from stc_ros.settings import Settings
from stc_ros.stream import open_stream

QUESTION = 'what is moving ?'
PLAIN = {'cacher.method': 'none', 'pruner.method': 'none', 'expert.prefill_batch': 0}
# Root mean square of what logits may differ by, as a share of their spread. bfloat16 has 8 bits, float16 11; each of a
# few dozen layers rounds. What is wrong differs by about as much as the spread, 1.
BOUND = {torch.float32: 0.01, torch.float16: 0.05, torch.bfloat16: 0.15}
# Where a reference does not run the weights that were quantised: the embedded model's is of its plain ones, and that of
# Qwen runs the tower's joint weights of queries, keys and values, of which ours are parts.
ROUNDED = {'': 0.0, 'int8': 0.1, 'int4': 0.4, 'nf4': 0.4}
CLEAR = 10  # bounds by which the likeliest token must be ahead, so that it must be the same one
ROWS, COLUMNS = 16, 32  # of a product that is compared with float64


def self_test(model: VideoModel) -> float:
    """Seconds that it took. Raises `ModelError` for a model that computes something else than it should."""
    began = time.monotonic()
    try:
        _compare(model)
    except ModelError as error:
        dtype = str(model.dtype).removeprefix('torch.')
        raise ModelError(
            f'{model.name} failed its self-test in {dtype} on {model.device}: {error}. It would answer nonsense. Set '
            'another model.dtype (float32) or model.device (cpu), load it from a complete download, or update PyTorch '
            'and the driver; model.self_test:=false starts it all the same'
        ) from None
    return time.monotonic() - began


def picture(height: int, width: int) -> np.ndarray:
    """A frame, uint8 [height, width, 3], of the tower's own size so that no resize rounds: squares on a slope."""
    y, x, c = np.mgrid[:height, :width, :3]
    squares = (x * 4 // width * 3 + y * 4 // height * 5 + c) % 4 == 0
    return np.where(squares, 255 - 60 * c, (x * 97 // width + y * 61 // height + 40 * c) % 256).astype(np.uint8)


@torch.inference_mode()
def reference_logits(model: VideoModel) -> torch.Tensor | None:
    """What the model's reference gives for the question's tokens, float32 [t, V]; None: it has none."""
    if model.reference is None:
        return None
    frame = torch.from_numpy(picture(model.pixels.height, model.pixels.width)).permute(2, 0, 1)[None]
    pixels = model.pixels.normalise(frame, model.device, model.dtype)
    before, behind = model.frame_text.ids(0.0)
    asked = model.chat.suffix(QUESTION)
    return model.reference(pixels, [*model.chat.prefix(), *before], [*behind, *asked], len(asked)).float()


@torch.inference_mode()
def own_logits(model: VideoModel) -> torch.Tensor:
    """The same by our plain path. Raises `ModelError` where a number is none."""
    frame = model.visual_tokens + model.frame_text.most
    settings = Settings(PLAIN | {'memory.max_tokens': max(16, 2 * frame)})
    stream = open_stream(model, settings)
    stream.see(picture(model.pixels.height, model.pixels.width), 1)
    ids = model.chat.suffix(QUESTION)
    asked = torch.cat((model.newline[None], model.decoder.embed(ids)), 1)
    return model.decoder.logits(stream.memory.open(asked).hidden[0, -len(ids) :]).float()


def _compare(model: VideoModel) -> None:
    for name, linear in _linears(model).items():
        _check_product(name, linear, model.dtype, model.device)
    try:
        own, expected = own_logits(model), reference_logits(model)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f'it raises {type(error).__name__}: {error}'.splitlines()[0]) from error
    if not torch.isfinite(own).all():
        raise ModelError('its logits are NaN or infinite')
    if own.std(-1).min() == 0:
        raise ModelError('it gives every token the same logit')
    if expected is None:
        return
    if expected.shape != own.shape:
        raise ModelError(f'its logits are {list(own.shape)}, and its reference gives {list(expected.shape)}')
    if not torch.isfinite(expected).all():
        raise ModelError("transformers' forward of it gives NaN or infinity")
    expected = expected.to(own.device)
    other = not isinstance(model.reference, StockForward)
    bound, spread = BOUND[model.dtype] + (ROUNDED[model.quantised] if other else 0.0), expected.std(-1)  # [t]
    off = ((own - expected).square().mean(-1).sqrt() / spread).max().item()
    if not off <= bound:
        raise ModelError(
            f"its logits differ from transformers' by {off:.1%} of their spread, where {bound:.0%} is the most that "
            'rounding explains'
        )
    top = expected.topk(2, -1)
    clear = top.values[:, 0] - top.values[:, 1] > CLEAR * bound * spread
    if not own.argmax(-1)[clear].equal(top.indices[:, 0][clear]):
        raise ModelError("its likeliest token is another than transformers', where that is clear")


def _linears(model: VideoModel) -> dict[str, nn.Linear]:
    """Some products, one of each kind, whose weights can be read: none that are packed or quantised."""
    vision, text = model.tower.blocks[0], model.decoder.blocks[0]
    found = {
        'the vision tower': vision.v,
        'the projector': model.project_out,
        'the attention of the language model': text.v,
        'the language model': text.down,
        'the head of the language model': model.decoder.head,
    }
    return {
        name: part
        for name, part in found.items()
        if type(part) is nn.Linear and type(part.weight.data) is torch.Tensor and part.weight.is_floating_point()
    }


@torch.inference_mode()
def _check_product(name: str, linear: nn.Linear, dtype: torch.dtype, device: torch.device) -> None:
    """Raise `ModelError` where a product of the device is not what float64 makes of the same numbers.

    Each term may be rounded, and the sum; on a GPU float32 may be multiplied in TF32, of 10 bits.
    """
    wide = linear.in_features
    x = torch.sin(torch.arange(ROWS * wide, dtype=torch.float64) * 0.37).view(ROWS, wide).to(dtype)
    columns = torch.linspace(0, linear.out_features - 1, min(COLUMNS, linear.out_features)).long()
    given = linear(x.to(device))[:, columns.to(device)].double().cpu()
    weight = linear.weight[columns.to(device)].double().cpu()
    bias = 0.0 if linear.bias is None else linear.bias[columns.to(device)].double().cpu()
    expected = x.double() @ weight.T + bias
    terms = x.double().abs() @ weight.abs().T + abs(bias)
    bound = 4 * max(torch.finfo(dtype).eps, 2**-10) * terms + 1e-6
    if not (given - expected).abs().le(bound).all():
        raise ModelError(f'a product in {name} is wrong, as by a broken kernel, or is no number')
