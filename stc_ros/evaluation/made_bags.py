"""Makes bags from what one has: a video file, or a synthetic world, which knows the right answers."""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import yaml
from tqdm import tqdm

from stc_ros.io.bag_writer import BagWriter
from stc_ros.io.video import Video
from stc_ros.synthetic import Clip, Truth, World
from stc_ros.synthetic.forms import TYPES
from stc_ros.synthetic.questions import Question, ask_about
from stc_ros.synthetic.view import REACH
from stc_ros.synthetic.world import counted_from

BEGIN_NS = 1_700_000_000_000_000_000  # of every bag made here, so that the same command gives the same bag
FRAME_ID = 'camera_optical_frame'
KEPT = REACH + 8  # frames back that a question may rest on, and a few for what must not lie at their brink
FIRST_ASKED = 8  # frames: before that little has happened
LOOKING_AHEAD = (-0.5, 0.5, -0.5, 0.5)  # x, y, z, w: an optical frame that looks along its parent's x (REP 103)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about the frames up to `frame`, with its right answer."""

    frame: int
    question: Question


def from_video(video: Video, writer: BagWriter, topic: str, fps: float = 0.0, format: str = 'raw') -> int:
    """Writes the pictures with the times that they have in the file, at most `fps` a second; 0: all. -> how many."""
    written, first = 0, None
    for time, pixels in tqdm(video.timed(), total=video.count or None, desc=video.source, unit=' frames', disable=None):
        first = time if first is None else first
        if fps and time - first < written / fps - 1e-6:
            continue
        writer.image(topic, BEGIN_NS + round((time - first) * 1e9), pixels, FRAME_ID, format)
        written += 1
    return written


def from_synthetic(
    world: World,
    writer: BagWriter,
    topic: str,
    frames: int,
    rate: float,
    size: int,
    format: str = 'raw',
    questions: int = 0,
) -> list[Asked]:
    """Writes `frames` pictures, `rate` a second, one for each step of the world, and what is the case at each.

    Beside the topic: its camera_info, the camera's pose (/camera/pose and /tf) and the truth as JSON (/ground_truth).
    -> questions, spread over the whole time; fewer where the world has not so many to ask.
    """
    asker = _Asker(world, frames, questions)
    for number in tqdm(range(frames), desc=f'{world.profile} {world.seed}', unit=' frames', disable=None):
        if number:
            world.step()
        stamp, truth = stamp_of(number, rate), world.truth()
        writer.image(topic, stamp, world.render(size), FRAME_ID, format)
        # The scene is a wall 1 m ahead, of which the picture shows 1 m.
        writer.camera_info(topic.rsplit('/', 1)[0] + '/camera_info', stamp, FRAME_ID, (size, size), float(size))
        x, y = truth.camera
        writer.pose('/camera/pose', stamp, 'map', FRAME_ID, (-1.0, -x, -y), LOOKING_AHEAD)
        writer.text('/ground_truth', stamp, json.dumps(_facts(truth)))
        asker.see(truth)
    return asker.asked


def stamp_of(frame: int, rate: float) -> int:
    return BEGIN_NS + round(frame * 1e9 / rate)


def write_questions(file: Path, asked: Iterable[Asked], rate: float, profile: str) -> None:
    """A question file. Each is asked halfway between its frame and the next: no rounding changes what it sees."""
    questions = [
        {
            'at': round((a.frame + 0.5) / rate, 6),
            'question': a.question.text,
            'expect': {'exact': a.question.answer},
            'tags': [a.question.type, profile],
        }
        for a in asked
    ]
    file.write_text(yaml.safe_dump({'questions': questions}, sort_keys=False))


class _Asker:
    """Asks the world as it goes on; keeps no more of it than a question may rest on."""

    def __init__(self, world: World, frames: int, questions: int):
        self.asked: list[Asked] = []
        self._world, self._truths = world, deque[Truth](maxlen=KEPT)
        self._draw = random.Random(f'{world.profile}/{world.seed}/questions')
        last = frames - 2  # the frame behind it is in the bag, too
        self._due = deque(np.linspace(min(FIRST_ASKED, last), last, questions).astype(int) if last >= 0 else ())
        self._types: Iterator[str] = iter(())

    def see(self, truth: Truth) -> None:
        """The newest frame's truth."""
        self._truths.append(truth)
        while self._due and self._due[0] <= truth.frame:
            self._due.popleft()
            if question := self._ask():
                self.asked.append(Asked(truth.frame, question))

    def _ask(self) -> Question | None:
        """The next type's turn; where nothing of it can be asked, another's."""
        first = self._truths[0].frame
        truths = tuple(counted_from(truth, first) if first else truth for truth in self._truths)
        clip = Clip(self._world.profile, self._world.seed, np.empty(0), np.empty(0), truths)
        asked_now = {a.question.text for a in self.asked if a.frame == self._truths[-1].frame}
        for _ in TYPES:
            kind = next(self._types, None)
            if kind is None:
                self._types = iter(self._draw.sample(TYPES, len(TYPES)))
                kind = next(self._types)
            for question in ask_about(clip, len(clip) - 1, self._draw, 4, types=(kind,)):
                if question.text not in asked_now:
                    return question
        return None


def _facts(truth: Truth) -> dict:
    """What is the case at a frame, and what happened in it, for JSON."""
    events = [asdict(event) for event in truth.events if event.frame == truth.frame]
    return {**asdict(truth), 'events': events}
