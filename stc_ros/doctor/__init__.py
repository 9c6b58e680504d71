"""What goes wrong at users before a model is to blame: each check names it and its remedy, in at most two seconds.

A check is a function of a `Machine` in one file of this package; those that need ROS's graph are
in stc_ros/ros/doctor.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from stc_ros.doctor import fast_dds, jetpack, memory, middleware, pytorch
from stc_ros.doctor.finding import Finding, Level
from stc_ros.doctor.machine import Machine
from stc_ros.settings import Settings

Check = Callable[[Machine, Settings, int], Iterable[Finding]]
CHECKS: dict[str, Check] = {
    'PyTorch': lambda machine, settings, _: pytorch.check(machine, settings['model.device']),
    'JetPack': lambda machine, *_: jetpack.check(machine),
    'memory': lambda machine, settings, _: memory.check(machine, settings),
    'middleware': lambda machine, *_: middleware.check(machine),
    'Fast DDS': lambda machine, _, image: fast_dds.check(machine, image),
}


def examine(machine: Machine, settings: Settings, image: int = fast_dds.USUAL_IMAGE) -> Iterator[Finding]:
    """The findings of all checks, as they come; image: bytes of an image. A check that fails is a finding, too."""
    for name, check in CHECKS.items():
        try:
            yield from check(machine, settings, image)
        except Exception as error:
            text = f'could not be checked: {type(error).__name__}: {error}'.splitlines()[0]
            yield Finding(name, Level.WARN, text, 'tell the authors, with the output of doctor --json')
