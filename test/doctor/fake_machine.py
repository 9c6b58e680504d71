"""Machines that are not there: folders with what the checks read of /proc, /etc and /dev, and of a PyTorch."""

from pathlib import Path

from stc_ros.doctor.machine import Machine

VERSION = """from typing import Optional

__all__ = ['__version__', 'debug', 'cuda', 'git_version', 'hip']
__version__ = '{version}'
debug = False
cuda: Optional[str] = {cuda!r}
git_version = 'abc'
hip: Optional[str] = None
"""
DRIVER = 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Sun Jan  1 00:00:00 UTC 2026\nGCC version: 12\n'
RTX = 'Model: \t\t NVIDIA GeForce RTX 4060\nIRQ:   \t\t 91\n'
ORIN = '# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 2026\n'
THOR = ORIN.replace('R36', 'R38').replace('4.3', '2.0')
XAVIER = ORIN.replace('R36', 'R35')


def make(
    folder: Path, files: dict[str, str], torch: str = '2.13.0', cuda: str | None = None, **environ: str
) -> Machine:
    """A machine with these files. torch: '' is none."""
    root, package = folder / 'root', folder / 'torch'
    root.mkdir()
    package.mkdir()
    for name, text in files.items():
        path = root / name.lstrip('/')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if torch:
        (package / 'version.py').write_text(VERSION.format(version=torch, cuda=cuda))
    return Machine(root, environ, package)


def with_gpu(driver='580.95.05'):
    return {
        '/proc/driver/nvidia/version': DRIVER.format(driver),
        '/proc/driver/nvidia/gpus/0000:01:00.0/information': RTX,
        '/dev/nvidia0': '',
    }


def process(pid: int, name: str, rmw: str, **environ: str) -> dict[str, str]:
    """The files of a process that has loaded a middleware."""
    line = f'7f7c32c84000-7f7c32c87000 r-xp 00000000 fe:00 5311 /opt/ros/jazzy/lib/lib{rmw}.so\n'
    other = '7f0000000000-7f0000001000 r-xp 00000000 fe:00 1 /opt/ros/jazzy/lib/librmw_implementation.so\n'
    return {
        f'/proc/{pid}/comm': f'{name}\n',
        f'/proc/{pid}/maps': other + line,
        f'/proc/{pid}/environ': '\0'.join(f'{k}={v}' for k, v in {'SECRET_TOKEN': 'x', **environ}.items()),
    }
