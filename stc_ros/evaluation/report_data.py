"""The results of an evaluation as plain data: a folder's `result.jsonl` and `timing.jsonl`, read line by line.

Memory is bounded whatever the length of the bag: a camera keeps at most `MOST_FRAMES` rows, evenly spread; counts and
means are over all of them.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stc_ros.evaluation.intervals import wilson
from stc_ros.evaluation.realtime_metrics import METRICS
from stc_ros.evaluation.results import PART, RESULT

MOST_FRAMES = 2**17  # rows held of a camera; of a longer stream every 2nd is kept, then every 4th
MOST_NARRATIONS = 5000  # of a run; those with a failed check come on top
NAN = math.nan
FRAME = ('t', 'recomputed', 'kept', 'memory', 'similarity')  # ms since the run's start; patches; tokens; tokens; -


class ReportError(ValueError):
    """A result that cannot be read; the text names the file and the remedy."""


class Columns:
    """Rows of numbers of bounded count: when it is full, every second one goes, then and from then on."""

    def __init__(self, names: Sequence[str], most: int = MOST_FRAMES):
        self.columns = {name: array('d') for name in names}
        self.most, self.count, self.stride = most, 0, 1

    def append(self, *row: float) -> None:
        if self.count % self.stride == 0:
            for column, value in zip(self.columns.values(), row):
                column.append(value)
            if len(column) >= self.most:
                self.columns = {name: column[::2] for name, column in self.columns.items()}
                self.stride *= 2
        self.count += 1

    def __getitem__(self, name: str) -> array:
        return self.columns[name]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


@dataclass
class Camera:
    """What became of one camera's frames."""

    name: str
    frames: Columns = field(default_factory=lambda: Columns(FRAME))
    latency: Columns = field(default_factory=lambda: Columns(('t', 'ms', 'age')))  # age is NaN without --realtime
    scenes: Columns = field(default_factory=lambda: Columns(('t',), 4096))  # when a scene changed
    invalid: list[tuple[float, str]] = field(default_factory=list)  # the first hundred: when and why
    invalid_count: int = 0
    patches: int = 0  # of a frame
    tokens: int = 0
    recomputed_sum: float = 0.0  # over all valid frames
    patches_sum: float = 0.0
    kept_sum: float = 0.0
    tokens_sum: float = 0.0
    most_memory: int = 0


@dataclass
class Run:
    """One settings file's results."""

    name: str
    folder: Path
    head: dict = field(default_factory=dict)
    start: int = 0  # ns: stamp of the first frame
    end: float = 0.0  # ms since then
    cameras: dict[str, Camera] = field(default_factory=dict)
    questions: list[dict] = field(default_factory=list)  # as in the file, with `t` [ms]
    narrations: list[dict] = field(default_factory=list)  # likewise
    narration_count: int = 0
    events: list[dict] = field(default_factory=list)  # resets and failures, with `t`; the first thousand
    expectations: list[dict] = field(default_factory=list)  # what narrations had to say, with `t` and `until`
    summary: dict | None = None  # None: the run did not end
    stages: dict[str, Columns] = field(default_factory=dict)  # ms by stage, all cameras together
    answers: dict[str, dict] = field(default_factory=dict)  # times of each question's answer, by its id
    metrics: dict = field(default_factory=dict)  # metrics.json of a run that was played with the clock
    notes: list[str] = field(default_factory=list)

    def milliseconds(self, stamp: float) -> float:
        return (stamp - self.start) / 1e6


def result_folders(paths: Iterable[Path]) -> list[Path]:
    """The folders with a result, in order: each path is one, or holds some as `evaluate --out` makes them."""
    found = []
    for path in map(Path, paths):
        if not path.exists():
            raise ReportError(f'{path} does not exist: give a folder that `stc_ros evaluate --out` has written')
        if not path.is_dir():
            raise ReportError(f'{path} is no folder: give one that `stc_ros evaluate --out` has written')
        inner = [path] if _result(path) else sorted(p for p in path.iterdir() if p.is_dir() and _result(p))
        if not inner:
            raise ReportError(f'{path} holds no result.jsonl: give a folder that `stc_ros evaluate --out` has written')
        found += [folder for folder in inner if folder not in found]
    return found


def _result(folder: Path) -> Path | None:
    """The file of a folder's results, be it one that is not complete."""
    return next((f for f in (folder / RESULT, folder / (RESULT + PART)) if f.is_file()), None)


def read_runs(paths: Iterable[Path]) -> list[Run]:
    """All results of these folders, each under a name of its own."""
    runs = [read_run(folder) for folder in result_folders(paths)]
    names = [run.name for run in runs]
    for run in runs:
        if names.count(run.name) > 1:
            run.name = f'{run.folder.resolve().parent.name}/{run.name}'
    for place, run in enumerate(runs):
        if run.name in [other.name for other in runs[:place]]:
            run.name = f'{run.name} ({place + 1})'
    return runs


