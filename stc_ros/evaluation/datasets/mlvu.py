"""MLVU, its dev set (CVPR 2025): questions about a whole long video.

Seven of its nine tasks are multiple choice and are asked. The other two, sub-scene captioning and summary, are judged
by GPT-4 in its protocol; they are not asked, and spoken of in the notes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stc_ros.evaluation.datasets.base import Part, Question, Scored, datasets, mean
from stc_ros.evaluation.datasets.multiple_choice import lenient, letter, lettered
from stc_ros.evaluation.datasets.videos import END, VideoDataset
from stc_ros.parameter_spec import param

TASKS = ('1_plotQA', '2_needle', '3_ego', '4_count', '5_order', '6_anomaly_reco', '7_topic_reasoning')
JUDGED = ('8_sub_scene', '9_summary')
CHOICE = 'Question: {}\nOptions:\n{}\nOnly give the best option.\nBest Option: ('


@datasets.register(
    'mlvu',
    source='arXiv 2406.04264, CC BY-NC-SA 4.0, https://huggingface.co/datasets/MLVU/MVLU',
    scope='whole long videos',
)
@dataclass
class Mlvu(VideoDataset):
    """MLVU (dev): multiple choice about videos of minutes to hours, asked at their end."""

    task: str = param('all', 'Which task is asked.', choices=('all', *TASKS))

    home = 'https://github.com/JUNJIE99/MLVU, data (annotations), https://huggingface.co/datasets/MLVU/MVLU (videos)'

    def questions(self) -> Iterator[tuple[Path, Question]]:
        wanted = TASKS if self.task == 'all' else (self.task,)
        files = {task: found for task in wanted if (found := self.find(*_places(task)))}
        if not files:
            self.need(*_places(wanted[0]))
        self.notes += [f'{task}.json is not in {self.folder}: left out' for task in wanted if task not in files]
        if self.task == 'all':
            self.notes += [f'{task}.json needs a language model as its judge: not asked' for task in JUDGED]
        for task, file in files.items():
            for number, record in enumerate(self.records(file)):
                with self.damaged(f'{file.name}: record {number}'):
                    if record['answer'] not in record['candidates']:
                        self.notes.append(
                            f'{file.name}: record {number}: {record["answer"]!r} is none of its options: left out (its '
                            'own script asks it, and counts every answer as wrong)'
                        )
                        continue
                    yield self._video(task, record['video']), _question(record, f'{task} {number}')

    def _video(self, task: str, name: str) -> Path:
        folders = (f'video/{task}', f'video/{_short(task)}')
        places = [f'{folder}/{name}' for folder in folders]
        return self.find(*places, *(f'MLVU/{place}' for place in places)) or Path(self.folder) / places[0]

    def score(self, question: Question, answer: str) -> dict[str, float]:
        """strict: the answer is the letter, or has it before its first closing bracket: A, A), (A) red."""
        said = answer.strip()
        bracket = said.find(')')
        given = said if bracket < 0 else said[max(bracket - 1, 0) : bracket]
        return {'strict': float(given == question.expected), 'lenient': lenient(question, said)}

    def totals(self, scored: Sequence[Scored]) -> dict[str, list[Part]]:
        """M-Avg, the mean of the tasks' accuracies."""
        tasks = dict.fromkeys(s.tags[0] for s in scored)
        return {
            'M-Avg (mean of tasks)': [
                mean(1 / len(tasks), [s.score for s in scored if s.tags[0] == task]) for task in tasks
            ]
        }


def _places(task: str) -> tuple[str, ...]:
    """On GitHub it lies in data/, on Hugging Face in MLVU/json/."""
    return tuple(f'{folder}{task}.json' for folder in ('json/', 'data/', 'MLVU/json/', ''))


def _short(task: str) -> str:
    """The name of a task's folder in its scripts."""
    return task.split('_', 1)[1]


def _question(record: dict[str, Any], name: str) -> Question:
    options = tuple(map(str, record['candidates']))
    last = len(options) - 1 - options[::-1].index(record['answer'])  # of two alike its script takes the last
    text = CHOICE.format(record['question'], '\n'.join(lettered(options, '({}) {}')))
    return Question(END, text, letter(last, options), (record['question_type'],), name, options)
