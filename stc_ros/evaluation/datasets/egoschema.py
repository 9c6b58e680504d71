"""EgoSchema (NeurIPS 2023): five-way questions about three minutes of a day, the 500 whose answers are public."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stc_ros.evaluation.datasets.base import Question, datasets
from stc_ros.evaluation.datasets.multiple_choice import begins_right, first_letter, lenient, letter, lettered
from stc_ros.evaluation.datasets.videos import END, VideoDataset

OPTIONS = 5
CHOICE = 'Question: {}\nOptions:\n{}\nRespond only with the letter (A, B, C, D or E) of the correct option.'


@datasets.register(
    'egoschema',
    source='arXiv 2308.09126, no licence named, videos under the Ego4D licence, https://github.com/egoschema/EgoSchema',
    scope='three minutes of a day',
)
@dataclass
class EgoSchema(VideoDataset):
    """EgoSchema: what somebody does in three minutes, multiple choice, asked at the end; the public subset."""

    home = 'https://github.com/egoschema/EgoSchema'

    def questions(self) -> Iterator[tuple[Path, Question]]:
        file, answers = self.need('questions.json'), self.read(self.need('subset_answers.json'))
        seen = set()
        for number, record in enumerate(self.records(file)):
            with self.damaged(f'{file.name}: record {number}'):
                name = record['q_uid']
                if name not in answers:
                    continue
                seen.add(name)
                options = tuple(record[f'option {i}'] for i in range(OPTIONS))
                text = CHOICE.format(record['question'], '\n'.join(lettered(options)))
                right = letter(answers[name], options)
                yield self._video(name), Question(END, text, right, ('subset',), name, options)
        self.problems += [f'subset_answers.json: {name} is not in {file.name}' for name in answers if name not in seen]

    def _video(self, name: str) -> Path:
        places = (f'videos/{name}.mp4', f'good_clips_git/{name}.mp4')
        return self.find(*places) or Path(self.folder) / places[0]

    def score(self, question: Question, answer: str) -> dict[str, float]:
        """strict: begins with the letter. readable: begins with any of the five; what does not is wrong, never A."""
        said = answer.strip()
        letters = 'ABCDE'[: len(question.options)]
        return {
            'strict': begins_right(question, said),
            'lenient': lenient(question, said),
            'readable': float(bool(first_letter(said)) and first_letter(said) in letters),
        }
