"""StreamingBench (arXiv 2411.03628): questions at moments of a stream, in turn with their history, and unasked.

Prompts and scoring are those of its repository (MIT). Its main figures are of the 60 s before a question, which are cut
out of the video; here a stream has been watched from its beginning, as in its "all context".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stc_ros.evaluation.datasets.base import Poll, Question, datasets, timed
from stc_ros.evaluation.datasets.multiple_choice import check_letter, lenient, lettered, texts
from stc_ros.evaluation.datasets.videos import SECOND, VideoDataset
from stc_ros.evaluation.expectations import mentions
from stc_ros.parameter_spec import param

PARTS = ('real', 'omni', 'sqa', 'proactive')
OPTIONS = 4
TOLERANCE_S = 2  # of the moment of a proactive answer
OVERTIME_S = 4  # for so long behind the right moment it is polled
ROLE = 'You are an advanced video question-answering AI assistant. '
TASK = 'choosing from the four options provided. Respond with only the letter (A, B, C, or D) of the correct option.'
CHOICE = (
    ROLE
    + 'You have been provided with some frames from the video and a multiple-choice question related to the video. '
    'Your task is to carefully analyze the video and provide the best answer to question, '
    + TASK
    + '\n\nQuestion: {}\n\nOptions:\n{}\n\nThe best option is:'
)
SQA = (
    ROLE + 'You have been provided with a video and a multiple-choice question related to the video. Your task is to '
    'carefully analyze the video and the provided context to answer the question, '
    + TASK
    + "\n\n{}\n\nHere is the question. Answer it and don't confuse it with the previous conversation.\n"
    'Question: {}\n\nOptions:\n{}\n\nThe best option is:'
)
HISTORY = (
    'Here are the contextual information related to the video. Please answer the questions based on the contextual '
    'information: '
)
TURN = 'At timestamp {}, the following question and answer occurred: Question: {}; Options: {}; Answer: {}; '
PROACTIVE = (
    'You are an advanced image question-answering AI assistant. You have been provided with images and a question '
    'related to the images. Your task is to carefully analyze the images and provide the answer to the question. You '
    'need to carefully confirm whether the images content meet the conditions of the question, and then output the '
    'correct content.\n\nQuestion: {}\n\nThe answer is:\n'
)
NOW = '{} Is it the right time to output "{}"? You can only answer yes or no.'


@datasets.register(
    'streaming_bench',
    source='arXiv 2411.03628, code MIT, no licence named for the data, '
    'https://huggingface.co/datasets/mjuicem/StreamingBench',
    scope='moments of a stream',
)
@dataclass
class StreamingBench(VideoDataset):
    """StreamingBench: multiple choice at moments of a stream, in sequence with its history, and proactive output."""

    part: str = param('all', 'Which of its files is asked.', choices=('all', *PARTS))

    home = 'https://github.com/THUNLP-MT/StreamingBench, src/data (annotations), its Hugging Face page (videos)'

    def questions(self) -> Iterator[tuple[Path, Question]]:
        places = {part: (f'questions_{part}.json', f'src/data/questions_{part}.json') for part in PARTS}
        wanted = PARTS if self.part == 'all' else (self.part,)
        files = {part: found for part in wanted if (found := self.find(*places[part]))}
        if not files:
            self.need(*(places[part][0] for part in wanted))
        self.notes += [f'{places[part][0]} is not in {self.folder}: left out' for part in wanted if part not in files]
        if 'omni' in files:
            self.notes.append('questions_omni.json asks about sound, too; only pictures are shown')
        for part, file in files.items():
            for number, record in enumerate(self.records(file)):
                with self.damaged(f'{file.name}: record {number}'):
                    made = _sequence(record, file) if part == 'sqa' else _entry(record, file, part)
                    yield from [(v, replace(q, id=f'{part}-{number}-{i}')) for i, (v, q) in enumerate(made)]

    def score(self, question: Question, answer: str) -> dict[str, float]:
        """strict: the first character is the letter; of a proactive answer, it comes in time and has the output."""
        if question.poll is None:
            said = answer.strip()
            return {'strict': float(said[:1] == question.expected), 'lenient': lenient(question, said)}
        (due, output), (moment, said) = _timed(question.expected), _timed(answer)
        in_time = bool(answer.strip()) and abs(moment - due) <= TOLERANCE_S
        return {
            'strict': float(in_time and output in said),
            'lenient': float(in_time and mentions(said, output)),
            'time': float(in_time),
        }


def _entry(record: dict[str, Any], file: Path, part: str) -> Iterator[tuple[Path, Question]]:
    video = _video(record, file)
    for question in record['questions']:
        seconds, task = to_seconds(question['time_stamp']), question['task_type']
        if part == 'proactive':
            output, due = question['ground_truth_output'], to_seconds(question['ground_truth_time_stamp'])
            last = max(due + OVERTIME_S, seconds + 1)
            asked = PROACTIVE.format(NOW.format(question['question'], output))
            poll = Poll(asked, (seconds + 1) * SECOND, SECOND)
            text, right = PROACTIVE.format(question['question']), timed(due * SECOND, output)
            yield video, Question(last * SECOND, text, right, (task, part), poll=poll)
            continue
        options = texts(question['options'], OPTIONS)
        text = CHOICE.format(question['question'], '\n'.join(lettered(options)))
        right = check_letter(question['answer'], options)
        yield video, Question(seconds * SECOND, text, right, (task, part), options=options)


def _sequence(record: list[dict[str, Any]], file: Path) -> Iterator[tuple[Path, Question]]:
    """Questions of one video, each told the ones before it with their right answers: those of earlier times only."""
    turns = [(_video(entry, file), question) for entry in record for question in entry['questions']]
    history = ''
    for video, question in sorted(turns, key=lambda turn: to_seconds(turn[1]['time_stamp'])):
        options, stamp = texts(question['options'], OPTIONS), question['time_stamp']
        right = check_letter(question['answer'], options)
        text = SQA.format(history, question['question'], '\n'.join(lettered(options)))
        tags = (question['task_type'], 'sqa')
        yield video, Question(to_seconds(stamp) * SECOND, text, right, tags, options=options)
        history = history or HISTORY
        history += TURN.format(stamp, question['question'], ', '.join(lettered(options)), right)


def _video(record: dict[str, Any], file: Path) -> Path:
    """Where its own scripts have put the video: an absolute path, or videos/ beside the annotations."""
    path = Path(record['video_path'])
    return path if path.is_absolute() and path.is_file() else file.parent / 'videos' / path.name


def to_seconds(stamp: str) -> int:
    """HH:MM:SS or MM:SS -> s, as its scripts read it. Raises `ValueError`."""
    return sum(int(part) * 60**power for power, part in enumerate(reversed(stamp.split(':'))))


def _timed(answer: str) -> tuple[float, str]:
    """The moment, in s, and the words of an answer to a poll."""
    found = re.match(r'\s*([\d.e+]+) s: ?(.*)', answer, re.DOTALL)
    return (float(found[1]), found[2]) if found else (-1e9, '')
