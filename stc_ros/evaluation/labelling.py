"""Says what is right of the questions in a file: shows them with their pictures, and writes each label back at once.

The file is the only place where anything is kept. It is read anew every time, changed in its text (question_edit.py),
checked as `stc_ros evaluate` would, and replaced as a whole: a label is in it or not, whatever happens.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stc_ros.evaluation.expectations import Proposed
from stc_ros.evaluation.label_form import LabelError, expectation
from stc_ros.evaluation.question_edit import Plain, change, insert, remove, written
from stc_ros.evaluation.question_events import Event, stamps_of
from stc_ros.evaluation.question_pictures import EARLIER_S, save_frames
from stc_ros.evaluation.questions import Question, QuestionFileError, read_questions

if TYPE_CHECKING:
    from stc_ros.io.bags import Bag


@dataclass(frozen=True, slots=True)
class Row:
    """A question as the page shows it."""

    place: int  # in the file, 0 for the first
    question: Question
    camera: str  # topic
    stamp: int  # ns; 0 where it cannot be told
    at: float  # s from the bag's start
    problem: str = ''

    @property
    def labelled(self) -> bool:
        return not isinstance(self.question.expect, Proposed)

    @property
    def proposed(self) -> str:
        return '' if self.labelled else self.question.expect.text


class Labelling:
    """A question file and the bag it is about. Raises `QuestionFileError` and `BagError`, which say what is wrong."""

    def __init__(self, bag: Bag, file: Path, camera: str = ''):
        self.file = file.resolve()  # a link stays one
        self._bag, self._camera = bag, camera
        self._start_ns = bag.start_ns
        self._events: dict[Event, list[int] | str] = {}
        self._rows: tuple[str, list[Row]] = '', []  # of the file's newest digest
        self._folder = tempfile.TemporaryDirectory(prefix='stc_ros-label-')
        try:
            events = {_unplaced(each.on) for each in self._read() if each.on}
            self._events = stamps_of(bag, events)[0]
            rows = self.rows()
            wanted = {(row.camera, row.stamp) for row in rows if row.camera and row.stamp}
            self._pictures = save_frames(bag, wanted, Path(self._folder.name))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Labelling:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        self._folder.cleanup()

    @property
    def text(self) -> str:
        with self.file.open(encoding='utf-8', newline='') as file:
            return file.read()

    @property
    def digest(self) -> str:
        """Of the file as it stands: who has looked at another one may not change it."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def rows(self) -> list[Row]:
        """All questions, in the order of the file. Raises `QuestionFileError`."""
        digest = self.digest
        if self._rows[0] != digest:
            self._rows = digest, [self._row(place, each) for place, each in enumerate(self._read())]
        return self._rows[1]

    def counts(self) -> tuple[int, int]:
        """How many questions there are, and how many of them nobody has labelled."""
        rows = self.rows()
        return len(rows), sum(not row.labelled for row in rows)

    def pictures(self, row: Row) -> list[tuple[float, Path]]:
        """(s before the question, JPEG file): the newest frame first, then those EARLIER_S before it."""
        found = [(back, self._pictures.get((row.camera, row.stamp, back))) for back in (0.0, *EARLIER_S)]
        return [(back, path) for back, path in found if path]

    def label(self, place: int, form: Mapping[str, str], digest: str) -> str:
        """Write down what is right -> what that says of the proposed answer. Raises `LabelError`."""
        row = self._same(place, digest)
        tags = [tag.strip() for tag in form.get('tags', '').split(',') if tag.strip()]
        fields: dict[str, Any] = {'expect': expectation(form)}
        if tags or row.question.tags:
            fields['tags'] = tags
        expect = self._replace(change(self.text, place, fields), place, place)[place].expect
        if not row.proposed:
            return 'saved'
        return f'saved: by this, what the robot answered scores {expect.score(row.proposed):.2g}'

    def remove(self, place: int, digest: str) -> str:
        """Take a question out of the file."""
        row = self._same(place, digest)
        if len(self.rows()) == 1:
            raise LabelError('it is the only question: remove the file instead')
        self._replace(remove(self.text, place), place, None)
        return f'{row.question.id} was removed'

    def add(self, place: int, text: str, digest: str) -> str:
        """Another question at the time of the one at `place`, behind it and unlabelled."""
        row = self._same(place, digest)
        taken = {each.question.id for each in self.rows()}
        name = next(name for n in range(2, 10**6) if (name := f'{row.question.id}-{n}') not in taken)
        if row.question.at is None:
            raise LabelError('another topic says when this question is asked: write its like into the file by hand')
        fields = {'id': name, 'at': Plain(written(self.text, place, 'at'))}
        if row.question.camera:
            fields['camera'] = row.question.camera
        text = insert(self.text, place + 1, fields | {'question': text.strip(), 'proposed': ''})
        self._replace(text, None, place + 1)
        return f'{name} was added'

    def _row(self, place: int, question: Question) -> Row:
        problem, stamp, found = '', 0, ''
        if question.at:
            stamp = question.at.stamp(self._start_ns)
        elif isinstance(found := self._events.get(_unplaced(question.on), 'it is new: start this page anew'), str):
            problem = found
        else:
            stamp = found[0]
            problem = f'asked {len(found)} times; this is the first' if len(found) > 1 else ''
        if stamp and not self._start_ns <= stamp <= self._bag.end_ns:
            problem = f'outside of the bag, which is {(self._bag.end_ns - self._start_ns) / 1e9:g} s long'
        try:
            camera = self._bag.choose(question.camera or self._camera)
        except ValueError as error:
            camera, problem = '', str(error)
        return Row(place, question, camera, stamp, (stamp - self._start_ns) / 1e9 if stamp else 0.0, problem)

    def _same(self, place: int, digest: str) -> Row:
        """The question at `place`, unless the file is another one than that of the page."""
        if digest != self.digest:
            raise LabelError('the file has changed since this page was loaded: look again, then save')
        rows = self.rows()
        if not 0 <= place < len(rows):
            raise LabelError(f'there is no question {place + 1}')
        return rows[place]

    def _read(self, file: Path | None = None) -> list[Question]:
        found = read_questions(file or self.file)
        return sorted((*found.questions, *found.unlabelled), key=lambda each: each.line)

    def _replace(self, text: str, old: int | None, new: int | None) -> list[Question]:
        """Put `text` in the file's place -> its questions.

        It has to be a right question file whose questions are the same, but for that at `old` and that at `new`.
        """
        part = self.file.with_name(f'.{self.file.name}.{os.getpid()}.part')
        try:
            with part.open('w', encoding='utf-8', newline='') as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            try:
                found = self._read(part)
            except QuestionFileError as error:
                raise LabelError(str(error).replace(str(part), str(self.file))) from None
            if _others([row.question for row in self.rows()], old) != _others(
                found, new
            ):  # an anchor that another one uses, say
                raise LabelError(f'{self.file} is laid out so that this has to be changed by hand')
            shutil.copymode(self.file, part)
            os.replace(part, self.file)
        finally:
            part.unlink(missing_ok=True)
        return found


def _others(questions: list[Question], place: int | None) -> list[Question]:
    """What must not change with the question at `place`. Default ids count, and lines do."""
    return [
        replace(each, id='', line=0, on=each.on and _unplaced(each.on))
        for number, each in enumerate(questions)
        if number != place
    ]


def _unplaced(event: Event) -> Event:
    return replace(event, line=0)
