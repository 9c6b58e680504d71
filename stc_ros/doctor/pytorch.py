"""Whether the PyTorch that is installed can use the GPU that is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stc_ros.doctor.finding import Finding, Level
from stc_ros.doctor.machine import Machine, python

DRIVERS = {11: 450, 12: 525, 13: 580}  # by CUDA's major version the oldest (NVIDIA, Minor Version Compatibility)
NAME = 'PyTorch'
CONTAINER = 'start the container with --gpus all (NVIDIA Container Toolkit)'


def check(machine: Machine, wanted: str) -> Iterator[Finding]:
    """wanted: the parameter model.device."""
    torch, gpu = machine.torch_version(), machine.gpu
    if torch is None:
        yield Finding(NAME, Level.ERROR, 'is not installed in this Python', f'./dev build, or {python()} install torch')
        return
    version, cuda = torch.get('__version__', 'of unknown version'), torch.get('cuda')
    if not gpu:
        if wanted.startswith('cuda'):
            text = f'model.device is {wanted}, but this machine shows no NVIDIA GPU'
            yield Finding(NAME, Level.ERROR, text, f'set model.device to auto; in a container, {CONTAINER}')
        else:
            yield Finding(NAME, Level.OK, f'{version}; no NVIDIA GPU here, the model runs on the CPU')
        return
    if cuda is None and 'hip' not in torch:
        level = Level.WARN if wanted == 'cpu' else Level.ERROR
        yield Finding(
            NAME,
            level,
            f'{version} was built without CUDA, though there is {gpu}: the model runs on the CPU, many times slower. '
            'pip puts such a one in place when another package asks for torch',
            _reinstall(machine),
        )
        return
    driver = _driver(machine)
    needed = DRIVERS.get(int(cuda.split('.')[0])) if cuda else None
    if driver and needed and driver < needed:
        yield Finding(
            NAME,
            Level.ERROR,
            f'{version} is built for CUDA {cuda}, which needs a driver from {needed} on; this one is {driver}',
            'update the driver (ubuntu-drivers install), or take a PyTorch for an older CUDA: pytorch.org lists them',
        )
    elif not machine.is_jetson and not machine.list('/dev/nvidia[0-9]*') and not machine.list('/dev/dxg'):
        yield Finding(
            NAME,
            Level.ERROR,
            f'there is {gpu}, but no device to reach it by (/dev/nvidia0)',
            f'{CONTAINER}; outside of one: sudo modprobe nvidia',
        )
    else:
        yield Finding(NAME, Level.OK, f'{version} with CUDA {cuda}, {gpu}')


def _driver(machine: Machine) -> int | None:
    """Its major version."""
    found = re.search(r'Module\S*(?:\s+for \S+)?\s+(\d+)\.\d', machine.read('/proc/driver/nvidia/version'))
    return int(found[1]) if found else None


def _reinstall(machine: Machine) -> str:
    if machine.is_jetson:
        return "install the wheel for this JetPack again (see the check JetPack), with pip's --no-deps"
    index = 'cu130' if (_driver(machine) or 0) >= DRIVERS[13] else 'cu128'
    return f'{python()} install --force-reinstall torch --index-url https://download.pytorch.org/whl/{index}'