def read_run(folder: Path) -> Run:
    """One folder. Raises `ReportError`."""
    run, file = Run(folder.resolve().name, folder), _result(folder)
    readers = {'frame': _frame, 'question': _question, 'narration': _narration, 'event': _event,
               'expectation': _expectation}  # fmt: skip
    for line, record in _records(file, run):
        kind = record.get('kind')
        try:
            if kind == 'run':
                run.head, run.name = record, str(record.get('name') or run.name)
            elif kind == 'summary':
                run.summary = record
            elif kind in readers:
                if not run.start and not record.get('invalid'):
                    run.start = int(record.get('stamp', 0))
                readers[kind](run, record)
        except (KeyError, TypeError, ValueError) as error:
            raise ReportError(f'{file}:{line}: a {kind} without a proper {error}: evaluate anew with --out') from None
    if run.summary is None:
        run.notes.append('The evaluation did not end: what follows is what it had by then.')
    else:
        run.notes += map(str, run.summary.get('problems') or [])
    if (metrics := file.with_name(METRICS)).is_file():
        try:
            run.metrics = json.loads(metrics.read_text())
        except ValueError:
            run.notes.append(f'{METRICS} cannot be read: what the clock cost is not shown.')
    timing = file.with_name(file.name.replace('result', 'timing'))
    if not timing.is_file():
        run.notes.append(f'There is no {timing.name}: latencies are not shown.')
        return run
    for _, record in _records(timing, run):
        _timing(run, record)
    return run


def _records(file: Path, run: Run) -> Iterator[tuple[int, dict]]:
    """Each line's number and record. A last line that was cut short (the run was killed) is left out."""
    with file.open('rb') as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise ValueError('no object')
            except ValueError as error:
                if not line.endswith(b'\n'):
                    run.notes.append(f'The last line of {file.name} is cut short and was left out.')
                    return
                raise ReportError(f'{file}:{number}: not JSON ({error}): remove the line or evaluate anew') from None
            yield number, record


def _frame(run: Run, record: dict) -> None:
    camera = run.cameras.setdefault(str(record['camera']), Camera(str(record['camera'])))
    t = run.milliseconds(record['stamp'])
    run.end = max(run.end, t)
    if reason := record.get('invalid'):
        camera.invalid_count += 1
        if len(camera.invalid) < 100:
            camera.invalid.append((t, str(reason)))
        return
    patches, tokens = record['patches'], record['visual_tokens']
    recomputed, kept, memory = record['patches_recomputed'], record['visual_tokens_kept'], record['memory_tokens']
    camera.patches, camera.tokens = max(camera.patches, patches), max(camera.tokens, tokens)
    camera.frames.append(t, recomputed, kept, memory, number(record.get('reused_similarity')))
    camera.recomputed_sum += recomputed
    camera.patches_sum += patches
    camera.kept_sum += kept
    camera.tokens_sum += tokens
    camera.most_memory = max(camera.most_memory, memory)
    if record.get('scene_change'):
        camera.scenes.append(t)


def _question(run: Run, record: dict) -> None:
    t = run.milliseconds(record['stamp'])
    run.end = max(run.end, t)
    run.questions.append(record | {'t': t})


def _narration(run: Run, record: dict) -> None:
    run.narration_count += 1
    failed = any(not check.get('passed') for check in record.get('checks') or [])
    if len(run.narrations) < MOST_NARRATIONS or failed:
        run.narrations.append(record | {'t': run.milliseconds(record['stamp'])})


def _event(run: Run, record: dict) -> None:
    if len(run.events) < 1000:
        run.events.append(record | {'t': run.milliseconds(record['stamp'])})


def _expectation(run: Run, record: dict) -> None:
    since, until = (run.milliseconds(stamp) for stamp in record['between'])
    run.expectations.append(record | {'t': since, 'until': until})


def _timing(run: Run, record: dict) -> None:
    if 'id' in record:
        run.answers[str(record['id'])] = record
    elif (camera := run.cameras.get(str(record.get('camera')))) and 'stamp' in record:
        t = run.milliseconds(record['stamp'])
        camera.latency.append(t, number(record.get('total_ms')), number(record.get('age_ms')))
        for stage, ms in (record.get('ms') or {}).items():
            run.stages.setdefault(str(stage), Columns(('ms',))).append(number(ms))


def number(value: object) -> float:
    """A figure of a result, NaN where there is none."""
    return float(value) if isinstance(value, (int, float)) else NAN


@dataclass(frozen=True)
class Accuracy:
    """Of the questions with one tag, or of all (tag '')."""

    n: int
    share: float
    low: float
    high: float
    controls: dict[str, float] = field(default_factory=dict)


def accuracies(run: Run) -> dict[str, Accuracy]:
    """By tag, that of all first: as the summary says, or of the questions there are where it says nothing."""
    summary, scores = run.summary or {}, {}
    for question in run.questions:
        for tag in ('', *(question.get('tags') or [])):
            scores.setdefault(str(tag), []).append(number(question['score']))
    found = {tag: _accuracy(len(values), sum(values) / len(values), {}) for tag, values in scores.items()}
    said = {'': summary, **(summary.get('by_tag') or {})}
    return found | {str(tag): _accuracy(each['n'], number(each['accuracy']), each) for tag, each in said.items()
                    if each.get('n')}  # fmt: skip


def _accuracy(n: int, share: float, said: dict) -> Accuracy:
    low, high = said.get('interval') or wilson(share, n)
    controls = {str(name): number(value) for name, value in (said.get('controls') or {}).items()}
    return Accuracy(n, share, number(low), number(high), controls)
