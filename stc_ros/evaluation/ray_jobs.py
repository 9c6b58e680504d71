"""Spreads runs over a Ray cluster: a task for each recording under each settings file, repeated by Ray where it fails.

No file system need be shared. A worker reads a bag where it lies, at the same path, if it is there and of the same
size; else the bag comes to it through Ray's object store. The worker returns the files of the finished run, and this
process writes them as they come, so that what is finished stays finished. result.jsonl is the serial run's to the byte.

Every worker needs this very version of the package (and its Python that of this process, as Ray itself demands).
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import shutil
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from stc_ros.evaluation.evaluate import InputError, Job, head, is_done, plan, run_job, size
from stc_ros.evaluation.results import JUNIT, PART, RESULT

PACKAGE = Path(__file__).resolve().parents[1]
LOCAL = 'local'
RETRIES = 3  # of a run whose worker died, or that met an error of the operating system (a full disk, a lost mount)
AHEAD = 2  # runs for each core of the cluster that are under way or wait there
Files = dict[str, Any]  # bytes, or uint8 [n], by the path inside their folder


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a task. missing: the bag is not on that worker."""

    error: str = ''
    files: Files | None = None
    missing: bool = False


def run_jobs_on_ray(jobs: Sequence[Job], address: str, workers: int) -> dict[str, str]:
    """Run what is not finished yet on the cluster at `address`, or on `workers` processes started here (`LOCAL`).

    -> by title of the run why it failed. Raises `InputError` where Ray is not installed or there is no cluster.
    """
    from tqdm import tqdm

    failed: dict[str, str] = {}
    waiting: deque[tuple[Job, Any]] = deque()  # and the bag, where it has to be sent
    for job in jobs:
        error, done = _state(job)
        if error:
            failed[job.title] = error
        elif not done:
            waiting.append((job, None))
    ray = _connect(address, workers) if waiting else None
    bar = tqdm(total=len(jobs), initial=len(jobs) - len(waiting), desc='runs', unit='run', disable=None)
    try:
        running: dict[Any, Job] = {}
        sent: dict[tuple[str, ...], Any] = {}  # bags that some worker lacked
        with bar:
            while waiting or running:
                room = max(2, round(AHEAD * ray.cluster_resources().get('CPU', 1))) - len(running)
                for _ in range(min(room, len(waiting))):
                    job, bag = waiting.popleft()
                    running[_submit(ray, job, bag)] = job
                ready, _ = ray.wait(list(running), num_returns=1)
                job = running.pop(ready[0])
                outcome = _outcome(ray, ready[0])
                if outcome.missing:
                    if job.bags not in sent:
                        sent[job.bags] = ray.put([_pack(path) for path in job.paths])
                    waiting.appendleft((job, sent[job.bags]))
                    continue
                if outcome.error:
                    failed[job.title] = outcome.error
                else:
                    _write(job.folder, outcome.files or {})
                bar.update()
    finally:
        if ray is not None:
            ray.shutdown()
    return failed


def evaluate_there(job: Job, place: str, sizes: list[int], sources: str, bags: list[Files] | None) -> Outcome:
    """What a worker does.

    place: the folder to which relative paths refer. sizes: of the bags, in bytes. sources: `digest_of_sources` where
    the task comes from. bags: what is in the bags, where they have been sent.
    """
    host = socket.gethostname()
    if sources != digest_of_sources():
        return Outcome(f'the worker {host} has another version of stc_ros than this machine; install the same there')
    if os.path.isdir(place):
        os.chdir(place)
    if bags is None and not all(path.exists() and size(path) == n for path, n in zip(map(Path, job.bags), sizes)):
        return Outcome(missing=True)
    with TemporaryDirectory(prefix='stc_ros-ray-') as made:
        copies = []
        for number, (name, files) in enumerate(zip(job.bags, bags or ())):
            copies.append(Path(made) / f'bag{number}' / Path(name).name)
            _write(copies[-1], files)
        folder = Path(made) / job.folder.name
        # No checkpoints: the folder is gone with the worker, and Ray begins the run anew.
        error = run_job(replace(job, folder=folder, copies=tuple(map(str, copies)), checkpoint_s=math.inf))
        for copy, name in zip(copies, job.bags):  # what is said of a copy is said of the bag
            error = error.replace(str(copy), name)
            _rename(folder / RESULT, str(copy), name, lambda text: json.dumps(text, ensure_ascii=False)[1:-1])
            _rename(folder / JUNIT, str(copy), name, lambda text: escape(text, {'"': '&quot;'}))
        return Outcome(error) if error else Outcome(files=_read(folder))


