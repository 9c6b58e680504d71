"""Two cameras, one model: an engine that is driven by hand, without ROS and without a thread.

python examples/two_cameras.py
"""

from stc_ros.engine.events import EventSink, Frame
from stc_ros.engine.questions import Question
from stc_ros.engine.scheduler import Engine
from stc_ros.io.picture import Picture
from stc_ros.models import load_model
from stc_ros.settings import Settings
from stc_ros.stream import open_stream
from stc_ros.synthetic import World

PERIOD_NS = 125_000_000
FRAMES, NARRATE_EVERY = 16, 8


class Printer(EventSink):
    """What the engine reports: a node would publish it."""

    def narrated(self, session, span, reply):
        print(f'{session.camera}, {span.first_stamp / 1e9:.1f} to {span.last_stamp / 1e9:.1f} s: {reply.answer}')

    def failed(self, session, where, error):
        raise error


def decode(message):
    """Whatever `put` was given -> a `Frame`."""
    stamp, image = message
    return Frame(header=None, stamp=stamp, picture=Picture(image, (0, 1, 2), lambda: image))


def main():
    now = 0  # ns; the time that the frames' stamps count in
    worlds = {'front': World('busy', seed=7), 'rear': World('static', seed=3)}
    settings = {'front': Settings(), 'rear': Settings({'prune_ratio': 0.5})}
    engine = Engine(load_model, open_stream, decode, Printer(), clock=lambda: now)
    engine.load(Settings())
    for camera in worlds:
        engine.open(camera, settings[camera])

    for number in range(1, FRAMES + 1):
        now = number * PERIOD_NS
        for camera, world in worlds.items():
            engine.put(camera, (now, world.render(112)))
            world.step()
            if number % NARRATE_EVERY == 0:
                engine.narrate(camera)
        while engine.step():  # a frame, a piece of an answer, ... until nothing is left to do
            pass

    for camera in worlds:

        def print_reply(reply, camera=camera):
            print(f'{camera}: {reply.message or reply.answer} ({reply.frames_processed} frames)')

        engine.submit(Question('what is moving ?', max_new_tokens=20, on_reply=print_reply, camera=camera))
    while engine.step():
        pass


if __name__ == '__main__':
    main()
