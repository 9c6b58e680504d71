"""One trial of `stc_ros tune`: settings are evaluated on every recording, and cost and accuracy are read off."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stc_ros.evaluation import run_jobs
from stc_ros.evaluation.evaluate import Job, run_job
from stc_ros.evaluation.overall import pooled
from stc_ros.evaluation.questions import QuestionFile
from stc_ros.evaluation.results import RESULT, TIMING, read_lines, read_summary
from stc_ros.settings import Settings

TIME, OPERATIONS = 'time', 'operations'
UNITS = {TIME: 'ms per frame', OPERATIONS: '% of the work'}


@dataclass(frozen=True, slots=True)
class Measured:
    """error: why there are no figures."""

    accuracy: float = math.nan
    n: int = 0
    cost: float = math.nan
    error: str = ''
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A recording and what is asked of it. name: '' where it is the only one."""

    name: str
    bags: tuple[str, ...]
    file: QuestionFile


def make_jobs(
    asked: Sequence[Asked], settings: Settings, folder: Path, cameras: Sequence[str], controls: bool = False
) -> list[Job]:
    """A job for each recording; narrations and events are neither asked for nor judged."""
    return [
        Job(
            bags=each.bags,
            cameras=tuple(cameras),
            file=dataclasses.replace(each.file, narration=(), events=(), requirements=()),
            name=folder.name,
            settings=settings,
            folder=folder / each.name if each.name else folder,
            controls=controls,
            narrate=False,
            with_bag=False,
            recording=each.name,
        )
        for each in asked
    ]


def run_trial(jobs: Sequence[Job], cost: str, row: int = 1) -> Measured:
    """Evaluate, or read what has been."""
    for job in jobs:
        if error := run_job(dataclasses.replace(job, row=row)):
            return Measured(error=f'{job.title}: {error}')
    return measure([job.folder for job in jobs], cost)


def run_trial_in_worker(jobs: Sequence[Job], cost: str) -> Measured:
    return run_trial(jobs, cost, run_jobs._row)


def measure(folders: Sequence[Path], cost: str) -> Measured:
    """Accuracy over all questions of finished runs, and their cost."""
    summaries = [read_summary(folder) for folder in folders]
    whole = pooled(summaries)
    problems = tuple(dict.fromkeys(problem for summary in summaries for problem in summary['problems']))
    if not whole['n']:
        return Measured(error='; '.join(problems) or 'no question was asked')
    value = (milliseconds if cost == TIME else operations)(folders)
    return Measured(whole['accuracy'], whole['n'], value, problems=problems)


def milliseconds(folders: Sequence[Path]) -> float:
    """Mean time of a frame, all stages: vision, pruning, prefill.

    The mean, since a median would see no prefill at all where kept tokens wait to be prefilled together
    (`expert.prefill_batch`), nor a stride over static frames.
    """
    times = [line['total_ms'] for folder in folders for line in read_lines(folder / TIMING) if 'total_ms' in line]
    return sum(times) / max(len(times), 1)


def operations(folders: Sequence[Path]) -> float:
    """Per cent of what is done without compression: the mean of the share of patches recomputed and of tokens kept."""
    total: dict[str, float] = dict.fromkeys(('patches', 'patches_recomputed', 'visual_tokens', 'visual_tokens_kept'), 0)
    for folder in folders:
        for line in read_lines(folder / RESULT):
            if line['kind'] == 'frame':
                for name in total:
                    total[name] += line[name]
    recomputed = total['patches_recomputed'] / max(total['patches'], 1)
    return 50 * (recomputed + total['visual_tokens_kept'] / max(total['visual_tokens'], 1))


def split(file: QuestionFile, share: float) -> tuple[QuestionFile, QuestionFile]:
    """The questions to tune on, and those to hold out: the last `share` of them in time, at least one."""
    held = min(max(1, round(share * len(file.questions))), len(file.questions)) if share and file.questions else 0
    at = len(file.questions) - held
    return _part(file, 0, at), _part(file, at, len(file.questions))


def _part(file: QuestionFile, begin: int, end: int) -> QuestionFile:
    digest = hashlib.sha256(f'{file.digest} {begin} {end}'.encode()).hexdigest()
    cameras = {q.camera: file.cameras[q.camera] for q in file.questions[begin:end] if q.camera}
    return dataclasses.replace(file, questions=file.questions[begin:end], digest=digest, cameras=cameras)


def changes(settings: Settings, base: Settings) -> dict[str, Any]:
    """What differs from the base."""
    return {name: value for name, value in settings.items() if value != base[name]}
