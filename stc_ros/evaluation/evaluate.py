"""Evaluates settings on a recording: a run, in a folder of its own that says when it is finished."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stc_ros.evaluation.checkpoint import EVERY_S, Checkpoints
from stc_ros.evaluation.question_events import stamps_of
from stc_ros.evaluation.questions import Question, QuestionFile, QuestionFileError, SpanExpectation
from stc_ros.evaluation.replay import Planned, ReplaySink, replay
from stc_ros.evaluation.results import ResultWriter, Span, is_finished
from stc_ros.evaluation.sinks import Sinks
from stc_ros.settings import Settings
from stc_ros.watches.watch_file import read_watches

if TYPE_CHECKING:
    from stc_ros.io.bags import Bag


class InputError(ValueError):
    """What was given cannot be evaluated. The message names it, and the remedy."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is replayed of a bag, what is asked when, and what of the input cannot be used."""

    topics: tuple[str, ...]
    questions: tuple[Planned, ...]
    spans: tuple[Span, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """One run: a recording under some settings."""

    bags: tuple[str, ...]
    cameras: tuple[str, ...]  # asked for; (): those of the questions, or the only one
    file: QuestionFile
    name: str
    settings: Settings
    folder: Path
    controls: bool = True
    narrate: bool = True
    with_bag: bool = True  # leave a result.mcap
    row: int = 0  # of its progress bar
    recording: str = ''  # its name, where there are several
    copies: tuple[str, ...] = ()  # where the bags lie on this machine, if that is not at `bags`
    checkpoint_s: float = EVERY_S  # between two checkpoints
    realtime: float = 0.0  # how many seconds of the stream pass in one of the clock; 0: there is no clock

    @property
    def title(self) -> str:
        """What the run is called beside others."""
        return f'{self.recording}/{self.name}' if self.recording else self.name

    @property
    def paths(self) -> list[Path]:
        """What is read."""
        return [Path(bag) for bag in self.copies or self.bags]


def plan(bag: Bag, cameras: Sequence[str], file: QuestionFile) -> Plan:
    """Find the topics and times.

    Raises `BagError` for a camera that the bag has not or where one has to be named, and `QuestionFileError` where
    questions are not in order.
    """
    from stc_ros.io.bags import BagError

    problems, missing = [], {}
    topics = dict.fromkeys(bag.choose(camera) for camera in cameras)
    everything = (*file.questions, *file.narration, *file.events)
    if file.unlabelled and not everything:
        raise QuestionFileError(file.not_labelled())
    unnamed = not everything or any(not each.camera for each in everything)
    default = next(iter(topics), '') or (bag.choose('') if unnamed else '')
    for camera, line in file.cameras.items():
        try:
            topics[bag.choose(camera)] = None
        except BagError as error:
            missing[camera] = f'{file.file}:{line}: {error}; what is asked of it was left out'
    if default:
        topics[default] = None
    problems += missing.values()
    file.check_order(bag.start_ns)
    problems += [file.not_labelled()] if file.unlabelled else []
    times, unread = stamps_of(bag, [each.on for each in file.questions if each.on and each.camera not in missing])
    problems += unread
    questions, spans = [], []
    for question in file.questions:
        if question.camera in missing:
            continue
        stamps = [question.at.stamp(bag.start_ns)] if question.at else times[question.on]
        if isinstance(stamps, str):
            problems.append(f'{file.file}:{question.on.line}: {stamps}; question {question.id!r} was not asked')
            continue
        for each, stamp in zip(_several(question, len(stamps)), stamps):
            if problem := file.out_of_range(each, stamp, bag.start_ns, bag.end_ns):
                problems.append(problem)
            else:
                questions.append(Planned(each, question.camera or default, stamp))
    for each in (*file.narration, *file.events):
        if each.camera not in missing:
            spans += _spans(each, each.camera or default, bag.start_ns)
    questions.sort(key=lambda planned: planned.stamp)  # those of one time stay in the file's order
    _check_ids(file, questions)
    return Plan(tuple(topics), tuple(questions), tuple(spans), tuple(problems))


def _several(question: Question, count: int) -> Iterator[Question]:
    """A question for each time that its event happens: door, door.2, door.3, ..."""
    return (replace(question, id=f'{question.id}.{n}') if n > 1 else question for n in range(1, count + 1))


def _check_ids(file: QuestionFile, questions: Sequence[Planned]) -> None:
    lines: dict[str, int] = {}
    for question in (each.question for each in questions):
        if lines.setdefault(question.id, question.line) != question.line:
            raise QuestionFileError(
                f'{file.file}:{question.line}: the id {question.id!r} is also that of a question of line '
                f'{lines[question.id]}, which is asked several times: rename one'
            )


def _spans(each: SpanExpectation, camera: str, start_ns: int) -> Iterator[Span]:
    first, last = (time.stamp(start_ns) for time in each.between)
    for must, texts in ((each.verb, each.must), (f'not {each.verb}', each.must_not)):
        yield from (Span(camera, first, last, must, text, each.tags) for text in texts)


def head(job: Job, topics: Sequence[str]) -> dict[str, Any]:
    """The first line of a result: all that decides about the others. Another line means that it is another run."""
    return {
        'kind': 'run',
        'bag': list(job.bags),
        'bag_bytes': sum(map(size, job.paths)),
        'topics': list(topics),
        'settings': job.settings.changed(),
        'name': job.name,
        'questions': job.file.file,
        'questions_sha256': job.file.digest,
        'model': job.settings['model.name'] or 'embedded',
        'controls': job.controls,
        'narration': job.narrate,
        **({'realtime': job.realtime} if job.realtime else {}),
        **({'watches_sha256': read_watches(Path(file)).digest} if (file := job.settings['watch.file']) else {}),
    }


def is_done(job: Job, line: dict[str, Any]) -> bool:
    """Whether all that the job leaves is there. line: its `head`."""
    from stc_ros.evaluation.result_bag import RESULT_BAG

    return is_finished(job.folder, line) and (not job.with_bag or (job.folder / RESULT_BAG).exists())


def run_job(
    job: Job,
    load: Callable[[Settings], Any] | None = None,
    play: Callable[[Job, Bag, Plan, ReplaySink], None] | None = None,
) -> str:
    """Replay and write the result, unless it is there -> why that failed, or ''.

    play: what replays, where that is not the engine in this process. It may raise what is its own.
    """
    from tqdm import tqdm

    from stc_ros.evaluation.result_bag import RESULT_BAG, SPOOL, ResultBag
    from stc_ros.io.bags import Bag, BagError
    from stc_ros.models.base import ModelError
    from stc_ros.settings import SettingError

    try:
        with Bag(job.paths) as bag:
            planned = plan(bag, job.cameras, job.file)
            line = head(job, planned.topics)
            checkpoints = Checkpoints(job.folder, line | {'result_bag': job.with_bag}, job.checkpoint_s)
            if is_done(job, line):
                checkpoints.discard()  # it was killed at its very end
                return ''
            model = None if play else (load or _model)(_of_model(job.settings))
            writer = ResultWriter(job.folder, line, planned.spans, job.file.requirements)
            for name in (RESULT_BAG, SPOOL) if not job.with_bag else (RESULT_BAG,):
                (job.folder / name).unlink(missing_ok=True)  # of a run of something else
            seen = ResultBag(job.folder, planned.topics, bag.start_ns) if job.with_bag else None
            seconds = (bag.end_ns - bag.start_ns) / 1e9
            bar = tqdm(total=seconds, desc=job.title, unit='s', position=job.row, disable=None)
            with bar, contextlib.closing(writer), contextlib.closing(seen) if seen else contextlib.nullcontext():
                problems = list(planned.problems)
                sink = Sinks(writer, *([seen] if seen else []), _Progress(bar, bag.start_ns))
                try:
                    if play:
                        play(job, bag, planned, sink)
                    else:
                        replay(
                            model,
                            bag,
                            planned.topics,
                            planned.questions,
                            job.settings,
                            sink,
                            controls=job.controls,
                            narrate=job.narrate,
                            checkpoints=checkpoints,
                        )
                except BagError as error:  # what came before it counts
                    problems.append(f'{error}; what came before it was evaluated')
                    problems += writer.not_asked(planned.questions)
                if seen:
                    seen.finish()
                writer.finish(problems)  # the last: a result.jsonl says that all is there
            checkpoints.discard()
    except (BagError, QuestionFileError, SettingError, ModelError, ImportError) as error:
        return str(error)
    return ''


class _Progress(ReplaySink):
    """Moves a bar to the stream's time, in seconds from its start."""

    def __init__(self, bar: Any, start_ns: int):
        self._bar, self._start_ns = bar, start_ns

    def progress(self, stamp: int) -> None:
        self._bar.update(max((stamp - self._start_ns) / 1e9 - self._bar.n, 0.0))


def _of_model(settings: Settings) -> Settings:
    """Only what decides about the model, so that runs of one model load it once."""
    names = [name for name in settings if name.startswith('model.')]
    return Settings({name: settings[name] for name in (*names, 'expert.compile')})


@functools.lru_cache(maxsize=1)
def _model(settings: Settings) -> Any:
    from transformers.utils.logging import disable_progress_bar

    from stc_ros.models import load_model, share_cores_fairly

    disable_progress_bar()
    model = load_model(settings)
    share_cores_fairly(model)
    return model


def size(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    return sum(f.stat().st_size for f in path.rglob('*') if f.is_file()) if path.is_dir() else path.stat().st_size
