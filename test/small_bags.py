"""Small bags for tests."""

import numpy as np

from stc_ros.io.bag_writer import BagWriter
from stc_ros.io.bags import Bag

BEGIN, STEP = 1_700_000_000_000_000_000, 100_000_000
TOPIC = '/camera/image_raw'


def stamp(number):
    return BEGIN + number * STEP


def pixels(number, size=16):
    """A picture of its own for each number, uint8 [size, size, 3]."""
    return np.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=np.uint8)


def put(writer, number, recorded=None, topic=TOPIC, size=16, **changes):
    """An Image with the stamp of that number, recorded at that of another."""
    fields = {
        'header': writer.header(stamp(number), 'lens'),
        'height': size,
        'width': size,
        'encoding': 'rgb8',
        'is_bigendian': 0,
        'step': 3 * size,
        'data': pixels(number, size).reshape(-1),
    }
    image = writer.make('sensor_msgs/Image', **{**fields, **changes})
    writer.write(topic, 'sensor_msgs/msg/Image', stamp(number if recorded is None else recorded), image)


def make(path, numbers, storage='mcap', compression='', topic=TOPIC, size=16):
    """A bag of the frames of those numbers, recorded in that order."""
    with BagWriter(path, storage, compression) as writer:
        for place, number in enumerate(numbers):
            put(writer, number, place, topic, size)
    return path


def read(*paths, topics=(TOPIC,)):
    with Bag(paths) as bag:
        return list(bag.frames(topics))


def numbers(frames):
    return [(frame.stamp - BEGIN) // STEP for frame in frames]


def the_file(folder):
    (file,) = (f for f in folder.iterdir() if f.suffix != '.yaml')
    return file
