"""Tell when something happens: two watches on a synthetic world, without ROS and without a thread.

python examples/watch_in_process.py ['is there a blue star ?' ...]
"""

import sys

from stc_ros.engine.events import EventSink, Frame
from stc_ros.engine.scheduler import Engine
from stc_ros.io.picture import Picture
from stc_ros.models import load_model
from stc_ros.settings import Settings
from stc_ros.stream import open_stream
from stc_ros.synthetic import World
from stc_ros.watches.lookup import Watches
from stc_ros.watches.rule import Watch

PERIOD_NS, FRAMES = 125_000_000, 80
CONDITIONS = (
    'is there a triangle ?',
    'how many objects are moving ? = zero',
)  # "QUESTION = ANSWER": true when it is that


class Failures(EventSink):
    """What the engine reports; here only what should not be."""

    def failed(self, session, where, error):
        raise error


def decode(message):
    """Whatever `put` was given -> a `Frame`."""
    stamp, image = message
    return Frame(header=None, stamp=stamp, picture=Picture(image, (0, 1, 2), lambda: image))


def say(session, event):
    """A watch has risen, fallen or ended."""
    stamp = event.frame.frame.stamp / 1e9
    print(f'{stamp:5.2f} s: {event.watch.condition} {event.change.name.lower()} (p {event.probability:.2f})')


def main():
    world, settings = World('busy', seed=7), Settings({'watch.looks': 2})
    engine = Engine(load_model, open_stream, decode, Failures())
    engine.load(settings)
    engine.open('camera', settings)
    watches = Watches(engine, say)
    watches.add([Watch('', text, 'camera', threshold=0.8, rearm=0.2, looks=0) for text in sys.argv[1:] or CONDITIONS])
    for number in range(1, FRAMES + 1):
        engine.put('camera', (number * PERIOD_NS, world.render(112)))
        world.step()
        while engine.step():
            pass
    for watch, standings in watches.listed():
        print(f'{watch.name}, {watch.condition} events: {standings["camera"].events}')


if __name__ == '__main__':
    main()
