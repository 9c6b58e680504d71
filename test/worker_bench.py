"""A worker on a fake stream, and a notebook of what its engine reported."""

import threading
from types import SimpleNamespace

import numpy as np
from fake_stream import FakeStream, until

from stc_ros.engine.events import EventSink, Frame
from stc_ros.engine.questions import Question
from stc_ros.engine.scheduler import Engine
from stc_ros.engine.worker import Worker
from stc_ros.io.picture import Picture
from stc_ros.settings import Settings

IMAGE = np.zeros((4, 4, 3), np.uint8)


class Notebook(EventSink):
    """Writes down what an engine reports."""

    def __init__(self):
        self.frames, self.narrations, self.invalids, self.failures, self.resets, self.deaths = [], [], [], [], [], []
        self.faults = []
        self.listening = True

    def processed(self, session, event):
        self.frames.append(event)
        if self.faults:
            raise self.faults.pop()

    def narrated(self, session, span, reply):
        self.narrations.append((span, reply))

    def invalid(self, session, frame):
        self.invalids.append(frame)

    def failed(self, session, where, error):
        self.failures.append((where, error))

    def was_reset(self, session, reason):
        self.resets.append(reason)

    def died(self, error):
        self.deaths.append(error)

    def wants_narration(self, camera):
        return self.listening


def decode(message):
    """A message is the stamp of its frame in ns, or an exception that decoding raises."""
    if isinstance(message, Exception):
        raise message
    return Frame(SimpleNamespace(stamp=message), message, Picture(IMAGE, (0, 1, 2), lambda: IMAGE))


class Bench:
    """A worker that drives an engine with one camera on a fake stream; see `decode` for its messages."""

    def __init__(self, **stream):
        self.stream, self.notes = FakeStream(**stream), Notebook()
        model, stream = self.stream.model, self.stream
        self.engine = Engine(lambda settings: model, lambda model, settings: stream, decode, self.notes)
        self.worker = Worker(self.engine)
        self.worker.load(Settings(), {'camera': Settings()}).result(5)
        self.session = self.engine.sessions['camera']

    def put(self, message):
        self.engine.put('camera', message)

    def narrate(self):
        self.engine.narrate('camera')

    def see(self, *messages):
        """Put frames one after the other, each after the one before is done with."""
        for message in messages:
            before = self.done
            self.put(message)
            assert until(lambda: self.done > before), 'the frame was not taken'  # noqa: B023

    @property
    def done(self):
        counts = self.session.slot.counts()
        return counts.processed + counts.invalid + counts.dropped + 100 * self.session.resets

    def ask(self, text='what is there?', **options):
        """Queue a question; returns it and a list that will hold its reply."""
        got = []
        question = Question(text, options.pop('length', 1000), got.append, **options)
        self.worker.ask(question)
        return question, got

    def hold(self):
        """Keep the worker busy with a job until the event returned is set."""
        release, started = threading.Event(), threading.Event()
        self.worker.do(lambda: (started.set(), release.wait(10)))
        assert started.wait(5)
        return release
