"""What is asked: seeded streams, at some moments of each as many questions of every type, and two narrations."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from stc_ros.synthetic import PROFILES, Clip, record
from stc_ros.synthetic.backdrop import EVALUATED, Backdrop
from stc_ros.synthetic.forms import TYPES
from stc_ros.synthetic.narration import tell
from stc_ros.synthetic.questions import Question, ask_about
from stc_ros.synthetic.render import UNIT
from stc_ros.synthetic.seeds import TEST, TUNE

FRAME_NS = 125_000_000  # the worlds run at 8 frames a second
MOST_SKIPPED = 64  # frames that a stream may have run before it is shown


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is asked of one stream, and how it is shown."""

    frames: int = 32
    moments: int = 3
    questions: int = 4  # of each type at each moment, where the world offers so many
    size: int = UNIT  # pixels of a frame's side
    backdrop: tuple[str, ...] = ()  # videos of which the part that nothing learned from is shown behind the objects

    def moments_at(self) -> list[int]:
        """Frames at which questions are asked: the first in the middle, the last at the end."""
        return [int(t) - 1 for t in np.linspace(max(self.frames // 2, 1), self.frames, self.moments)]


@dataclass(frozen=True, slots=True)
class Episode:
    """One stream, the questions asked at frame t of it, and what narration has to say at some of those moments."""

    clip: Clip
    asked: dict[int, list[Question]]
    stories: dict[int, str]  # what a narration at frame t has to say of the frames since the one before


def draw_streams(profile: str, count: int, seed: int, tune: bool = False) -> list[tuple[str, int]]:
    """`count` streams (profile, world's seed) of a profile, or of each when it is "all".

    `seed` names the run; the worlds' seeds come from the range for tests, or from the one for tuning.
    """
    profiles = PROFILES if profile == 'all' else (profile,)
    seeds = random.Random(seed).sample(TUNE if tune else TEST, count * len(profiles))
    return list(zip([p for p in profiles for _ in range(count)], seeds))


def draw_episode(profile: str, seed: int, plan: Plan) -> Episode:
    """The episode of that seed; the same one every time."""
    draw = random.Random(f'{profile}/{seed}/questions')
    backdrop = Backdrop(plan.backdrop, EVALUATED) if plan.backdrop else None
    clip = record(profile, seed, plan.frames, plan.size, skip=draw.randrange(MOST_SKIPPED), backdrop=backdrop)
    asked = {
        t: [q for kind in TYPES for q in ask_about(clip, t, draw, plan.questions, types=(kind,))]
        for t in plan.moments_at()
    }
    first, last = plan.moments_at()[0], plan.moments_at()[-1]
    return Episode(clip, asked, {first: tell(clip, first, 0), last: tell(clip, last, first)})
