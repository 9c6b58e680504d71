"""Runs conditions over episodes and counts right answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

import numpy as np
import torch
from tqdm import tqdm

from stc_ros.engine.narrator import Narrator
from stc_ros.evaluation.answers import answer_all
from stc_ros.evaluation.conditions import Condition
from stc_ros.evaluation.episodes import FRAME_NS, Episode, Plan, draw_episode
from stc_ros.evaluation.remember import remembering
from stc_ros.models.base import VideoModel
from stc_ros.models.narration_filter import normalise
from stc_ros.parameters import NarrationParameters
from stc_ros.parent_watchdog import end_with_parent
from stc_ros.report import FrameReport
from stc_ros.settings import Settings
from stc_ros.stream import Stream
from stc_ros.synthetic.forms import FORMS, TYPES
from stc_ros.synthetic.narration import Score, score

ANSWER_TOKENS = 8  # longer answers are wrong: no right one is longer
NAMES = list(FORMS)
TYPE_OF = np.array([[form.type == kind for kind in TYPES] for form in FORMS.values()], int)  # [forms, types]


@dataclass(slots=True)
class Tally:
    """What one stream gave under one condition. right: int [forms], right answers in the order of `FORMS`."""

    right: np.ndarray = field(default_factory=lambda: np.zeros(len(FORMS), int))
    recomputed: float = 0.0  # share of the patches
    kept: float = 0.0  # share of the visual tokens
    narrations: list[Score] = field(default_factory=list)  # in order of time

    @property
    def narration(self) -> Score:
        """Of all narrations together."""
        return sum(self.narrations, Score())


@dataclass(slots=True)
class Outcome:
    """All streams' tallies. profiles: [streams]; forms: questions, int [streams, forms]; tallies: by condition."""

    profiles: list[str]
    forms: np.ndarray
    tallies: dict[str, list[Tally]]

    @property
    def asked(self) -> np.ndarray:
        """Questions asked, int [streams, types]."""
        return self.forms @ TYPE_OF

    def right(self, condition: str) -> np.ndarray:
        """Right answers, int [streams, types]."""
        return np.array([t.right for t in self.tallies[condition]]) @ TYPE_OF

    def accuracy_by_form(self, condition: str) -> np.ndarray:
        """float [forms]; NaN for a form that was not asked."""
        right, total = sum(t.right for t in self.tallies[condition]), self.forms.sum(0)
        return np.divide(right, total, out=np.full(len(total), np.nan), where=total > 0)

    def share(self, condition: str, what: str) -> float:
        """Mean over the streams of `recomputed` or `kept`."""
        return float(np.mean([getattr(t, what) for t in self.tallies[condition]]))

    def narrations(self, condition: str) -> list[Score]:
        """By stream."""
        return [t.narration for t in self.tallies[condition]]

    def only(self, profile: str) -> Outcome:
        """The streams of one profile."""
        rows = [i for i, p in enumerate(self.profiles) if p == profile]
        return Outcome(
            [profile] * len(rows),
            self.forms[rows],
            {name: [tallies[i] for i in rows] for name, tallies in self.tallies.items()},
        )


def ask_episode(model: VideoModel, episode: Episode, condition: Condition) -> Tally:
    """Show the episode's stream under a condition and ask all its questions."""
    tally, streams = Tally(), []
    narrator = Narrator(model.narration, condition.settings.fill(NarrationParameters, 'narration'))
    for t, questions in episode.asked.items():
        frames = condition.show(episode.clip.frames[: t + 1])
        if condition.anew or not streams:
            streams.append(condition.open(model))
        stream = streams[-1]
        report = see(stream, frames, narrator)
        said = answer_all(stream, [q.text for q in questions], ANSWER_TOKENS)
        for question, answer in zip(questions, said):
            tally.right[NAMES.index(question.form)] += normalise(answer) == normalise(question.answer)
        if condition.narrates and t in episode.stories:
            tally.narrations.append(score(narrate(stream, narrator, report), episode.stories[t]))
    stats = [s.stats() for s in streams]
    tally.recomputed = sum(s.patches_recomputed for s in stats) / sum(s.patches for s in stats)
    tally.kept = sum(s.visual_tokens_kept for s in stats) / sum(s.visual_tokens for s in stats)
    return tally


def narrate(stream: Stream, narrator: Narrator, report: FrameReport) -> str:
    """What the node would publish."""
    span = narrator.begin(None, report.stamp, report.first_stamp)
    answer = stream.ask(narrator.question(span))
    return narrator.finish(span, ''.join(answer), answer.report.token_probs)


def see(stream: Stream, frames: np.ndarray, narrator: Narrator) -> FrameReport | None:
    """Show the frames that `stream` has not seen yet -> the report of the last of them."""
    report = None
    for index in range(stream.stats().frames, len(frames)):
        report = stream.see(frames[index], index * FRAME_NS)
        narrator.note(report.stamp)
    return report


def count_asked(episode: Episode) -> np.ndarray:
    """Questions of each form, int [forms]."""
    asked = [q.form for questions in episode.asked.values() for q in questions]
    return np.array([asked.count(name) for name in NAMES])


def measure_all(
    model: VideoModel,
    streams: list[tuple[str, int]],
    plan: Plan,
    conditions: list[Condition],
    jobs: int = 1,
    label: str = 'streams',
) -> Outcome:
    """Every condition over the streams (profile, seed), with a progress bar.

    `jobs` processes share the work, each with one thread and a model of its own, loaded from the conditions' settings.
    """
    work = [(profile, seed, plan, conditions) for profile, seed in streams]
    results = tqdm(_results(model, work, jobs), total=len(work), desc=label, unit='stream', smoothing=0)
    asked, tallies = zip(*results)
    by_condition = {c.name: [t[i] for t in tallies] for i, c in enumerate(conditions)}
    return Outcome([profile for profile, _ in streams], np.array(asked), by_condition)


def _results(model: VideoModel, work: list, jobs: int) -> Iterator:
    if jobs == 1:
        yield from (_measure(model, *item) for item in work)
        return
    settings = work[0][3][0].settings
    with ProcessPoolExecutor(jobs, get_context('spawn'), _start_worker, (settings,)) as pool:
        yield from pool.map(_measure_in_worker, work)


def _measure(model: VideoModel, profile: str, seed: int, plan: Plan, conditions: list[Condition]):
    episode = draw_episode(profile, seed, plan)
    with remembering(model.tower):
        return count_asked(episode), [ask_episode(model, episode, condition) for condition in conditions]


def _start_worker(settings: Settings) -> None:
    global _model
    from transformers.utils.logging import disable_progress_bar

    from stc_ros.models import load_model

    end_with_parent()
    torch.set_num_threads(1)
    disable_progress_bar()
    _model = load_model(settings)


def _measure_in_worker(item):
    return _measure(_model, *item)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
