"""A data set that lies in a folder as annotations and videos: what is common to all of them.

Videos are read lazily, at `fps` frames a second, and only to the time of the last question. What cannot be read is
named in `problems`, and the rest goes on.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from stc_ros.evaluation.datasets.base import DatasetError, Episode, EpisodeError, Question
from stc_ros.parameter_spec import param

SECOND = 1_000_000_000
END = 1 << 62  # the stamp of a question about a whole video, until its length is known
SHORT_S = 1.0  # a video that ends so much before a question's time is spoken of


@dataclass
class VideoDataset:
    """Base of the data sets whose `questions` are about video files. `home`: where annotations and videos come from."""

    folder: str = param('', 'Folder that holds the annotations and the videos.')
    fps: float = param(1.0, 'Frames that are shown of a second of video.', unit='Hz', low=0.01, high=60.0)
    problems: list[str] = field(default_factory=list, init=False, repr=False)
    notes: list[str] = field(default_factory=list, init=False, repr=False)

    home: ClassVar[str] = ''

    def questions(self) -> Iterator[tuple[Path, Question]]:
        """Every question with its video, in any order. Raises `DatasetError`."""
        raise NotImplementedError

    def episodes(self) -> Iterator[Episode]:
        """An episode for each video, its questions in order of time."""
        for video, questions in self._by_video.items():
            yield self._episode(video, questions)

    def total(self) -> int:
        """How many questions there are."""
        return sum(map(len, self._by_video.values()))

    # For the data sets

    def find(self, *names: str) -> Path | None:
        """The first of these files, relative to the folder, that is there."""
        root = Path(self.folder)
        return next((root / name for name in names if self.folder and (root / name).is_file()), None)

    def need(self, *names: str) -> Path:
        """As `find`. Raises `DatasetError`, which says where the file comes from."""
        if found := self.find(*names):
            return found
        option = f'--dataset.{type(self).__module__.rsplit(".", 1)[-1].replace("_", "-")}.folder'
        where = f'in {self.folder}' if self.folder else f'because no folder was given ({option} FOLDER)'
        raise DatasetError(f'there is no {" or ".join(names)} {where}: get it from {self.home}')

    def read(self, file: Path) -> Any:
        """What a JSON file holds. Raises `DatasetError` that names file and line."""
        try:
            return json.loads(file.read_text(encoding='utf-8'))
        except json.JSONDecodeError as error:
            raise DatasetError(f'{file}:{error.lineno}: no JSON: {error.msg}; get it anew from {self.home}') from None
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(f'{file} cannot be read: {error}; get it anew from {self.home}') from None

    def records(self, file: Path) -> list[Any]:
        """A JSON file that holds a list. Raises `DatasetError`."""
        content = self.read(file)
        if not isinstance(content, list):
            raise DatasetError(f'{file} holds no list of records; get it anew from {self.home}')
        return content

    @contextlib.contextmanager
    def damaged(self, where: str) -> Iterator[None]:
        """What goes wrong within is a problem of that record, and of no other."""
        try:
            yield
        except KeyError as error:
            self.problems.append(f'{where} lacks {error.args[0]!r}; it was left out')
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            self.problems.append(f'{where} is damaged: {error}; it was left out')

    # Videos

    @cached_property
    def _by_video(self) -> dict[Path, list[Question]]:
        found: dict[Path, list[Question]] = {}
        for video, question in self.questions():
            found.setdefault(video, []).append(question)
        return found

    def _episode(self, video: Path, questions: list[Question]) -> Episode:
        name = video.relative_to(self.folder) if video.is_relative_to(self.folder) else video
        ends = [question.stamp == END for question in questions]
        try:
            length = self._length(video) if any(ends) else 0
        except EpisodeError as error:
            return Episode(name.as_posix(), _failing(error), tuple(questions))
        placed = (replace(q, stamp=length) if end else q for q, end in zip(questions, ends))
        asked = tuple(sorted(placed, key=lambda question: question.stamp))
        return Episode(name.as_posix(), self._frames(video, asked[-1].stamp), asked)

    def _length(self, video: Path) -> int:
        with contextlib.closing(self._open(video)) as opened:
            if not opened.seconds:
                raise EpisodeError(f'{video} does not say how long it is: write it anew with ffmpeg -c copy')
            return round(opened.seconds * SECOND)

    def _frames(self, video: Path, until: int) -> Iterator[tuple[int, np.ndarray]]:
        """The frames up to that time, in ns from the first one."""
        from stc_ros.io.video import VideoError

        first, last = None, -1
        with contextlib.closing(self._open(video)) as opened:
            try:
                for seconds, picture in opened.timed(1 / self.fps):
                    first = seconds if first is None else first
                    stamp = round((seconds - first) * SECOND)
                    if stamp > until:
                        return
                    if stamp > last:
                        last = stamp
                        yield stamp, picture
            except VideoError as error:
                raise EpisodeError(str(error)) from None
        if until - last > (SHORT_S + 1 / self.fps) * SECOND:
            shown, asked = f'{last / SECOND:.1f} s', f'{until / SECOND:.1f} s'
            self.notes.append(f'{video}: the last frame is of {shown}, and there is a question at {asked}: asked then')

    def _open(self, video: Path) -> Any:
        from stc_ros.io.video import Video, VideoError  # here, because it imports PyAV

        if not video.is_file():
            raise EpisodeError(f'{video} is not there; the videos come from {self.home}')
        try:
            return Video(str(video))
        except VideoError as error:
            raise EpisodeError(str(error)) from None


def _failing(error: EpisodeError) -> Iterator[Any]:
    raise error
    yield
