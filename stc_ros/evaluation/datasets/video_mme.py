"""Video-MME (CVPR 2025): questions about whole videos, from 11 seconds to an hour, with or without subtitles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stc_ros.evaluation.datasets.base import DatasetError, Question, datasets
from stc_ros.evaluation.datasets.multiple_choice import check_letter, lenient, lettered, texts
from stc_ros.evaluation.datasets.videos import END, VideoDataset
from stc_ros.parameter_spec import param

ANNOTATIONS = 'videomme/test-00000-of-00001.parquet'
DURATIONS = ('short', 'medium', 'long')
COLUMNS = ('duration', 'domain', 'videoID', 'question_id', 'task_type', 'question', 'options', 'answer')
CHOICE = (
    'Select the best answer to the following multiple-choice question based on the video. Respond with only the letter '
    '(A, B, C, or D) of the correct option.\n{}\n{}\nThe best answer is:'
)
SUBTITLES = "This video's subtitles are listed below:\n{}\n"
NO_SUBTITLES = 'No subtitles available'
PREFIXES = (  # as its script takes them out of an answer, in this order; two of them have lost a comma there
    'The best answer is',
    'The correct answer is',
    'The answer is',
    'The answer',
    'The best option isThe correct option is',
    'Best answer:Best option:',
    'Answer:',
    'Option:',
    'The correct answer',
    'The correct option',
)
_TIME = re.compile(r'(\d+):(\d\d):(\d\d)[,.](\d{1,3}) *--> *(\d+):(\d\d):(\d\d)[,.](\d{1,3})')


@datasets.register(
    'video_mme',
    source='arXiv 2405.21075, academic research only, https://huggingface.co/datasets/lmms-lab/Video-MME',
    scope='whole videos by length',
)
@dataclass
class VideoMme(VideoDataset):
    """Video-MME: multiple choice about short, medium and long videos, asked at their end."""

    duration: str = param('all', 'Which videos are asked about.', choices=('all', *DURATIONS))
    subtitles: bool = param(False, 'Whether a question is given the subtitles of the frames that were shown.')

    home = 'https://huggingface.co/datasets/lmms-lab/Video-MME'

    def questions(self) -> Iterator[tuple[Path, Question]]:
        file = self.need(ANNOTATIONS, Path(ANNOTATIONS).name)
        given: dict[Path, str] = {}
        for number, record in enumerate(self._rows(file)):
            with self.damaged(f'{file.name}: row {number}'):
                if self.duration not in ('all', record['duration']):
                    continue
                if record['duration'] not in DURATIONS:
                    raise ValueError(f'its duration is {record["duration"]!r}')
                video = self._video(record['videoID'])
                if self.subtitles and video not in given:
                    given[video] = SUBTITLES.format(self._subtitles(record['videoID']) or NO_SUBTITLES)
                yield video, _question(record, given.get(video, ''))

    def _rows(self, file: Path) -> list[dict[str, Any]]:
        try:
            from pyarrow import ArrowException, parquet
        except ImportError:
            raise DatasetError(f"{file} is a Parquet file: pip install 'stc_ros[datasets]', or pyarrow") from None
        try:
            return parquet.read_table(file, columns=list(COLUMNS)).to_pylist()
        except (ArrowException, OSError) as error:
            raise DatasetError(f'{file} cannot be read: {error}; get it anew from {self.home}') from None

    def _video(self, name: str) -> Path:
        places = [f'{folder}/{name}.{end}' for folder in ('data', 'videos') for end in ('mp4', 'MP4', 'mkv')]
        return self.find(*places) or Path(self.folder) / places[0]

    def _subtitles(self, name: str) -> str:
        """The lines that belong to the frames at k / fps; '' where the video has none."""
        file = self.find(f'subtitle/{name}.srt')
        if not file:
            return ''
        shown = []
        for start, end, text in read_subtitles(file.read_text(encoding='utf-8', errors='replace')):
            first = -(-start * self.fps // 1)  # number of the first frame that is not before its start
            if first / self.fps < end:
                shown.append(text)
        return '\n'.join(shown)

    def score(self, question: Question, answer: str) -> dict[str, float]:
        """strict: the letter that its script finds in the answer; one without any is wrong here, and left out there."""
        said = answer.strip()
        return {'strict': float(_extract(said) == question.expected), 'lenient': lenient(question, said)}


def read_subtitles(text: str) -> Iterator[tuple[float, float, str]]:
    """The lines of an .srt file: from, to (s), and what is said, without markup."""
    for block in re.split(r'\r?\n\s*\r?\n', text):
        time = _TIME.search(block)
        if time:
            h, m, s, ms, h2, m2, s2, ms2 = (int(part) for part in time.groups())
            said = re.sub(r'<[^>]*>', '', block[time.end() :])
            if words := ' '.join(said.split()):
                yield h * 3600 + m * 60 + s + ms / 1000, h2 * 3600 + m2 * 60 + s2 + ms2 / 1000, words


def _question(record: dict[str, Any], before: str) -> Question:
    options = texts(record['options'])
    text = before + CHOICE.format(record['question'], '\n'.join(lettered(options)))
    right = check_letter(record['answer'], options)
    tags = (record['duration'], record['task_type'], record['domain'])
    return Question(END, text, right, tags, record['question_id'], options)


def _extract(answer: str) -> str:
    for prefix in PREFIXES:
        answer = answer.replace(prefix, '')
    found = re.search('[ABCD]', answer)
    return found[0] if found else ''
