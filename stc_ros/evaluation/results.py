"""What a replay leaves behind: result.jsonl, timing.jsonl, junit.xml and pictures, in a folder for each settings file.

result.jsonl holds nothing of the clock or the machine: two replays write the same bytes. It appears under its name when
all of it is there, so that a folder either has a finished run or none.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stc_ros.engine.events import FrameProcessed, NarrationSpan
from stc_ros.evaluation.expectations import mentions
from stc_ros.evaluation.film_strip import FilmStrip
from stc_ros.evaluation.heard_frame import HeardFrame
from stc_ros.evaluation.junit import write_junit
from stc_ros.evaluation.part_file import PART, PartFile, to_line
from stc_ros.evaluation.realtime_metrics import METRICS
from stc_ros.evaluation.replay import Asked, Planned, ReplaySink
from stc_ros.evaluation.requirements import Requirement
from stc_ros.evaluation.run_summary import summarize
from stc_ros.evaluation.thumbnails import FOLDER as FRAMES
from stc_ros.evaluation.thumbnails import save_pictures

RESULT, TIMING, JUNIT = 'result.jsonl', 'timing.jsonl', 'junit.xml'
LONGEST_SIDE = 480  # px of a frame of which pictures are made
PASS = 1 - 1e-9  # a score from here on has passed


@dataclass(frozen=True, slots=True)
class Span:
    """What one camera's narrations from `first` to `last` (ns) have to say or not to say, or what has to happen."""

    camera: str
    first: int
    last: int
    must: str  # 'say', 'not say', 'happen' or 'not happen'
    text: str
    tags: tuple[str, ...] = ()

    def covers(self, camera: str, stamp: int, verb: str) -> bool:
        """Whether what happens there and then decides about it."""
        return self.camera == camera and self.first <= stamp <= self.last and self.must.endswith(verb)


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of a result.jsonl or timing.jsonl. Raises `ValueError` that names file and line."""
    with file.open(encoding='utf-8') as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f'{file}:{number}: no JSON: {error.msg}') from None


def is_finished(folder: Path, head: dict[str, Any]) -> bool:
    """Whether the folder has the whole result of a run that begins with the line `head`."""
    try:
        with (folder / RESULT).open(encoding='utf-8') as lines:
            return lines.readline() == to_line(head)
    except (OSError, UnicodeDecodeError):
        return False


def read_summary(folder: Path) -> dict[str, Any]:
    """The last line of a finished run."""
    return [line for line in read_lines(folder / RESULT) if line['kind'] == 'summary'][-1]


class ResultWriter(ReplaySink):
    """Writes down a replay as it goes on. head: the first line, which says what is replayed."""

    def __init__(self, folder: Path, head: dict[str, Any], spans: Sequence[Span], requirements: Sequence[Requirement]):
        self.folder, self._head, self._requirements = folder, head, requirements
        self._spans: dict[Span, bool] = {
            span: span.must.startswith('not') for span in spans
        }  # whether it is met so far
        self._rows: list[dict[str, Any]] = []  # of the questions, without what is long
        self._invalid: dict[tuple[str, str], int] = {}
        self._frames: dict[str, int] = {}
        self._pictures: list[Path] = []  # since the last checkpoint
        self._strip = FilmStrip(folder)
        self._result, self._timing = PartFile(folder / RESULT), PartFile(folder / TIMING)

    def begin(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in (JUNIT, METRICS):
            (self.folder / name).unlink(missing_ok=True)  # of a run of something else
        shutil.rmtree(self.folder / FRAMES, ignore_errors=True)
        (self.folder / FRAMES).mkdir()
        self._result.begin()
        self._timing.begin()
        self._write(self._head)

    def checkpoint(self) -> dict[str, Any]:
        for path in self._pictures:
            with path.open('rb') as file:
                os.fsync(file.fileno())
        self._pictures.clear()
        return {
            'result': self._result.checkpoint(),
            'timing': self._timing.checkpoint(),
            'met': list(self._spans.values()),
            'rows': self._rows,
            'invalid': self._invalid,
            'frames': self._frames,
            'strip': self._strip.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._result.restore(state['result'])
        self._timing.restore(state['timing'])
        self._spans = dict(zip(self._spans, state['met'], strict=True))
        self._rows, self._invalid, self._frames = state['rows'], state['invalid'], state['frames']
        self._strip.restore(state['strip'])

    def frame(self, camera: str, event: FrameProcessed) -> None:
        report = event.report
        self._frames[camera] = self._frames.get(camera, 0) + 1
        self._write_frame(
            camera,
            report.stamp,
            patches=report.patches,
            patches_recomputed=round(report.patches_recomputed, 4),
            visual_tokens=report.visual_tokens,
            visual_tokens_kept=report.visual_tokens_kept,
            scene_change=bool(report.scene_change),
            memory_tokens=report.memory_tokens,
            reused_similarity=None if math.isnan(report.similarity) else round(float(report.similarity), 6),
        )
        ms = {stage: round(value, 3) for stage, value in report.ms.items()}
        self._strip.see(camera, event)
        age = {'age_ms': round(event.age_ms, 3)} if isinstance(event, HeardFrame) else {}
        self._time(stamp=report.stamp, camera=camera, ms=ms, total_ms=round(event.total_ms, 3), **age)

    def invalid(self, camera: str, stamp: int, kind: str, text: str) -> None:
        self._invalid[camera, text] = self._invalid.get((camera, text), 0) + 1
        self._write_frame(camera, stamp, invalid=text)

    def asked(self, asked: Asked) -> None:
        question, reply = asked.planned.question, asked.reply
        answer, score = reply.answer.strip(), asked.score
        controls = {
            name: {'answer': text.strip(), 'score': round(question.expect.score(text), 6)}
            for name, text in asked.controls.items()
        }
        row = {
            'kind': 'question',
            'id': question.id,
            'camera': asked.planned.camera,
            'stamp': asked.planned.stamp,
            'question': question.text,
            'answer': answer,
            'error': reply.error.name,
            'expected': question.expect.describe(),
            'score': round(score, 6),
            'passed': score >= PASS,
            'tags': list(question.tags),
            'first_stamp': reply.first_stamp,
            'last_stamp': reply.last_stamp,
            'frames': reply.frames_processed,
            **self._draw(asked, len(self._rows)),
            'controls': controls,
        }
        self._write(row)
        self._rows.append({key: row[key] for key in ('camera', 'tags', 'score', 'controls')})
        late = {'deadline': question.deadline, 'late': asked.seconds > question.deadline} if question.deadline else {}
        self._time(
            id=question.id,
            time_to_first_token=round(reply.time_to_first_token, 6),
            tokens_per_second=round(reply.tokens_per_second, 3),
            seconds=round(asked.seconds, 6),
            **late,
        )

    def narrated(self, camera: str, span: NarrationSpan, text: str) -> None:
        checks = []
        for each in self._spans:
            if not each.covers(camera, span.last_stamp, 'say'):
                continue
            said = mentions(text, each.text)
            if each.must == 'say':
                self._spans[each] |= said
            else:
                self._spans[each] &= not said
            if said or each.must == 'not say':  # another narration of the span may say what this one does not
                checks.append({'must': each.must, 'text': each.text, 'passed': said == (each.must == 'say')})
        self._write(
            {
                'kind': 'narration',
                'camera': camera,
                'stamp': span.last_stamp,
                'first_stamp': span.first_stamp,
                'text': text,
                'scene_change': bool(span.scene_change),
                'checks': checks,
            }
        )

    def event(self, camera: str, stamp: int, name: str, text: str) -> None:
        for each in self._spans:
            if each.text == name and each.covers(camera, stamp, 'happen'):
                self._spans[each] = each.must == 'happen'
        self._write({'kind': 'event', 'camera': camera, 'stamp': stamp, 'event': name, 'text': text})

    def not_asked(self, planned: Sequence[Planned]) -> list[str]:
        """What to say of questions that did not come to be asked."""
        ids = [each.question.id for each in planned[len(self._rows) :]]
        return (
            [f'{len(ids)} questions were not asked: {", ".join(ids[:10])}{" ..." if ids[10:] else ""}'] if ids else []
        )

    def finish(self, problems: Sequence[str] = ()) -> None:
        """Write the summary and give the files their names. problems: what was wrong with the input."""
        checks = [
            {
                'kind': 'expectation',
                'camera': span.camera,
                'between': [span.first, span.last],
                'must': span.must,
                'text': span.text,
                'passed': passed,
                'tags': list(span.tags),
            }
            for span, passed in self._spans.items()
        ]
        for check in checks:
            self._write(check)
        invalid = [
            f'{camera}: {count} of {count + self._frames.get(camera, 0)} frames cannot be used: {text}'
            for (camera, text), count in self._invalid.items()
        ]
        self._write(summarize(self._rows, checks, self._requirements, [*problems, *invalid]))
        self.close()
        write_junit(self.folder / JUNIT, self.folder.name, self._judged())
        self._timing.finish()
        self._result.finish()  # the last: now it is finished

    def close(self) -> None:
        self._result.close()
        self._timing.close()

    def _judged(self) -> Iterator[dict[str, Any]]:
        lines = read_lines(self.folder / (RESULT + PART))
        return (line for line in lines if line['kind'] in ('question', 'expectation', 'summary'))

    def _write_frame(self, camera: str, stamp: int, invalid: str = '', **values: Any) -> None:
        empty = dict.fromkeys(('patches', 'patches_recomputed', 'visual_tokens', 'visual_tokens_kept'), 0)
        empty |= {'scene_change': False, 'memory_tokens': 0, 'reused_similarity': None}
        self._write({'kind': 'frame', 'camera': camera, 'stamp': stamp, **empty, **values, 'invalid': invalid})

    def _draw(self, asked: Asked, index: int) -> dict[str, Any]:
        """Pictures of the newest frame and of those before it -> their names; '' before the first frame."""
        if asked.newest is None:
            return {'thumbnail': '', 'overlay': '', 'strip': []}
        image, name = asked.newest.frame.picture.array(LONGEST_SIDE), f'{index:04d}-{asked.planned.question.id}'
        thumbnail, drawn = save_pictures(self.folder, name, image, asked.newest.report)
        strip = self._strip.save(asked.planned.camera, asked.newest.report.stamp)
        self._pictures += (self.folder / path for path in (thumbnail, drawn, *(each['overlay'] for each in strip)))
        return {'thumbnail': thumbnail, 'overlay': drawn, 'strip': strip}

    def _write(self, line: dict[str, Any]) -> None:
        self._result.write(line)

    def _time(self, **line: Any) -> None:
        self._timing.write(line)
