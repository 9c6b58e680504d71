"""Whether the model, at these settings, fits into the memory that is free."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stc_ros.doctor.finding import Finding, Level
from stc_ros.doctor.machine import Machine
from stc_ros.models import EMBEDDED, REAL_EYE
from stc_ros.models.memory_free import free_on_machine
from stc_ros.models.memory_needed import MIB, Sizes, reckon, what_would_fit
from stc_ros.settings import Settings

NAME = 'memory'


def check(machine: Machine, settings: Settings) -> Iterator[Finding]:
    name = settings['model.name']
    if name == REAL_EYE:
        return
    folder = Path(name).expanduser() if name else EMBEDDED
    if not (folder / 'config.json').is_file():
        yield Finding(NAME, Level.OK, f'{name} is not on this machine: what it needs is seen when it is loaded')
        return
    try:
        sizes = sizes_of(name, folder)
    except RuntimeError as error:  # a ModelError
        yield Finding(NAME, Level.ERROR, f'the model would be refused: {error}', 'take another, or mend this one')
        return
    device = machine.device if settings['model.device'] == 'auto' else settings['model.device'].split(':')[0]
    dtype = settings['model.dtype']
    if dtype == 'auto':
        dtype = 'bfloat16' if device == 'cuda' else 'float32'
    needed = reckon(sizes, settings, dtype, device)
    free = free_memory(machine, device)
    what = f'{name or "the embedded model"} in {dtype} needs about {needed.total / MIB:.0f} MiB'
    if free is None:
        yield Finding(NAME, Level.WARN, f'{what}; how much is free cannot be read', 'compare it by hand')
    elif needed.total <= free:
        yield Finding(NAME, Level.OK, f'{what} of {free / MIB:.0f} MiB that are free ({device})')
    else:
        fits = what_would_fit(sizes, settings, dtype, device, free)
        remedy = f'{fits} would fit' if fits else 'take a smaller model, or end other programs'
        yield Finding(NAME, Level.ERROR, f'{what}, and only {free / MIB:.0f} MiB are free ({device})', remedy)


def sizes_of(name: str, folder: Path) -> Sizes:
    """Raises `ModelError`."""
    if not name:  # without transformers, which takes seconds
        from stc_ros.models.embedded import read_config
        from stc_ros.models.families.llava_onevision import sizes_of as of_config

        return of_config(read_config(folder / 'config.json'))
    from stc_ros.models import model_families
    from stc_ros.models.checkpoint import find_family

    family = model_families.create(find_family(name, folder, model_families.names()))
    return family.examine(name, folder)


def free_memory(machine: Machine, device: str) -> int | None:
    """Bytes that can be taken: of the machine (and on a Jetson, whose GPU has no other), or of a GPU of its own."""
    if device != 'cpu' and not machine.is_jetson:
        free = machine.run('nvidia-smi', '--query-gpu=memory.free', '--format=csv,noheader,nounits')
        return max((int(line) * MIB for line in free.split() if line.isdigit()), default=None)
    return free_on_machine(machine.read)
