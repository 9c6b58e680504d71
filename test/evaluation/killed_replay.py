"""Replays that are killed and go on, and what they have to leave behind."""

from dataclasses import replace as changed
from unittest.mock import patch

from evaluation.fake_bag import SECOND, FakeBag, picture
from worlds import moving_square

from stc_ros.evaluation.checkpoint import CHECKPOINT, Checkpoints
from stc_ros.evaluation.expectations import Exact
from stc_ros.evaluation.questions import Question, Time
from stc_ros.evaluation.replay import Planned, replay
from stc_ros.evaluation.results import RESULT, TIMING, ResultWriter, Span
from stc_ros.evaluation.sinks import Sinks
from stc_ros.io.bags import Bag
from stc_ros.settings import Settings
from stc_ros.stream import open_stream

FRAMES = 8  # of each camera, at 2 Hz
TOY = {'memory.max_tokens': 30, 'narration.period': 0.9, 'query.max_new_tokens': 3}  # so that frames are evicted
QUESTIONS = [(0.7, '/a'), (2.2, '/a'), (2.2, '/b'), (3.3, '/a'), (3.3, '/b')]  # at s, of which camera


class Killed(BaseException):
    """As SIGKILL: nothing that is in its way is told of it."""


class At(Checkpoints):
    """Written at the `at`-th place where one can be; at the `dies`-th the replay is killed."""

    def __init__(self, folder, head, at=-1, dies=-1):
        super().__init__(folder, head)
        self.at, self.dies, self.places, self.tokens_waiting = at, dies, 0, 0

    @property
    def due(self):
        self.places += 1
        if self.places == self.dies:
            raise Killed
        return self._possible and self.places == self.at

    def write(self, model, streams, *rest):
        self.tokens_waiting = sum(stream.tokens_waiting for stream in streams)
        super().write(model, streams, *rest)


class Pictures(FakeBag):
    """Squares that move, on each camera; a scene change, and a frame that cannot be read."""

    def __init__(self, topics=('/a', '/b')):
        self.topics = topics
        super().__init__([(topic, t / 2, 0) for t in range(FRAMES) for topic in topics])
        for number, frame in enumerate(self._frames):
            image = moving_square(number + 1, seed=number // 12, step=1)[-1]
            shown = picture(0)
            shown.pixels, shown.rgb = image, lambda image=image: image
            self._frames[number] = changed(frame, picture=shown)
        self._frames[5] = changed(self._frames[5], picture=None, error='wrong encoding', error_kind='kind')


def evaluate(folder, model, settings, bag=None, at=-1, dies=-1, sinks=(), opened=open_stream, controls=False):
    """As `run_job` does -> the checkpoints. at, dies: see `At`."""
    bag, head = bag or Pictures(), {'kind': 'run', 'settings': settings}
    topics = [bag.choose()] if isinstance(bag, Bag) else bag.topics
    planned = [
        ask(f'q{i}', bag.start_ns, t, topics[camera > '/a'])
        for i, (t, camera) in enumerate(QUESTIONS)
        if camera == '/a' or len(topics) > 1
    ]
    span = (topics[0], bag.start_ns, bag.start_ns + 2 * SECOND)
    spans = [Span(*span, 'say', 'the'), Span(*span, 'not say', 'the')]
    writer, checkpoints = ResultWriter(folder, head, spans, ()), At(folder, head, at, dies)
    try:
        sink = Sinks(writer, *sinks)
        with patch('stc_ros.engine.scheduler.release_memory'):  # half of the time of a replay as short as these
            replay(model, bag, topics, planned, Settings(settings), sink, controls, True, opened, checkpoints)
        writer.finish()
        checkpoints.discard()
    except Killed:
        pass
    finally:
        writer.close()
    return checkpoints


def ask(name, start, seconds, camera):
    at = round(seconds * SECOND)
    return Planned(Question(name, 1, Time(at), camera, 'what is moving ?', Exact(('x',))), camera, start + at)


def files(folder):
    return {
        f.relative_to(folder): f.read_bytes() for f in sorted(folder.rglob('*')) if f.is_file() and f.name != TIMING
    }


def check_goes_on(tmp_path, model, settings, places, later=3, **options):
    """Kill a replay a while behind a checkpoint at each of `places`, and compare what it goes on to.

    -> how many tokens waited there to be prefilled."""
    whole = tmp_path / 'whole' / 'run'
    all_places, waited = evaluate(whole, model, settings, **options).places, []
    for at in places:
        folder = tmp_path / f'killed at {at}' / 'run'
        waited.append(evaluate(folder, model, settings, at=at, dies=at + later, **options).tokens_waiting)
        assert (folder / CHECKPOINT).exists() and not (folder / RESULT).exists()
        goes_on = evaluate(folder, model, settings, **options)
        assert goes_on.places == all_places - at  # nothing before the checkpoint is done again
        assert files(folder) == files(whole)
    return waited
