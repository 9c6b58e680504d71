"""A bag with the interface of stc_ros.io.bags.Bag that makes its frames, and a stream that answers what it has seen."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from fake_stream import FakeAnswer, FakeStream

from stc_ros.io.bags import BagError, BagFrame
from stc_ros.io.picture import Picture

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def picture(level):
    image = np.full((4, 4, 3), level, np.uint8)
    return Picture(image, (0, 1, 2), lambda: image)


def make_frame(topic, t, what):
    stamp = START + round(t * SECOND)
    if isinstance(what, str):
        return BagFrame(topic, stamp, 'optical', None, what, 'kind')
    return BagFrame(topic, stamp, 'optical', picture(what))


class FakeBag:
    """frames: (topic, seconds from the start, level or error text). ends: raised behind the last frame."""

    def __init__(self, frames, ends=None, length=None):
        self._frames = [make_frame(topic, t, what) for topic, t, what in frames]
        self._ends = ends
        self.start_ns = min(frame.stamp for frame in self._frames)
        self.end_ns = max(frame.stamp for frame in self._frames) if length is None else START + length * SECOND
        self.read = 0  # frames that were taken from it

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def choose(self, wanted=''):
        names = sorted({frame.topic for frame in self._frames})
        if (wanted and wanted not in names) or (not wanted and len(names) > 1):
            raise BagError(f'there is no topic {wanted or "of that name"}; its image topics: {", ".join(names)}')
        return wanted or names[0]

    def frames(self, topics):
        for number, frame in enumerate(frame for frame in self._frames if frame.topic in topics):
            self.read += 1
            yield replace(frame, number=number)
        if self._ends:
            raise BagError(self._ends)


class SeenStream(FakeStream):
    """Its answer names the brightness of all frames that it knows."""

    def __init__(self, settings):
        super().__init__()
        self.levels, self.settings = [], settings

    def see(self, frame, stamp):
        report = super().see(frame, stamp)
        self.levels.append(int((frame.array() if isinstance(frame, Picture) else frame)[0, 0, 0]))
        return report

    def ask(self, question, max_new_tokens=None):
        self.says = f'{question} {" ".join(map(str, self.levels))}'
        self.words = 1
        return super().ask(question, max_new_tokens)

    def reset(self):
        super().reset()
        self.levels = []


class FakeModel(SimpleNamespace):
    visual_tokens = 4


def open_seen(model, settings):
    stream = SeenStream(settings)
    model.opened.append(stream)
    return stream


__all__ = ['START', 'SECOND', 'FakeAnswer', 'FakeBag', 'FakeModel', 'SeenStream', 'open_seen']
