"""RTV-Bench (NeurIPS 2025): the same question at several times of a video, with another right answer each time.

Questions come in groups: what can be seen (level 0 and 1), and what it means (level 2), of which the score counts only
those whose group is right about what can be seen.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from stc_ros.evaluation.datasets.base import Part, Question, Scored, datasets, mean
from stc_ros.evaluation.datasets.multiple_choice import check_letter, lenient, lettered
from stc_ros.evaluation.datasets.videos import SECOND, VideoDataset

LEVELS = ('level 0', 'level 1', 'level 2')
MAIN = ('Object', 'Action', 'Event')
DIMENSIONS = {'Reasoning': ('SR', 'FP'), 'Understanding': ('IA', 'PU', 'GU'), 'Perception': ('TP', 'VP', 'SP')}
DIMENSION_OF = {kind: dimension for dimension, kinds in DIMENSIONS.items() for kind in kinds}
_ID = re.compile(r'q-group-([a-z0-9]+)-([012])(?:-[^-]+)*', re.IGNORECASE)
CHOICE = '{}\n{}\nWhich one is right? Reply with its letter only.'  # our words: its own come without a licence


@datasets.register(
    'rtv_bench',
    source='arXiv 2505.02064, no licence named, https://huggingface.co/datasets/RTVBench/RTV-Bench',
    scope='answers that change with time',
)
@dataclass
class RtvBench(VideoDataset):
    """RTV-Bench: one question at several times, and groups of questions from what is seen to what it means."""

    home = 'https://huggingface.co/datasets/RTVBench/RTV-Bench'

    def questions(self) -> Iterator[tuple[Path, Question]]:
        file = self.need('QA.json')
        for number, record in enumerate(self.records(file)):
            with self.damaged(f'{file.name}: record {number}'):
                yield self._video(record), _question(record)

    def _video(self, record: dict[str, Any]) -> Path:
        inside = Path(record['field']) / record['video']
        return self.find(str(Path('videos') / inside), str(inside)) or Path(self.folder) / 'videos' / inside

    def score(self, question: Question, answer: str) -> dict[str, float]:
        """strict: the letter that its scripts find in the answer."""
        said = answer.strip()
        return {'strict': float(_extract(said, question) == question.expected), 'lenient': lenient(question, said)}

    def totals(self, scored: Sequence[Scored]) -> dict[str, list[Part]]:
        """Means over levels, over objects, actions and events, over dimensions; and the score of level 2."""
        found = {}
        for label, tags in (('levels', LEVELS), ('main kinds', MAIN), ('dimensions', tuple(DIMENSIONS))):
            asked = [scores for tag in tags if (scores := [s.score for s in scored if tag in s.tags])]
            found[f'mean of {label}'] = [mean(1 / len(asked), scores) for scores in asked]
        groups: dict[str, list[Scored]] = defaultdict(list)
        for each in scored:
            groups[_ID.fullmatch(each.id)[1]].append(each)
        gated = []
        for group in groups.values():
            seen = all(s.score == 1 for s in group if LEVELS[2] not in s.tags)  # true where none was asked
            gated += [s.score * seen for s in group if LEVELS[2] in s.tags]
        if gated:
            found['score (level 2 of groups right below)'] = [mean(1.0, gated)]
        return found


def _question(record: dict[str, Any]) -> Question:
    named = _ID.fullmatch(record['questionID'])
    main, _, kind = record['type'].partition('-')
    if not named:
        raise ValueError(f'questionID {record["questionID"]!r} names no group and level')
    if main not in MAIN or kind not in DIMENSION_OF:
        raise ValueError(f'there is no type {record["type"]!r}')
    letters = sorted(record['options'])
    if letters != list(ascii_uppercase[: len(letters)]):
        raise ValueError(f'its options are called {", ".join(letters)}')
    options = tuple(str(record['options'][letter]) for letter in letters)
    text = CHOICE.format(record['question'], '\n'.join(lettered(options)))
    right = check_letter(record['answer'], options)
    tags = (LEVELS[int(named[2])], main, DIMENSION_OF[kind], kind)
    return Question(round(float(record['end_time']) * SECOND), text, right, tags, record['questionID'], options)


def _extract(answer: str, question: Question) -> str:
    """The first letter that stands alone, of any case; else one behind "option" or "answer"; else the first character;
    '' where none of them is an option's."""
    valid, said = ascii_uppercase[: len(question.options)], answer.upper()
    alone, named = re.search(r'\b([A-Z])\b', said), re.search(r'(?:OPTION|ANSWER)\s*[:\-]?\s*([A-Z])', said)
    found = [match[1] for match in (alone, named) if match] + [said[:1]]
    return next((letter for letter in found if letter and letter in valid), '')
