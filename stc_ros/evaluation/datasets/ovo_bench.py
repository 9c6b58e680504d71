"""OVO-Bench (CVPR 2025): backward tracing, real-time perception and forward responding at moments of a video.

Prompts and scoring are those of its repository (MIT); an answer here knows the frames up to `realtime`, where the
clips that are published with it go on to the next whole second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stc_ros.evaluation.datasets.base import Part, Question, Scored, datasets
from stc_ros.evaluation.datasets.multiple_choice import begins_right, lenient, letter, lettered
from stc_ros.evaluation.datasets.videos import SECOND, VideoDataset
from stc_ros.evaluation.expectations import Number, YesNo
from stc_ros.parameter_spec import param

GROUPS = {
    'backward': ('EPM', 'ASI', 'HLD'),
    'realtime': ('OCR', 'ACR', 'ATR', 'STU', 'FPD', 'OJR'),
    'forward': ('REC', 'SSR', 'CRR'),
}
GROUP_OF = {task: group for group, tasks in GROUPS.items() for task in tasks}
CHOICE = """\
Question: {}
Options:
{}

Respond only with the letter corresponding to your chosen option (e.g., A, B, C).
Do not include any additional text or explanation in your response."""
REC = """\
You're watching a video in which people may perform a certain type of action repetively.
The person performing this kind of action are referred to as 'they' in the following statement.
You're task is to count how many times have different people in the video perform this kind of action in total.
One complete motion counts as one.
Now, answer the following question: How many times did they {}?
Provide your answer as a single number (e.g., 0, 1, 2, 3…) indicating the total count.
Do not include any additional text or explanation in your response."""
SSR = """\
You're watching a tutorial video which contain a sequential of steps.
The following is one step from the whole procedures:
{}
Your task is to determine if the man or woman in the video is currently performing this step.
Answer only with “Yes” or “No”.
Do not include any additional text or explanation in your response."""
CRR = """\
You're responsible of answering questions based on the video content.
The following question are relevant to the latest frames, i.e. the end of the video.
{}
Decide whether existing visual content, especially latest frames, i.e. frames that near the end of the video, provide \
enough information for answering the question.
Answer only with “Yes” or “No”.
Do not include any additional text or explanation in your response."""


@datasets.register(
    'ovo_bench',
    source='arXiv 2501.05510, CC BY-NC-SA 4.0, https://huggingface.co/datasets/JoeLeelyf/OVO-Bench',
    scope='past, present and future of a moment',
)
@dataclass
class OvoBench(VideoDataset):
    """OVO-Bench: multiple choice about a moment, counts and steps while they happen, and whether one knows enough."""

    group: str = param('all', 'What is asked.', choices=('all', *GROUPS))

    home = 'https://github.com/JoeLeelyf/OVO-Bench (annotations), its Hugging Face page (videos)'

    def questions(self) -> Iterator[tuple[Path, Question]]:
        file = self.need('ovo_bench_new.json', 'data/ovo_bench_new.json')
        for number, record in enumerate(self.records(file)):
            with self.damaged(f'{file.name}: record {number}'):
                if record['task'] not in GROUP_OF:
                    raise ValueError(f'there is no task {record["task"]!r}')
                if self.group in ('all', GROUP_OF[record['task']]):
                    yield from list(_questions(record, file.parent))

    def score(self, question: Question, answer: str) -> dict[str, float]:
        """strict: begins with the letter, is the number, begins with yes or no. official: as the repository counts."""
        task, said = question.tags[0], answer.strip()
        if task == 'REC':
            digits = ''.join(re.findall(r'\d+', said))
            return {
                'strict': float(said.rstrip('.') == question.expected),
                'lenient': Number(float(question.expected)).score(said),
                'official': float(digits == question.expected),
            }
        if task in ('SSR', 'CRR'):
            first = re.match(r'\W*(\w+)', said)
            right = question.expected
            return {
                'strict': float(bool(first) and first[1].lower() in (right.lower(), right[0].lower())),
                'lenient': YesNo(right == 'Yes').score(said),
                'official': float(said == right[0] or right in said),
            }
        return {
            'strict': begins_right(question, said),
            'lenient': lenient(question, said),
            'official': float(question.expected in said),
        }

    def totals(self, scored: Sequence[Scored]) -> dict[str, list[Part]]:
        """The mean of the tasks of each group, and the mean of the three groups where all were asked."""
        found: dict[str, list[Part]] = {}
        for group, tasks in GROUPS.items():
            by_task = [[s.score for s in scored if s.tags[0] == task] for task in tasks]
            asked = [scores for scores in by_task if scores]
            if asked:
                found[f'{group} (mean of tasks)'] = [
                    Part(1 / len(asked), sum(scores) / len(scores), len(scores)) for scores in asked
                ]
        if len(found) == len(GROUPS):
            parts = [part for group in found.values() for part in group]
            found['total (mean of groups)'] = [part._replace(weight=part.weight / len(GROUPS)) for part in parts]
        return found


def _questions(record: dict[str, Any], folder: Path) -> Iterator[tuple[Path, Question]]:
    task, name = record['task'], str(record['id'])
    tags = (task, GROUP_OF[task])
    if GROUP_OF[task] != 'forward':
        options = tuple(map(str, record['options']))
        text = CHOICE.format(record['question'], '; '.join(lettered(options)) + ';')
        right = letter(record['gt'], options)
        stamp = _stamp(record['realtime'])
        yield _video(record, folder, name), Question(stamp, text, right, tags, name, options)
        return
    for number, moment in enumerate(record['test_info']):
        if task == 'REC':
            text, right = REC.format(record['activity']), str(int(moment['count']))
        else:
            text = SSR.format(moment['step']) if task == 'SSR' else CRR.format(record['question'])
            right = ('No', 'Yes')[moment['type']]
        own = f'{name}_{number}'
        yield _video(record, folder, own), Question(_stamp(moment['realtime']), text, right, tags, own)


def _video(record: dict[str, Any], folder: Path, clip: str) -> Path:
    """The whole video, or the clip of one question where only that is there."""
    whole, cut = folder / 'src_videos' / record['video'], folder / 'chunked_videos' / f'{clip}.mp4'
    return cut if cut.is_file() and not whole.is_file() else whole


def _stamp(seconds: float) -> int:
    return round(float(seconds) * SECOND)
