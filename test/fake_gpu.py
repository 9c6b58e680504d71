"""A GPU that is none: tensors that say they are on "cuda" while a CPU computes them, and everything that waits is seen.

PyTorch's FakeTensorMode cannot do it without CUDA built in (even `x[0]` of a fake cuda tensor raises "PyTorch is not
linked with support for cuda devices"), and holds no values, on which what we compute depends. Here each operator runs
on a CPU, so results can be compared; what mixes devices raises `Mixture`; what would make the host wait for a GPU is
noted with the line of ours that did it; operators are counted, but for those that only look at memory differently.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from stc_ros.models.pixels import _columns
from stc_ros.vision.cachers.drift import _places

CUDA = torch.device('cuda', 0)
ROOT = Path(__file__).parent.parent / 'stc_ros'
aten = torch.ops.aten
VIEWS = {
    *('view', '_unsafe_view', 't', 'transpose', 'slice', 'select', 'expand', 'detach', 'alias', 'unsqueeze', 'squeeze'),
    *('permute', 'split', 'split_with_sizes', 'chunk', 'as_strided', 'unbind', 'lift_fresh', 'empty', 'empty_like'),
    *('new_empty', 'unfold', '_reshape_alias', 'record_stream', 'empty_strided', 'new_empty_strided', 'diagonal'),
}
READS = {'_local_scalar_dense', 'equal', 'nonzero', 'masked_select', 'is_nonzero', '_unique2', 'unique_dim'}


class Mixture(AssertionError):
    """An operator was given tensors of two devices."""


class Watch:
    """What happened: waits by (file:line, what), and operators."""

    def __init__(self):
        self.waits, self.operators = Counter(), 0

    def wait(self, what: str) -> None:
        frame = sys._getframe(1)
        while frame and not frame.f_code.co_filename.startswith(str(ROOT)):
            frame = frame.f_back
        where = 'elsewhere'
        if frame:
            where = f'{Path(frame.f_code.co_filename).relative_to(ROOT)}:{frame.f_code.co_name}'
        self.waits[where, what] += 1


WATCH = Watch()


class Cuda(torch.Tensor):
    """A CPU's tensor that says it is on cuda."""

    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        name, tensors = func._schema.name.removeprefix('aten::'), [t for t in tree_leaves(args) if is_tensor(t)]
        if any(not isinstance(t, Cuda) and t.ndim for t in tensors):
            raise Mixture(f'{name}: {[(type(t).__name__, list(t.shape)) for t in tensors]}')
        if name in READS or (name in ('index', 'index_put', 'index_put_') and has_mask(args[1])):
            WATCH.wait(name)
        if name == 'repeat_interleave' and func._overloadname == 'Tensor' and (kwargs or {}).get('output_size') is None:
            WATCH.wait(name)
        WATCH.operators += name.rstrip('_') not in VIEWS and name not in READS
        given = {id(t.there): t for t in tree_leaves((args, kwargs)) if isinstance(t, Cuda)}
        out = STAND_INS.get(func, func)(*tree_map(plain, args), **tree_map(plain, kwargs or {}))
        return tree_map(lambda value: given.get(id(value)) if id(value) in given else wrap(value), out)


def is_tensor(value) -> bool:
    return isinstance(value, torch.Tensor)


def has_mask(index) -> bool:
    return any(is_tensor(i) and i.dtype in (torch.bool, torch.uint8) for i in index)


def wrap(value):
    if not is_tensor(value) or isinstance(value, Cuda):
        return value
    made = torch.Tensor._make_subclass(Cuda, value)
    made.there = value
    return made


def plain(value):
    return value.there if isinstance(value, Cuda) else value


def flash(query, keys, values, *_, scale=None, **__):
    return aten._scaled_dot_product_flash_attention_for_cpu(query, keys, values, scale=scale)


def efficient(query, keys, values, bias, lse, *_, scale=None, **__):
    return aten._scaled_dot_product_flash_attention_for_cpu(query, keys, values, attn_mask=bias, scale=scale)


STAND_INS = {
    aten._scaled_dot_product_flash_attention.default: flash,
    aten._scaled_dot_product_efficient_attention.default: efficient,
}


def on_gpu(device) -> bool:
    return device is not None and torch.device(device).type == 'cuda'


class Devices(TorchFunctionMode):
    """Leads what names a device there, and copies between both."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, name = dict(kwargs or {}), getattr(func, '__name__', '')
        if name == 'pin_memory':
            copy = args[0].clone()
            copy.pinned = True
            return copy
        if name in ('to', 'cpu', 'cuda') and args and is_tensor(args[0]):
            return self.move(name, *args, **kwargs)
        if name in ('tolist', 'numpy', '__array__') and isinstance(args[0], Cuda):
            if name != 'tolist':
                raise TypeError(f"can't convert a cuda tensor: {name}")
            WATCH.wait('tolist')
            return func(plain(args[0]))
        if on_gpu(kwargs.get('device')):
            del kwargs['device']
            made = func(*args, **kwargs)
            if name == 'tensor':
                WATCH.wait('upload')
            WATCH.operators += name not in VIEWS
            return tree_map(wrap, made)
        out = func(*args, **kwargs)
        return out

    def move(self, name, tensor, *rest, non_blocking=False, device=None, **others):
        if name == 'cpu':
            device = 'cpu'
        elif name == 'cuda':
            device = CUDA
        elif rest and (isinstance(rest[0], (str, torch.device))):
            device, rest = rest[0], rest[1:]
        elif rest and is_tensor(rest[0]):
            device, rest = rest[0].device, (rest[0].dtype, *rest[1:])
        here = isinstance(tensor, Cuda)
        there = here if device is None else on_gpu(device)
        if here != there and not (non_blocking and (here or getattr(tensor, 'pinned', False))):
            WATCH.wait('download' if here else 'upload')
        moved = plain(tensor)
        moved = moved.to(*rest, **others) if rest or others else moved.clone() if here != there else moved
        WATCH.operators += here != there
        return wrap(moved) if there else moved


class Event:
    """Waiting for one is a wait, but for one that was recorded before another that was waited for."""

    clock, waited = 0, 0

    def __init__(self, **_):
        self.at = 0

    def record(self, *_):
        Event.clock += 1
        self.at = Event.clock

    def synchronize(self):
        if self.at > Event.waited:
            WATCH.wait('event')
            Event.waited = self.at

    def elapsed_time(self, _):
        return 1.0


@contextlib.contextmanager
def fake_gpu(flash: bool = True):
    """Within, "cuda" can be used; gives the `Watch`. flash: whether that GPU has flash attention."""
    WATCH.waits.clear()
    stream = SimpleNamespace(wait_stream=lambda other: None, synchronize=lambda: None)
    patches = [
        mock.patch('torch.cuda.Event', Event),
        mock.patch('torch.cuda.Stream', lambda *_, **__: stream),
        mock.patch('torch.cuda.current_stream', lambda *_: stream),
        mock.patch('torch.cuda.stream', lambda *_: contextlib.nullcontext()),
        mock.patch('torch.cuda.get_device_capability', lambda *_: (8, 7)),
        mock.patch('torch.backends.cuda.is_flash_attention_available', lambda: flash),
        mock.patch.object(torch.Tensor, 'record_stream', lambda *_: None),
    ]
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        stack.enter_context(Devices())
        yield WATCH
    for cached in (_columns, _places):
        cached.cache_clear()


def moved(model: torch.nn.Module) -> torch.nn.Module:
    """The weights of `model` on the fake GPU, in place."""
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            for name, value in held.items():
                held[name] = None if value is None else wrap(value.detach())
    return model
