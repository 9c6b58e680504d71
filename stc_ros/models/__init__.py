"""Models: `load_model(settings)` gives the one that a user named, or the embedded one."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Mapping
from pathlib import Path

from stc_ros.parameters import ModelParameters
from stc_ros.registry import Registry
from stc_ros.settings import Settings

__path__ = __import__('pkgutil').extend_path(__path__, __name__)  # parts may lie elsewhere on the path, too

model_families = Registry('family', 'stc_ros.models.families')  # by model_type in config.json

EMBEDDED = Path(__file__).parent / 'embedded'
EMBEDDED_NOTES = (
    'The embedded model knows only its synthetic world: coloured shapes that move. On other pictures its '
    'words mean nothing. Name a real one with model.name:=llava-hf/llava-onevision-qwen2-0.5b-ov-hf or a folder.'
)
REAL_EYE = 'real-eye'  # for measuring, see stc_ros/models/real_eye/README.md
SMALL = 50_000_000  # weights
# While transformers loads, torch's default dtype and some of torch's functions are its own, for all threads: of two
# loads at once both fail, or get weights of two dtypes. So several nodes of one process load one after another.
ONE_AT_A_TIME = threading.Lock()


def load_model(settings: Settings | Mapping = {}):  # noqa: B006 - never written to
    """Load `model.name` (empty: the embedded one; "real-eye": it behind a real tower) -> `VideoModel`.

    Raises `stc_ros.models.base.ModelError`, with the remedy, when it cannot be had.
    """
    settings = settings if isinstance(settings, Settings) else Settings(settings)
    wanted: ModelParameters = settings.fill(ModelParameters, 'model')
    needed = ('torch', 'transformers' if wanted.name else 'tokenizers', 'safetensors')
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        raise ImportError(f'{" and ".join(missing)} not installed in this Python: run ./dev build')
    with ONE_AT_A_TIME:
        model = _load(wanted, settings) if wanted.quantise == 'none' else _load_quantised(wanted, settings)
    if wanted.compile:
        from stc_ros.models.compiled import Compiler

        model.tower.compiler = Compiler()
    return model


def _load_quantised(wanted: ModelParameters, settings: Settings):
    from stc_ros.models.packed import left_alone
    from stc_ros.models.quantise import check, quantise

    check(wanted.quantise, *_place(wanted))
    with left_alone():
        model = _load(wanted, settings)
    quantise(model, wanted.quantise)
    return model


def _place(wanted: ModelParameters):
    import torch

    device = pick_device(wanted.device)
    usual = 'float32' if device.type == 'cpu' else 'bfloat16'
    return device, getattr(torch, usual if wanted.dtype == 'auto' else wanted.dtype)


def _load(wanted: ModelParameters, settings: Settings):
    from stc_ros.models.base import ModelError

    device, dtype = _place(wanted)
    if wanted.name == REAL_EYE:
        from stc_ros.models import real_eye

        return real_eye.load(device, dtype)
    if wanted.name:
        from stc_ros.models.checkpoint import find_family, find_folder

        folder = find_folder(wanted.name)
        family = model_families.create(find_family(wanted.name, folder, model_families.names()))
        warning = _check_memory(family.examine(wanted.name, folder), settings, device, dtype)
        model = family.load(wanted.name, folder, device, dtype)
        model.notes = f'{model.notes} {warning}'.strip()
        return model
    if (EMBEDDED / 'model.safetensors').is_file():
        from stc_ros.models import embedded

        return embedded.load(EMBEDDED, device, dtype, EMBEDDED_NOTES)
    raise ModelError(f'the embedded model is missing from {EMBEDDED}: train it with ./dev train-tiny')


def _check_memory(sizes, settings: Settings, device, dtype) -> str:
    """What is to be said of the memory that a model needs. Raises `ModelError` where it fits at no setting."""
    from stc_ros.models.base import ModelError
    from stc_ros.models.memory_free import free_on, too_much

    free, name = free_on(device), str(dtype).removeprefix('torch.')
    if free is None:
        return ''
    hopeless, said = too_much(settings['model.name'], sizes, settings, name, device.type, free)
    if hopeless:
        raise ModelError(said)
    return said


def share_cores_fairly(model) -> None:
    """Let a small model on a CPU compute on one thread, unless OMP_NUM_THREADS says otherwise.

    Its operations are so short that dividing them costs more than it saves, and the robot has other work for the cores.
    """
    import os

    import torch

    small = sum(p.numel() for p in model.weights.parameters()) < SMALL
    if model.device.type == 'cpu' and small and 'OMP_NUM_THREADS' not in os.environ:
        torch.set_num_threads(1)


def pick_device(name: str):
    """`auto` or a torch device's name -> `torch.device` that exists here. Raises `ModelError`."""
    import torch

    from stc_ros.models.base import ModelError

    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f'device {name!r} cannot be used: {str(error).splitlines()[0]}') from None
    return device
