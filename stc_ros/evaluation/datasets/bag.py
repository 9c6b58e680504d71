"""A bag with a question file as a data set, so that it is asked as the published ones are.

`stc_ros evaluate` says more about a bag: narration, requirements, latency, a report.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stc_ros.evaluation import expectations
from stc_ros.evaluation.datasets.base import DatasetError, Episode, EpisodeError, Question, datasets
from stc_ros.parameter_spec import param

if TYPE_CHECKING:
    from stc_ros.evaluation.evaluate import Plan
    from stc_ros.evaluation.questions import QuestionFile
    from stc_ros.evaluation.replay import Planned


@datasets.register('bag', source='stc_ros', scope='a recording of your own')
@dataclass
class BagDataset:
    """Questions of a YAML file about a rosbag2 recording, an episode for each camera that they name."""

    path: str = param('', 'A bag: a file or folder of sqlite3 or MCAP.')
    questions: str = param('', 'Its question file, as for `stc_ros evaluate`.')
    camera: str = param('', 'Topic of the questions that name none; not needed where there is one.')
    problems: list[str] = field(default_factory=list, init=False, repr=False)
    notes: list[str] = field(default_factory=list, init=False, repr=False)

    def episodes(self) -> Iterator[Episode]:
        planned, file = self._plan, self._file
        self.problems[:] = planned.problems
        left_out = 'expectations of narrations and events are left out: stc_ros evaluate checks them'
        self.notes[:] = [left_out] if file.narration or file.events else []
        for topic in planned.topics:
            asked = tuple(_question(each) for each in planned.questions if each.camera == topic)
            if asked:
                yield Episode(topic, self._frames(topic, asked[-1].stamp), asked)

    def score(self, question: Question, answer: str) -> dict[str, float]:
        """strict: as `stc_ros evaluate` scores it. lenient: an exact text may stand within a longer answer."""
        expect = next(each.question.expect for each in self._plan.questions if each.question.id == question.id)
        strict = expect.score(answer)
        within = isinstance(expect, expectations.Exact) and any(expectations.mentions(answer, t) for t in expect.texts)
        return {'strict': strict, 'lenient': max(strict, float(within))}

    @cached_property
    def _plan(self) -> Plan:
        from stc_ros.evaluation.evaluate import plan
        from stc_ros.evaluation.questions import QuestionFileError
        from stc_ros.io.bags import Bag, BagError

        file = self._file  # says what was not given
        try:
            with Bag([Path(self.path)]) as bag:
                return plan(bag, [self.camera] if self.camera else [], file)
        except (BagError, QuestionFileError, OSError) as error:
            raise DatasetError(str(error)) from None

    @cached_property
    def _file(self) -> QuestionFile:
        from stc_ros.evaluation.questions import QuestionFileError, read_questions

        for option, value in (('path', self.path), ('questions', self.questions)):
            if not value:
                raise DatasetError(f'no {option} was given: --dataset.bag.path BAG --dataset.bag.questions FILE.yaml')
        try:
            return read_questions(Path(self.questions))
        except (QuestionFileError, OSError) as error:
            raise DatasetError(str(error)) from None

    def _frames(self, topic: str, until: int) -> Iterator[tuple[int, np.ndarray]]:
        from stc_ros.io.bags import Bag, BagError
        from stc_ros.io.image_messages import FrameInvalid

        unusable: dict[str, int] = {}
        try:
            with Bag([Path(self.path)]) as bag:
                for frame in bag.frames([topic]):
                    if frame.stamp > until:
                        break
                    try:
                        if frame.picture is None:
                            raise FrameInvalid(frame.error_kind, frame.error)
                        yield frame.stamp, frame.picture.array()
                    except FrameInvalid as error:
                        unusable[str(error)] = unusable.get(str(error), 0) + 1
        except BagError as error:
            raise EpisodeError(str(error)) from None
        finally:
            self.problems += [f'{topic}: {n} frames cannot be used: {why}' for why, n in unusable.items()]


def _question(planned: Planned) -> Question:
    question = planned.question
    tags = question.tags or ('untagged',)
    return Question(planned.stamp, question.text, _right(question.expect), tags, question.id)


def _right(expect: expectations.Expectation) -> str:
    """An answer that is right; of a pattern, the pattern."""
    described = next(iter(expect.describe().values()))
    if isinstance(expect, expectations.Contains):
        return ' '.join(expect.texts)
    return described[0] if isinstance(described, list) else f'{described}'
