"""What the checks read of a machine. Its root is a parameter, so that tests can fake one."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

MOST = 8 << 20  # bytes that are read of a file
PATIENCE_S = 2.0  # for a program
RMW = re.compile(r'librmw_((?:fastrtps|cyclonedds|connextdds|zenoh|gurumdds)\w*)\.so')
DEFAULT_RMW = 'rmw_fastrtps_cpp'


class Machine:
    """Files below `root`, the environment, and what a few programs say.

    torch: the folder of the PyTorch package; None: that of this Python, if there is one.
    """

    def __init__(self, root: Path = Path('/'), environ: Mapping[str, str] | None = None, torch: Path | None = None):
        self.root, self.environ = Path(root), os.environ if environ is None else environ
        self._torch = torch

    def path(self, name: str) -> Path:
        return self.root / name.lstrip('/')

    def read(self, name: str) -> str:
        """A file's text; '' where it is not there or cannot be read."""
        try:
            with self.path(name).open('rb') as file:
                return file.read(MOST).decode(errors='replace')
        except OSError:
            return ''

    def list(self, pattern: str) -> list[Path]:
        """What is there by a pattern, sorted."""
        try:
            return sorted(self.root.glob(pattern.lstrip('/')))
        except OSError:
            return []

    @property
    def is_real(self) -> bool:
        return self.root == Path('/')

    def run(self, *command: str) -> str:
        """What a program writes; '' where it is not there, fails or takes too long."""
        program = shutil.which(command[0]) if self.is_real else None
        if program is None:
            return ''
        try:
            done = subprocess.run(
                [program, *command[1:]], capture_output=True, text=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired):
            return ''
        return done.stdout if done.returncode == 0 else ''

    def space(self, name: str) -> tuple[int, int]:
        """Bytes of a file system: all, free; (0, 0) where it is not there."""
        try:
            about = os.statvfs(self.path(name))
        except OSError:
            return 0, 0
        return about.f_blocks * about.f_frsize, about.f_bavail * about.f_frsize

    # What several checks ask for

    def torch_version(self) -> dict[str, str] | None:
        """`__version__`, `cuda`, `hip` of PyTorch, where set, without importing it; None: there is none."""
        folder = self._torch
        if folder is None:
            spec = importlib.util.find_spec('torch')
            if spec is None or not spec.origin:
                return None
            folder = Path(spec.origin).parent
        try:
            text = (folder / 'version.py').read_text()
        except OSError:
            return None
        return dict(re.findall(r"^(__version__|cuda|hip)(?:: [^=]*)? = '([^']*)'", text, re.MULTILINE))

    @property
    def is_jetson(self) -> bool:
        return bool(self.read('/etc/nv_tegra_release'))

    @property
    def gpu(self) -> str:
        """What shows that there is an NVIDIA GPU, in words; '' where there is none."""
        if names := sorted({n for p in self.list('/proc/driver/nvidia/gpus/*/information') for n in self._models(p)}):
            return ', '.join(names)
        if self.is_jetson:
            return 'the GPU of a Jetson'
        if nodes := self.list('/dev/nvidia[0-9]*'):
            return f'/dev/{nodes[0].name}'
        return 'an NVIDIA driver (/proc/driver/nvidia)' if self.path('/proc/driver/nvidia').is_dir() else ''

    def _models(self, path: Path) -> list[str]:
        return re.findall(r'^Model:\s*(.+?)\s*$', self.read(str(path.relative_to(self.root))), re.MULTILINE)

    @property
    def device(self) -> str:
        """Where model.device "auto" will run the model: "cuda" or "cpu"."""
        torch = self.torch_version() or {}
        return 'cuda' if self.gpu and ('cuda' in torch or 'hip' in torch) else 'cpu'

    @property
    def rmw(self) -> str:
        """The middleware of a process that is started here."""
        return self.environ.get('RMW_IMPLEMENTATION') or DEFAULT_RMW

    def ros_processes(self) -> list[RosProcess]:
        """The processes that have loaded a middleware, as far as this user may see them, but this one."""
        found = []
        for folder in self.list('/proc/[0-9]*'):
            name = str(folder.relative_to(self.root))
            if self.is_real and folder.name == str(os.getpid()):
                continue
            loaded = sorted(set(RMW.findall(self.read(f'{name}/maps'))))
            loaded = [each for each in loaded if not each.endswith('shared_cpp')]  # what several have in common
            if not loaded:
                continue
            entries = self.read(f'{name}/environ')
            pairs = (entry.partition('=') for entry in entries.split('\0'))
            environ = {key: value for key, _, value in pairs if key.startswith(('ROS_', 'RMW_', 'FAST'))}
            comm = self.read(f'{name}/comm').strip()
            found.append(RosProcess(int(folder.name), comm, f'rmw_{loaded[0]}', environ if entries else None))
        return found


class RosProcess:
    """A process with a ROS node: what middleware it uses, and its variables of ROS; None: they cannot be read."""

    def __init__(self, pid: int, name: str, rmw: str, environ: Mapping[str, str] | None):
        self.pid, self.name, self.rmw, self.environ = pid, name, rmw, environ

    def __str__(self) -> str:
        return f'{self.name} (process {self.pid})'


def python() -> str:
    """How this Python's pip is called."""
    return f'{sys.executable} -m pip'
