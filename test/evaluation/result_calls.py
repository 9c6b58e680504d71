"""A replay of made frames, noted call by call, to tell it to a sink again; and what a result bag holds."""

from evaluation.fake_bag import SECOND, START, FakeBag, FakeModel, open_seen

from stc_ros.evaluation.expectations import Contains
from stc_ros.evaluation.questions import Question, Time
from stc_ros.evaluation.replay import Planned, ReplaySink, replay
from stc_ros.evaluation.result_bag import RESULT_BAG, ResultBag
from stc_ros.io.bags import Bag
from stc_ros.settings import Settings

CAMERA = '/camera/image_raw'
LEVELS = 10, 60, 110, 160, 210, 250
FRAMES = [(CAMERA, t / 2, level) for t, level in enumerate(LEVELS)]


class Calls(ReplaySink):
    """Notes every call of a replay, to make it again."""

    def __init__(self):
        self.all = []
        for name in ('received', 'frame', 'invalid', 'asked', 'narrated', 'event', 'progress'):
            setattr(self, name, lambda *values, name=name: self.all.append((name, values)))


def tell(bag, calls):
    for name, values in calls:
        getattr(bag, name)(*values)


def planned(seconds, text, expected, camera=CAMERA):
    at = round(seconds * SECOND)
    return Planned(Question(text, 1, Time(at), camera, text, Contains((expected,))), camera, START + at)


def calls_of(frames=FRAMES, questions=(), settings=None, topics=(CAMERA,), prepare=lambda stream: None):
    calls, model = Calls(), FakeModel(opened=[])

    def opened(model, settings):
        stream = open_seen(model, settings)
        prepare(stream)
        return stream

    settings = Settings({'narration.period': 1.0} | (settings or {}))
    replay(model, FakeBag(frames), topics, questions, settings, calls, False, True, opened)
    return calls.all


def write(folder, calls, topics=(CAMERA,)):
    bag = ResultBag(folder, topics, START)
    tell(bag, calls)
    bag.finish()
    return folder / RESULT_BAG


def messages(file, *topics):
    """By topic (seconds from the start, message)."""
    found = {}
    with Bag([file]) as bag:
        for each in bag.messages(topics):
            found.setdefault(each.topic, []).append(((each.stamp - START) / SECOND, each.message))
    return found


QUESTIONS = [planned(0.7, 'right', '10 60'), planned(1.2, 'wrong', '250')]
