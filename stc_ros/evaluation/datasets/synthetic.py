"""The seeded synthetic worlds as a data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stc_ros.evaluation.datasets.base import Episode, Question, datasets
from stc_ros.evaluation.episodes import FRAME_NS, Plan, draw_episode, draw_streams
from stc_ros.models.narration_filter import normalise
from stc_ros.parameter_spec import param
from stc_ros.synthetic import PROFILES


@datasets.register('synthetic', source='stc_ros', scope='coloured shapes that move')
@dataclass
class Synthetic:
    """Questions with one right answer about worlds that know the truth about themselves; tagged by type and profile."""

    profile: str = param('all', 'Which worlds are shown.', choices=('all', *PROFILES))
    streams: int = param(4, 'Streams of each profile.', unit='streams', low=1, high=10_000)
    seed: int = param(0, 'Another number asks about other streams.', low=0, high=1_000_000)
    frames: int = param(32, 'Length of a stream.', unit='frames', low=1, high=10_000)

    def episodes(self) -> Iterator[Episode]:
        for profile, seed in draw_streams(self.profile, self.streams, self.seed):
            drawn = draw_episode(profile, seed, Plan(frames=self.frames))
            questions = tuple(
                Question(t * FRAME_NS, q.text, q.answer, (q.type, profile))
                for t, questions in drawn.asked.items()
                for q in questions
            )
            yield Episode(f'{profile} {seed}', ((t * FRAME_NS, f) for t, f in enumerate(drawn.clip.frames)), questions)

    def score(self, question: Question, answer: str) -> float:
        """1 where the answer is the expected one, word for word."""
        return float(normalise(answer) == normalise(question.expected))
