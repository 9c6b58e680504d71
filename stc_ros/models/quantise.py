"""Weights of a loaded model in 8 or 4 bits: less memory, and on a GPU less to read for each token.

torchao does it, of "nf4" bitsandbytes. Weights only, after loading: activations stay in the model's own dtype, so that
no row of a product depends on another one and a cacher may leave rows out as before. Embeddings, projector and head
stay as they are. On a CPU the products are no faster, most are slower: weights are turned back in each call, and cannot
be laid out by packed.py.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import fields

import torch
from torch import nn

from stc_ros.models.base import ModelError, VideoModel
from stc_ros.models.memory_needed import BLOCK, GROUP

# Root mean square of what a product may differ by from that of the plain weights, as a share of its spread. Rounding to
# 256 or 16 levels explains less (0.01, 0.1 on weights that are spread normally); a wrong kernel gives about 1.
BOUND = {'int8': 0.05, 'int4': 0.3, 'nf4': 0.3}
PACKAGE = {'int8': 'torchao', 'int4': 'torchao', 'nf4': 'bitsandbytes'}
REMEDY = "pip install 'stc_ros[quantised]', or -r requirements/quantised.txt"


def check(how: str, device: torch.device, dtype: torch.dtype) -> None:
    """Raise `ModelError`, before anything is loaded, where weights cannot be quantised so."""
    if how == 'nf4' and device.type != 'cuda':
        raise ModelError('model.quantise nf4 needs an NVIDIA GPU: take int8 or int4, or set model.device')
    if importlib.util.find_spec(PACKAGE[how]) is None:
        raise ModelError(f'model.quantise {how} needs {PACKAGE[how]}, which is not installed: {REMEDY}')
    try:
        importlib.import_module(PACKAGE[how])
    except Exception as error:  # torchao 0.18 on PyTorch 2.6: AttributeError
        raise ModelError(
            f'{PACKAGE[how]} does not run with PyTorch {torch.__version__} ({type(error).__name__}: {error}): update '
            'PyTorch, or set model.quantise to none'
        ) from error
    if how == 'int4' and device.type == 'cuda' and dtype != torch.bfloat16:
        raise ModelError(
            'model.quantise int4 runs on a GPU in bfloat16 only: set model.dtype to bfloat16, or take int8'
        )


def quantise(model: VideoModel, how: str) -> None:
    """Quantise the layers of the language model, and at "int8" of the vision tower.

    Raises `ModelError` for weights whose products would be wrong.
    """
    parts = [*model.decoder.blocks, *(model.tower.blocks if how == 'int8' else ())]
    linears = [linear for part in parts for linear in _linears(part)]
    new: dict[nn.Module, nn.Module] = {}
    fine = set()
    for linear in linears:
        if type(linear) is not nn.Linear or type(linear.weight.data) is not torch.Tensor:
            continue  # it is quantised or packed already
        if how == 'int4' and linear.in_features % GROUP:
            continue
        kind = (*linear.weight.shape, linear.bias is None)
        x = torch.sin(torch.arange(4 * linear.in_features, device=model.device).view(4, -1) * 0.37).to(model.dtype)
        with torch.inference_mode():
            expected = None if kind in fine else linear(x)
        new[linear] = quantised = _quantise(linear, how)
        if expected is not None:
            _check_product(model.name, how, quantised, x, expected)
            fine.add(kind)
    _take_their_places(new, model)
    model.quantised = how
    if left := len(linears) - len(new):
        said = f'{left} of {len(linears)} weights could not be quantised to {how}, and stay as they were.'
        model.notes = f'{model.notes} {said}'.strip()


def _linears(part: object) -> Iterator[nn.Linear]:
    """Of a `Layer` or `Block`, whose parts are modules."""
    for field in fields(part):  # type: ignore[arg-type]
        held = getattr(part, field.name)
        if isinstance(held, nn.Module):
            yield from (each for each in held.modules() if isinstance(each, nn.Linear))


def _take_their_places(new: dict[nn.Module, nn.Module], model: VideoModel) -> None:
    """Of layers of the language model that were replaced: in our `Layer`s, and in the model that is the reference."""
    for layer in model.decoder.blocks:
        for field in fields(layer):
            if (old := getattr(layer, field.name)) in new:
                setattr(layer, field.name, new[old])
    for module in list(model.weights.modules()):
        for name, child in module.named_children():
            setattr(module, name, new.get(child, child))


def _quantise(linear: nn.Linear, how: str) -> nn.Module:
    """The same layer, quantised, or for "nf4" another one in its place."""
    try:
        if how == 'nf4':
            return _to_nf4(linear)
        _quantise_in_place(linear, how)
    except Exception as error:  # an operator that this PyTorch, processor or GPU lacks: half a dozen types
        raise ModelError(
            f'{PACKAGE[how]} cannot quantise weights to {how} on {linear.weight.device}: {type(error).__name__}, '
            f'{" ".join(str(error).split())[:200]}. Set model.quantise to another, or none'
        ) from error
    return linear


def _to_nf4(linear: nn.Linear) -> nn.Module:
    from bitsandbytes.nn import Linear4bit, Params4bit

    new = Linear4bit(1, 1, False, compute_dtype=linear.weight.dtype, quant_type='nf4')
    new.in_features, new.out_features, new.bias = linear.in_features, linear.out_features, linear.bias
    new.weight = Params4bit(linear.weight.data, requires_grad=False, quant_type='nf4', blocksize=BLOCK)
    return new.to(linear.weight.device)


def _quantise_in_place(linear: nn.Linear, how: str) -> None:
    from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig, quantize_

    if how == 'int8':
        config = Int8WeightOnlyConfig(set_inductor_config=False)
    elif linear.weight.device.type == 'cuda':
        config = Int4WeightOnlyConfig(
            group_size=GROUP, int4_packing_format='tile_packed_to_4d', set_inductor_config=False
        )
    else:
        from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

        config = PrototypeInt4WeightOnlyConfig(group_size=GROUP, set_inductor_config=False)
    quantize_(linear, config)


@torch.inference_mode()
def _check_product(name: str, how: str, linear: nn.Module, x: torch.Tensor, expected: torch.Tensor) -> None:
    off = (linear(x).float() - expected.float()).square().mean().sqrt() / expected.float().std()
    if not off <= BOUND[how]:
        raise ModelError(
            f'{name} cannot be run in {how}: a product of {linear.in_features} x {linear.out_features} weights differs '
            f'by {off:.1%} of its spread, where {BOUND[how]:.0%} is the most that rounding explains. Set '
            'model.quantise to another, or none'
        )
