"""A replay's state as bytes: what a stream holds, whatever its parts are, without the model and without pictures.

Made by `torch.save`, so that tensors which share memory share it again. The model's parts and the bag's frames are not
in it: they stand there by name, and are put in again when it is read. So a cacher, pruner or memory of somebody else
works when it can be pickled. Only functions that make tensors and arrays are called when it is read, and classes of a
few packages and of those that the stream's own parts come from; all else is refused, when it is written already.
"""

from __future__ import annotations

import io
import pickle
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import chain
from types import BuiltinFunctionType, FunctionType, SimpleNamespace
from typing import Any

import torch

from stc_ros.background_stream import settled_later
from stc_ros.engine.events import Frame
from stc_ros.evaluation.replay import to_frame
from stc_ros.io.bags import BagFrame

PACKAGES = {'stc_ros', 'torch', 'numpy', 'collections', 'builtins', 'datetime', 'random', 'types'}  # their classes
FUNCTIONS = {  # modules whose functions make tensors, arrays and plain objects
    *('torch._utils', 'torch._tensor', 'torch.storage', 'copyreg', '_codecs'),
    *('numpy.core.multiarray', 'numpy._core.multiarray', 'numpy._core.numeric'),
}
CALLED = (type, FunctionType, BuiltinFunctionType)
CONSTANTS = (torch.dtype, torch.layout, torch.memory_format)
VALUES = (type(None), bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset, *CONSTANTS)
LOCK = type(threading.Lock())


def pack(state: Any, model: Any, streams: Sequence[Any]) -> tuple[memoryview, set[int]]:
    """-> the bytes, and the numbers of the bag's frames that are to be put in again.

    streams: whose state it is. Raises what pickle raises, of dozens of types, for what cannot be written.
    """
    names, numbers, packages = {id(part): name for name, part in parts_of(model).items()}, set(), packages_of(streams)

    class Pickler(pickle.Pickler):
        def reducer_override(self, obj: Any) -> Any:
            if id(obj) in names:
                return model_part, (names[id(obj)],)
            if isinstance(obj, BagFrame):
                numbers.add(obj.number)
                return bag_frame, (obj.number,)
            if isinstance(obj, Frame):
                return to_frame, (obj.header,)
            if isinstance(obj, LOCK):
                return new_lock, ()
            if isinstance(obj, CALLED):
                _check(obj, obj.__module__ or '', packages)
            return NotImplemented

    buffer = io.BytesIO()
    with torch.inference_mode():
        torch.save(state, buffer, SimpleNamespace(__name__='pickle', Pickler=Pickler), pickle.DEFAULT_PROTOCOL)
    return buffer.getbuffer(), numbers


def unpack(data: memoryview, model: Any, streams: Sequence[Any], frames: Mapping[int, BagFrame]) -> Any:
    """streams: fresh ones under the same settings. frames: by number. Raises what pickle raises."""
    put_in = {model_part: parts_of(model).__getitem__, bag_frame: frames.__getitem__}
    packages = packages_of(streams)

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            found = super().find_class(module, name)
            if isinstance(found, CONSTANTS):
                return found
            return put_in[found] if found in put_in else _check(found, module, packages)

    with torch.inference_mode():  # where the streams' tensors were made, too
        reading = SimpleNamespace(__name__='pickle', Unpickler=Unpickler)
        return torch.load(io.BytesIO(data), pickle_module=reading, weights_only=False)


def new_lock() -> Any:
    """For a lock, which between two frames nobody holds."""
    return threading.Lock()


def model_part(name: str) -> Any:
    """Stands in the pickle for a part of the model."""
    raise pickle.UnpicklingError(f'{name} is not in here, but the part of the model of that name')


def bag_frame(number: int) -> Any:
    """Stands in the pickle for a frame of the bag."""
    raise pickle.UnpicklingError(f'frame {number} is not in here, but the frame of the bag of that number')


MAKERS = (model_part, bag_frame, to_frame, settled_later, new_lock)  # that a pickle may call


def parts_of(model: Any) -> dict[str, Any]:
    """The model, what it is made of, and the modules and tensors of its weights, by name."""
    found = {'model': model}
    for name, part in _attributes(model):
        found[name] = part
        found |= {f'{name}.{inner}': each for inner, each in _attributes(part)}
    weights = getattr(model, 'weights', None)
    if isinstance(weights, torch.nn.Module):
        held = chain(weights.named_modules(), weights.named_parameters(), weights.named_buffers())
        found |= {f'weights.{name}': each for name, each in held}
    return {name: part for name, part in found.items() if not isinstance(part, VALUES)}


def packages_of(streams: Sequence[Any]) -> set[str]:
    """The packages that the streams and their parts come from."""
    parts = [part for stream in streams for part in (stream, *vars(stream).values())]
    return {cls.__module__.split('.')[0] for part in parts for cls in type(part).__mro__} - sys.stdlib_module_names


def _attributes(owner: Any) -> list[tuple[str, Any]]:
    if is_dataclass(owner):
        return [(field.name, getattr(owner, field.name)) for field in fields(owner)]
    return list(getattr(owner, '__dict__', {}).items())


def _check(found: Any, module: str, packages: set[str]) -> Any:
    """Raises `pickle.PicklingError` for what must not stand in a pickle under the name of `module`."""
    root, own = module.split('.')[0], (found.__module__ or '').split('.')[0]
    if isinstance(found, type) and root == own and root in PACKAGES | packages:
        return found
    if isinstance(found, CALLED) and (found in MAKERS or {module, found.__module__} <= FUNCTIONS):
        return found
    if isinstance(found, CALLED) and root == own and root in packages - PACKAGES:
        return found
    raise pickle.PicklingError(f'{module}.{getattr(found, "__qualname__", found)} is not allowed in a checkpoint')
