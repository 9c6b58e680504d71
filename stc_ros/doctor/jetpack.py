"""On a Jetson: whether PyTorch is built for the JetPack that is installed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stc_ros.doctor.finding import Finding, Level
from stc_ros.doctor.machine import Machine

NAME = 'JetPack'
JETPACKS = {  # by the major release of Jetson Linux: JetPack, CUDA's major version, its Python
    32: (4, 10, (3, 6)),
    34: (5, 11, (3, 8)),
    35: (5, 11, (3, 8)),
    36: (6, 12, (3, 10)),
    38: (7, 13, (3, 12)),
}
WHEELS = {6: 'https://pypi.jetson-ai-lab.io/jp6/cu126', 7: 'https://download.pytorch.org/whl/cu130'}


def check(machine: Machine) -> Iterator[Finding]:
    text = machine.read('/etc/nv_tegra_release')
    found = re.search(r'R(\d+) \(release\), REVISION: ([\d.]+)', text)
    if not text:
        return
    if not found or int(found[1]) not in JETPACKS:
        said = text.splitlines()[0][:60]
        yield Finding(NAME, Level.WARN, f'a Jetson Linux that is not known here: {said}', 'check PyTorch by hand')
        return
    jetpack, cuda, python = JETPACKS[int(found[1])]
    where = f'JetPack {jetpack} (Jetson Linux {found[1]}.{found[2]})'
    if jetpack < 6:
        yield Finding(
            NAME,
            Level.ERROR,
            f'{where} has Python {python[0]}.{python[1]} and CUDA {cuda}; this package needs Python 3.10, and '
            'transformers a PyTorch that is not built for it',
            'update to JetPack 6 or 7',
        )
        return
    torch = machine.torch_version()
    if torch is None:
        return  # the check PyTorch says so
    version, built = torch.get('__version__', '?'), torch.get('cuda')
    remedy = f'pip install --force-reinstall --no-deps torch --index-url {WHEELS[jetpack]}, with Python 3.{python[1]}'
    if built is None:
        yield Finding(NAME, Level.ERROR, f'{where}, but PyTorch {version} knows no CUDA: it is not for Jetsons', remedy)
    elif int(built.split('.')[0]) != cuda:
        text = f'{where} has CUDA {cuda}, but PyTorch {version} is built for CUDA {built}'
        yield Finding(NAME, Level.ERROR, text, remedy)
    elif jetpack == 6 and re.search(r'\+cu\d+$', version):
        text = f"{where}: PyTorch {version} is pytorch.org's for ARM servers, which has no code for Orin's GPU"
        yield Finding(NAME, Level.WARN, text, remedy)
    else:
        yield Finding(NAME, Level.OK, f'{where}, PyTorch {version} for CUDA {built}')
