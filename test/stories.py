"""Small clips written by hand, whose every question has an answer that a reader can check."""

import numpy as np

from stc_ros.synthetic import Clip, Event, Seen, Truth
from stc_ros.synthetic.truth import PLACES


def seen(id, colour, shape, place, size='medium', moves='still', moved_for=9, share=1.0):
    """An object in the middle of a cell."""
    row, column = divmod(PLACES.index(place), 3)
    x, y = (column + 0.5) / 3, (row + 0.5) / 3
    return Seen(id, colour, shape, size, x, y, share, moves, moved_for, place, True)


def story(frames, events=(), scenes=None):
    """A clip of the objects of each frame; events are (frame, kind, id, colour, shape, detail)."""
    events = [Event(*e) for e in events]
    truths = tuple(
        Truth(t, scenes[t] if scenes else 0, tuple(objects), tuple(e for e in events if e.frame <= t), (0.0, 0.0))
        for t, objects in enumerate(frames)
    )
    blank = np.zeros((len(frames), 112, 112), np.uint8)
    return Clip('static', 0, np.repeat(blank[..., None], 3, axis=-1), blank, truths)


def two_leave():
    """12 frames, in which two objects leave.

    A blue star leaves at 4, a green star at 8, a red circle turns white at 6, a red star enters at 10 and is moving up
    at the end, while a small white square moves right from the start.
    """
    frames = []
    for t in range(12):
        objects = [
            seen(1, 'red' if t < 6 else 'white', 'circle', 'top left', 'large'),
            seen(2, 'white', 'square', 'left' if t < 5 else 'center', 'small', 'right' if t else 'still', max(t, 1)),
        ]
        if t < 4:
            objects.append(seen(3, 'blue', 'star', 'top right', moves='up', moved_for=t + 1))
        if t < 8:
            objects.append(seen(4, 'green', 'star', 'bottom right', 'small', 'down' if t > 5 else 'still'))
        if t >= 10:
            objects.append(seen(5, 'red', 'star', 'bottom', moves='up', moved_for=t - 8))
        frames.append(objects)
    return story(
        frames,
        [
            (1, 'started', 2, 'white', 'square', 'right'),
            (4, 'left', 3, 'blue', 'star', 'top'),
            (6, 'changed colour', 1, 'white', 'circle', 'red'),
            (8, 'left', 4, 'green', 'star', 'bottom'),
            (10, 'entered', 5, 'red', 'star', 'bottom'),
        ],
    )