@functools.cache
def digest_of_sources() -> str:
    """Of all Python files of the package: the same bytes come only from the same code."""
    digest = hashlib.sha256()
    for file in sorted(PACKAGE.rglob('*.py')):
        if file.relative_to(PACKAGE).parts[0] != 'ros':  # no part of an evaluation, and not everywhere installed
            digest.update(f'{file.relative_to(PACKAGE)}\n'.encode() + file.read_bytes())
    return digest.hexdigest()


def _connect(address: str, workers: int) -> Any:
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')  # nothing is reported to anyone
    try:
        import ray
    except ImportError:
        raise InputError("--ray needs Ray, which is not installed: pip install 'stc_ros[ray]'") from None
    options: dict[str, Any] = {'log_to_driver': False, 'logging_level': 'ERROR'}
    if address == LOCAL:
        options |= {'num_cpus': workers, 'include_dashboard': False}
    try:
        ray.init(address=address, **options)
    except Exception as error:  # of many kinds: no cluster, another version, another Python
        said = ' '.join(str(error).split())
        raise InputError(
            f'there is no Ray cluster to use at {address}: {said}; start one (ray start --head), or give --ray local'
        ) from error
    return ray


def _submit(ray: Any, job: Job, bag: Any) -> Any:
    """The task of a job: a core of its own, and a GPU where the settings ask for one."""
    task = ray.remote(evaluate_there).options(
        name=f'evaluate {job.title}',
        num_cpus=1,
        num_gpus=int(job.settings['model.device'].startswith('cuda')),
        max_retries=RETRIES,
        retry_exceptions=[OSError],
    )
    return task.remote(job, os.getcwd(), [size(path) for path in job.paths], digest_of_sources(), bag)


def _outcome(ray: Any, reference: Any) -> Outcome:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        said = f'{type(error).__name__}: {lines[-1].strip() if lines else ""}'
        if 'ModuleNotFoundError' in str(error):
            said += '; install stc_ros, the same version as here, on every worker'
        return Outcome(f'failed on Ray, also when tried again: {said}')


def _state(job: Job) -> tuple[str, bool]:
    """Why it cannot be run, and whether that is not needed, as it has been."""
    from stc_ros.io import bags

    try:
        with bags.Bag(job.paths) as bag:
            return '', is_done(job, head(job, plan(bag, job.cameras, job.file).topics))
    except bags.BagError as error:
        return str(error), False


def _pack(path: Path) -> Files:
    """A file, under '', or all of a folder; memory-mapped, so that the object store alone holds a copy."""
    files = {'': path} if path.is_file() else {str(f.relative_to(path)): f for f in path.rglob('*') if f.is_file()}
    return {
        name: np.memmap(file, np.uint8, 'r') if file.stat().st_size else np.zeros(0, np.uint8)
        for name, file in sorted(files.items())
    }


def _read(folder: Path) -> Files:
    found = {str(f.relative_to(folder)): f for f in sorted(folder.rglob('*')) if f.is_file() and f.suffix != PART}
    return {name: file.read_bytes() for name, file in found.items()}


def _write(path: Path, files: Files) -> None:
    """Put a file or a folder in its place, whole or not at all."""
    part = path.with_name(path.name + PART)
    shutil.rmtree(part, ignore_errors=True)
    for name, content in files.items():
        file = part / name if name else part
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    shutil.rmtree(path, ignore_errors=True)
    part.rename(path)


def _rename(file: Path, old: str, new: str, written: Callable[[str], str]) -> None:
    """Replace a path in a file. written: how a text stands there."""
    if file.exists() and written(old) in (text := file.read_text(encoding='utf-8')):
        file.write_text(text.replace(written(old), written(new)), encoding='utf-8')
