"""Bags give every picture in the order of stamps, whatever their kind."""

import sqlite3
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from small_bags import BEGIN, TOPIC, make, numbers, pixels, put, read, stamp, the_file

from stc_ros.io import bags
from stc_ros.io.bag_writer import BagWriter
from stc_ros.io.bags import Bag, BagError
from stc_ros.io.video import Video

CLIPS = Path(__file__).parents[3] / 'shared' / 'clips'
KINDS = [('mcap', ''), ('mcap', 'message'), ('mcap', 'file'), ('mcap', 'chunk')]
KINDS += [('sqlite3', ''), ('sqlite3', 'message'), ('sqlite3', 'file')]


@pytest.mark.parametrize('storage, compression', KINDS)
def test_every_kind_of_bag_gives_every_frame(tmp_path, storage, compression):
    frames = read(make(tmp_path / 'run', range(100), storage, compression))
    assert numbers(frames) == list(range(100))
    for number, frame in enumerate(frames):
        assert (frame.topic, frame.frame_id, frame.error) == (TOPIC, 'lens', '')
        assert np.array_equal(frame.picture.array(), pixels(number))


@pytest.mark.parametrize('storage, compression', [('mcap', ''), ('mcap', 'file'), ('sqlite3', ''), ('sqlite3', 'file')])
def test_a_single_file_is_a_bag_and_so_is_a_folder_of_them(tmp_path, storage, compression):
    folder = make(tmp_path / 'run', range(5), storage, compression)
    (folder / 'metadata.yaml').unlink()
    assert numbers(read(the_file(folder))) == numbers(read(folder)) == numbers(read(tmp_path)) == [0, 1, 2, 3, 4]


def test_a_folder_of_bags_of_both_kinds_is_one_recording(tmp_path):
    make(tmp_path / 'b', range(4, 8), 'mcap')
    make(tmp_path / 'a', [0, 3, 9], 'sqlite3')
    with Bag([tmp_path, tmp_path / 'a']) as bag:  # the same one twice counts once
        assert bag.paths == [tmp_path / 'a', tmp_path / 'b']
        assert numbers(bag.frames([TOPIC])) == [0, 3, 4, 5, 6, 7, 9]
        assert (bag.start_ns, bag.end_ns) == (stamp(0), stamp(9))
        assert bag.image_topics() == [bags.ImageTopic(TOPIC, 'sensor_msgs/msg/Image', 7)]


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_messages_that_lie_out_of_order_are_put_in_order(tmp_path, storage):
    mixed = [n ^ 31 for n in range(200)]  # each 32 turned around
    frames = read(make(tmp_path / 'run', mixed, storage))
    assert numbers(frames) == sorted(mixed)
    assert not any(frame.error for frame in frames)


def test_what_comes_later_than_the_buffer_reaches_is_named_and_the_rest_is_in_order(tmp_path):
    late = [n for n in range(200) if n != 7]
    late.insert(150, 7)
    frames = read(make(tmp_path / 'run', late))
    (wrong,) = (frame for frame in frames if frame.error)
    assert (wrong.stamp, wrong.picture, wrong.error_kind) == (stamp(7), None, 'too late')
    assert 'too late' in wrong.error and 's later' in wrong.error and '64 messages' in wrong.error
    assert numbers(frame for frame in frames if not frame.error) == [n for n in range(200) if n != 7]


def test_two_cameras_come_in_one_order(tmp_path):
    with BagWriter(tmp_path / 'run') as writer:
        for number in range(20):  # the left one's pictures arrive a second after the right one's
            put(writer, 2 * number + 1, 2 * number, '/right/image')
            put(writer, 2 * number, 2 * number + 10, '/left/image')
    with Bag([tmp_path / 'run']) as bag:
        both = list(bag.frames(['/right/image', '/left/image']))
        again = list(bag.frames(['/left/image', '/right/image']))
    assert numbers(both) == list(range(40))
    assert [f.topic for f in both] == ['/left/image', '/right/image'] * 20 == [f.topic for f in again]


def test_equal_stamps_are_ordered_by_topic(tmp_path):
    with BagWriter(tmp_path / 'run') as writer:
        for number in range(5):
            for topic in ('/b/image', '/a/image'):
                put(writer, number, topic=topic)
    assert [f.topic for f in read(tmp_path / 'run', topics=('/b/image', '/a/image'))] == ['/a/image', '/b/image'] * 5


