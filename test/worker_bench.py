"""A worker on a fake stream, and a notebook of what it had to say."""

import threading
from types import SimpleNamespace

import numpy as np
from fake_stream import FakeStream, until

from stc_ros.engine.events import EventSink, Frame
from stc_ros.engine.questions import Question
from stc_ros.engine.worker import Worker
from stc_ros.io.picture import Picture
from stc_ros.settings import Settings

IMAGE = np.zeros((4, 4, 3), np.uint8)


class Notebook(EventSink):
    """Writes down what the worker has to say."""

    def __init__(self):
        self.frames, self.tellings, self.refusals, self.failures, self.resets, self.deaths = [], [], [], [], [], []
        self.faults = []
        self.listening = True

    def seen(self, seen):
        self.frames.append(seen)
        if self.faults:
            raise self.faults.pop()

    def told(self, telling, reply):
        self.tellings.append((telling, reply))

    def refused(self, refusal):
        self.refusals.append(refusal)

    def failed(self, where, error):
        self.failures.append((where, error))

    def was_reset(self, reason):
        self.resets.append(reason)

    def died(self, error):
        self.deaths.append(error)

    def listeners(self):
        return self.listening


class Bench:
    """A worker on a fake stream. A message is the stamp of its frame in ns, or an exception that decoding raises."""

    def __init__(self, **stream):
        self.stream, self.notes = FakeStream(**stream), Notebook()
        self.worker = Worker(lambda settings: self.stream, self.decode, self.notes)
        self.worker.load(Settings()).result(5)

    @staticmethod
    def decode(message):
        if isinstance(message, Exception):
            raise message
        return Frame(SimpleNamespace(stamp=message), message, Picture(IMAGE, (0, 1, 2), lambda: IMAGE))

    def see(self, *messages):
        """Put frames one after the other, each after the one before is done with."""
        for message in messages:
            before = self.done
            self.worker.put(message)
            assert until(lambda: self.done > before), 'the frame was not taken'  # noqa: B023

    @property
    def done(self):
        counts = self.worker.slot.counts()
        return counts.seen + counts.refused + counts.dropped + 100 * self.worker.session.resets

    def ask(self, text='what is there?', limit=32, **options):
        """Queue a question; returns a list that will hold its reply."""
        got = []
        question = Question(text, options.pop('length', 1000), got.append, **options)
        self.worker.ask(question, limit)
        return question, got

    def hold(self):
        """Keep the worker busy with a job until the event returned is set."""
        release, started = threading.Event(), threading.Event()
        self.worker._do(lambda: (started.set(), release.wait(10)))
        assert started.wait(5)
        return release
