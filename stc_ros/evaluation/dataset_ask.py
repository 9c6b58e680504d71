"""Shows an episode of a data set, and asks each question at its time: the stream in question, and its controls."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Any

from stc_ros.engine.events import Frame
from stc_ros.evaluation.controls import CONTROLS, Controls, answer
from stc_ros.evaluation.datasets.base import Episode, Question, timed
from stc_ros.settings import Settings

SHOWN = 'shown'
VIEWS = (SHOWN, *CONTROLS)
Answers = dict[str, str]  # by view


def ask_episode(
    model: Any, episode: Episode, settings: Settings, controls: bool = True
) -> Iterator[tuple[Question, Answers]]:
    """Show an episode's frames once, in order -> each question, in order, and what each view answers.

    A question is asked when all frames up to its time have been shown, and none behind it. Raises `EpisodeError` where
    the frames end before their time; what was due until then has been asked.
    """
    from stc_ros.stream import open_stream  # here, because it imports torch

    stream = open_stream(model, settings)
    beside = Controls(model, settings, open_stream) if controls else None

    def ask(text: str, views: tuple[str, ...]) -> Answers:
        found = {SHOWN: answer(stream, text)} if SHOWN in views else {}
        if beside and any(view in views for view in CONTROLS):
            found |= {view: said for view, said in beside.answers('', text).items() if view in views}
        return found

    views = VIEWS if controls else (SHOWN,)
    moments = [
        (stamp, number) for number, question in enumerate(episode.questions) for stamp in _moments(question)
    ]  # of equal times the question that stands first goes first
    heapq.heapify(moments)
    waiting = {number: _Waiting(question, views, ask) for number, question in enumerate(episode.questions)}

    def due(until: int | None) -> Iterator[tuple[Question, Answers]]:
        """Ask what is due before the frame of time `until`; None: all that is left."""
        while moments and (until is None or moments[0][0] < until):
            stamp, number = heapq.heappop(moments)
            waiting[number].look(stamp)
            if stamp == episode.questions[number].stamp:
                yield episode.questions[number], waiting.pop(number).answers

    for stamp, picture in episode.frames:
        yield from due(stamp)
        if not waiting:
            return
        stream.see(picture, stamp)
        if beside:
            beside.note('', Frame(None, stamp, picture))
    yield from due(None)


def _moments(question: Question) -> list[int]:
    """When something is asked for it; the last of them is the question's own stamp."""
    poll = question.poll
    return [*range(poll.first, question.stamp, poll.period), question.stamp] if poll else [question.stamp]


class _Waiting:
    """A question and what it has been answered so far."""

    def __init__(self, question: Question, views: tuple[str, ...], ask: Callable[[str, tuple[str, ...]], Answers]):
        self._question, self._ask = question, ask
        self.answers = dict.fromkeys(views, '')
        self._open = views  # those that have not answered yet

    def look(self, stamp: int) -> None:
        """Ask at this moment; with a poll, ask whether it is the right one first."""
        question, poll = self._question, self._question.poll
        if poll is None:
            self.answers = self._ask(question.text, self._open)
        elif self._open:
            found = self._ask(poll.text, self._open)
            ready = tuple(view for view in self._open if 'yes' in found[view].lower())
            self._open = tuple(view for view in self._open if view not in ready)
            if ready:
                self.answers |= {view: timed(stamp, said) for view, said in self._ask(question.text, ready).items()}