def test_the_only_image_topic_is_found_and_several_are_listed(tmp_path):
    with BagWriter(tmp_path / 'run') as writer:
        put(writer, 0)
        writer.text('/words', BEGIN, 'hello')
    with Bag([tmp_path / 'run']) as bag:
        assert bag.choose() == bag.choose('camera/image_raw') == TOPIC
        assert [m.message.data for m in bag.messages(['/words'])] == ['hello']
        with pytest.raises(BagError, match=f'no topic /front.*{TOPIC} .sensor_msgs/msg/Image, 1'):
            bag.choose('/front')
        with pytest.raises(BagError, match='/words is a topic of std_msgs/msg/String, not of images'):
            next(bag.frames(['/words']))
    make(tmp_path / 'other', [3], topic='/back/image')
    with Bag([tmp_path]) as bag, pytest.raises(BagError, match=f'several image topics, .*/back/image.*{TOPIC}'):
        bag.choose()


def test_start_and_end_count_as_stamps_do_not_as_the_recorder(tmp_path):
    with BagWriter(tmp_path / 'run') as writer:
        for number in range(100):
            put(writer, number - number % 2 + (1 - number % 2), recorded=number + 5000)
    with Bag([tmp_path / 'run']) as bag:
        assert (bag.start_ns, bag.end_ns) == (stamp(0), stamp(99))


def test_jpeg_becomes_a_picture_and_a_broken_one_is_refused(tmp_path):
    flat = np.full((32, 48, 3), (200, 40, 90), np.uint8)
    with BagWriter(tmp_path / 'run') as writer:
        writer.image(TOPIC, BEGIN, flat, 'lens', 'jpeg')
        broken = writer.make('sensor_msgs/CompressedImage', writer.header(stamp(1), 'lens'), 'jpeg', np.zeros(9, 'u1'))
        writer.write(TOPIC + '/compressed', 'sensor_msgs/msg/CompressedImage', stamp(1), broken)
    good, bad = read(tmp_path / 'run', topics=[''])
    assert np.abs(good.picture.array().astype(int) - flat).max() <= 2
    assert bad.picture is None and 'neither jpeg nor png' in bad.error


def test_memory_does_not_grow_with_the_bag(tmp_path, monkeypatch):
    monkeypatch.setattr(bags, 'REORDER_BYTES', 1 << 20)
    peaks = []
    for count in (60, 300):
        folder = make(tmp_path / str(count), range(count), size=192)  # 110 kB each
        with Bag([folder]) as bag:
            tracemalloc.start()
            for frame in bag.frames([TOPIC]):
                frame.picture.array()
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] < 12 << 20


def test_a_bag_that_does_not_say_what_its_types_are_is_read_all_the_same(tmp_path):
    with BagWriter(tmp_path / 'run', 'sqlite3') as writer:
        for number in range(3):
            put(writer, number)
            writer.image('/video', stamp(number), pixels(number), 'lens', 'h264')
    with sqlite3.connect(the_file(tmp_path / 'run')) as database:  # as it was before ROS 2 Iron
        database.execute('UPDATE schema SET schema_version = 3')
        database.execute('DROP TABLE message_definitions')
    database.close()
    frames = read(tmp_path / 'run', topics=[TOPIC, '/video/foxglove'])
    assert [(f.topic, f.error) for f in frames] == [(TOPIC, ''), ('/video/foxglove', '')] * 3


def test_an_unfinished_bag_leaves_nothing_and_an_old_one_is_kept(tmp_path):
    with pytest.raises(RuntimeError), BagWriter(tmp_path / 'run') as writer:
        put(writer, 0)
        raise RuntimeError('stop')
    assert not list(tmp_path.iterdir())
    make(tmp_path / 'run', [0])
    with pytest.raises(BagError, match='exists already'):
        BagWriter(tmp_path / 'run')


@pytest.mark.skipif(not CLIPS.exists(), reason='the clips of shared/ are not here')
@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_real_clip_comes_back_pixel_by_pixel(tmp_path, storage):
    video = Video(str(CLIPS / 'car-detection.mp4'), size=192)
    with BagWriter(tmp_path / 'run', storage) as writer:
        for number, picture in enumerate(video):
            writer.image(TOPIC, stamp(number), picture, 'lens')
    frames = read(tmp_path / 'run')
    assert len(frames) == 377
    assert all(np.array_equal(frame.picture.array(), picture) for frame, picture in zip(frames, video))
