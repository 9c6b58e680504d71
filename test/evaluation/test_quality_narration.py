"""Narration is scored as the node publishes it: the first of a stream and the second, which reports nothing twice."""

from types import SimpleNamespace

import pytest
from stories import two_leave
from worlds import moving_square

from stc_ros.engine.events import EventSink, Frame
from stc_ros.engine.narrator import Narrator
from stc_ros.engine.scheduler import Engine
from stc_ros.evaluation import measure
from stc_ros.evaluation.conditions import Condition
from stc_ros.evaluation.episodes import FRAME_NS, Episode, Plan, draw_episode
from stc_ros.evaluation.measure import ask_episode, narrate, see
from stc_ros.models import load_model
from stc_ros.models.narration_filter import drop_repeated
from stc_ros.models.narration_style import NarrationStyle
from stc_ros.models.random import random_model
from stc_ros.parameters import NarrationParameters
from stc_ros.settings import Settings
from stc_ros.stream import open_stream
from stc_ros.synthetic.narration import EVENT, Score, facts, score, tell
from stc_ros.synthetic.seeds import TUNE


def test_narration_is_what_would_be_published():
    model, prompt = random_model(seed=5), 'what is moving ?'
    stream, frames = open_stream(model), moving_square(6)
    narrator = Narrator(model.narration, NarrationParameters(prompt=prompt, min_confidence=0.0))
    report = see(stream, frames[:3], narrator)
    said = ''.join(stream.ask(prompt))
    assert said and narrate(stream, narrator, report) == drop_repeated(said)
    narrator.parameters = NarrationParameters(prompt=prompt, min_confidence=1.0)
    assert narrate(stream, narrator, see(stream, frames, narrator)) == ''


class Storyteller:
    """A stream whose model always reports what happened since the first frame, however it is asked."""

    def __init__(self, clip):
        self.clip, self.stamps, self.questions = clip, [], []

    def see(self, frame, stamp):
        self.stamps.append(stamp)
        return SimpleNamespace(stamp=stamp, first_stamp=0)

    def stats(self):
        count = len(self.stamps)
        return SimpleNamespace(
            frames=count, patches=count, patches_recomputed=count, visual_tokens=count, visual_tokens_kept=count
        )

    def ask(self, question):
        self.questions.append(question)
        text = tell(self.clip, len(self.stamps) - 1, 0)
        return Said([text.replace(' ,', ',').replace(' .', '.')])  # as a tokenizer decodes it


class Said(list):
    report = SimpleNamespace(token_probs=())


def narrated(episode: Episode, event: str, monkeypatch):
    """The tally of a condition that narrates, what it published, and the stream."""
    stream, published = Storyteller(episode.clip), []
    style = NarrationStyle(prompt='the last {frames} frames ?', event=event)
    condition = SimpleNamespace(settings=Settings(), show=lambda f: f, anew=False, narrates=True, open=lambda m: stream)
    monkeypatch.setattr(measure, 'score', lambda said, truth: published.append(said) or score(said, truth))
    monkeypatch.setattr(measure, 'answer_all', lambda *_: [])
    return ask_episode(SimpleNamespace(narration=style), episode, condition), published, stream


@pytest.fixture
def episode():
    """A blue star leaves at frame 4, before the first narration; three events come behind it."""
    clip = two_leave()
    return Episode(clip, {5: [], 8: [], 11: []}, {5: tell(clip, 5, 0), 11: tell(clip, 11, 5)})


def test_what_the_first_narration_has_reported_is_not_missing_in_the_second(episode, monkeypatch):
    tally, (first, second), stream = narrated(episode, EVENT, monkeypatch)
    assert 'the blue star left' in first and 'the blue star left' not in second
    assert 'the green star left' in second and 'the red star entered' in second
    assert score(second, episode.stories[11]) == score(episode.stories[11], episode.stories[11])
    assert tally.narration.clause_f1 == tally.narration.object_f1 == 1
    assert tally.narration.clauses_true == sum(len(facts(episode.clip, t, s)) for t, s in ((5, 0), (11, 5)))
    assert stream.questions == ['the last 6 frames ?'] * 2  # since the narration before


def test_what_is_reported_twice_counts_as_wrong_once(episode, monkeypatch):
    """Were nothing dropped: the second narration would say one clause that is not true of its time."""
    tally, (_, second), _ = narrated(episode, 'no clause is so', monkeypatch)
    assert 'the blue star left' in second
    assert tally.narration.clauses_right == tally.narration.clauses_true == tally.narration.clauses_said - 1


def test_the_second_narration_has_to_tell_what_happened_since_the_first():
    drawn = draw_episode('busy', TUNE[3], Plan(frames=24, moments=3, questions=1))
    assert list(drawn.stories) == [11, 23]
    assert drawn.stories == {11: tell(drawn.clip, 11, 0), 23: tell(drawn.clip, 23, 11)}


class Sink(EventSink):
    """Keeps what a node would publish."""

    def __init__(self):
        self.published = []

    def narrated(self, session, span, reply):
        self.published.append(reply.answer)

    def failed(self, session, where, error):
        raise error

    def wants_narration(self, camera):
        return False  # narrations come when the test asks for them, not at a cut


@pytest.mark.parametrize('profile', ['busy', 'static'])
def test_what_is_scored_is_what_the_engine_publishes(profile, monkeypatch):
    model, settings, sink, scored = load_model(), Settings(), Sink(), []
    episode = draw_episode(profile, TUNE[5], Plan(questions=0))
    monkeypatch.setattr(measure, 'score', lambda said, truth: scored.append(said) or Score())
    ask_episode(model, episode, Condition('settings', settings, narrates=True))

    engine = Engine(lambda settings: model, open_stream, lambda frame: frame, sink)
    engine.load(settings)
    engine.open('front', settings)
    for t, image in enumerate(episode.clip.frames):
        engine.put('front', Frame(None, t * FRAME_NS, image))
        while engine.step():
            pass
        if t in episode.stories:
            engine.narrate('front')
            while engine.step():
                pass
    assert len(scored) == 2 and sink.published == [said for said in scored if said]
    assert any(scored)
