"""What is wrong with a bag or a message is named, with the remedy; what can be read is read."""

import numpy as np
import pytest
from small_bags import BEGIN, TOPIC, make, numbers, pixels, put, read, stamp, the_file

from stc_ros.io.bag_writer import BagWriter
from stc_ros.io.bags import Bag, BagError
from stc_ros.io.image_messages import FrameInvalid

ZSTD = b'\x28\xb5\x2f\xfd'  # how its data begins


def test_a_bag_without_images_lists_what_it_has(tmp_path):
    with BagWriter(tmp_path / 'run') as writer:
        writer.text('/words', BEGIN, 'hello')
    with Bag([tmp_path / 'run']) as bag:
        assert (bag.start_ns, bag.end_ns) == (BEGIN, BEGIN)
        with pytest.raises(BagError, match=r'no image topic.*/words \(std_msgs/msg/String\)'):
            bag.choose()


def test_messages_that_are_no_pictures_are_given_with_the_reason(tmp_path):
    with BagWriter(tmp_path / 'run') as writer:
        put(writer, 0)
        put(writer, 1, encoding='32FC1')
        put(writer, 2, header=writer.header(0, 'lens'))
        put(writer, 3, data=np.zeros(7, np.uint8))
        put(writer, 4)
    frames = read(tmp_path / 'run')
    assert sorted(f.stamp for f in frames) == [0, stamp(0), stamp(1), stamp(3), stamp(4)]
    wrong = {f.stamp: f for f in frames if f.picture is None}
    assert "'32FC1'" in wrong[stamp(1)].error and 'rgb8' in wrong[stamp(1)].error
    assert wrong[0].error_kind == 'no stamp' and 'camera driver' in wrong[0].error
    assert '7 bytes' in wrong[stamp(3)].error
    assert len(wrong) == 3


def test_a_bag_of_zero_stamps_begins_when_it_was_recorded(tmp_path):
    with BagWriter(tmp_path / 'run') as writer:
        for number in range(3):
            put(writer, number, header=writer.header(0, 'lens'))
    with Bag([tmp_path / 'run']) as bag:
        assert (bag.start_ns, bag.end_ns) == (stamp(0), stamp(2))
        assert [f.error_kind for f in bag.frames([TOPIC])] == ['no stamp'] * 3


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_truncated_file_is_named(tmp_path, storage):
    folder = make(tmp_path / 'run', range(100), storage, size=64)
    file = the_file(folder)
    whole = file.read_bytes()
    for share in (0.001, 0.3, 0.9):
        file.write_bytes(whole[: int(len(whole) * share)])
        for path in (folder, file):
            with pytest.raises(BagError, match='run.*truncated') as error:
                read(path)
            assert 'recover' in str(error.value) or 'reindex' in str(error.value)


def test_broken_data_in_the_midst_is_named_after_what_could_be_read(tmp_path):
    folder = make(tmp_path / 'run', range(600), 'mcap', 'chunk', size=64)
    file = the_file(folder)
    before, _, after = file.read_bytes().rpartition(ZSTD)  # of the last chunk
    file.write_bytes(before + b'none' + after)
    with Bag([file]) as bag:
        frames = bag.frames([TOPIC])
        with pytest.raises(BagError, match=r'run.mcap cannot be read after \d+ messages'):
            seen = []
            for frame in frames:
                seen.append(frame)
    assert numbers(seen) == list(range(len(seen))) and len(seen) > 100


def test_messages_that_the_index_names_must_be_there(tmp_path):
    folder = make(tmp_path / 'run', range(5))
    metadata = folder / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace('message_count: 5', 'message_count: 9'))
    with pytest.raises(BagError, match=f'truncated.*4 on {TOPIC}'):
        read(folder)


@pytest.mark.parametrize(
    'name, data, words',
    [
        ('notes.txt', b'hello', 'neither .mcap nor .db3'),
        ('a.mcap', b'', 'it is empty'),
        ('a.mcap', b'no such thing at all', 'not those of an MCAP file'),
        ('a.db3', b'no such thing at all', 'not those of a sqlite3 database'),
        ('a.bag', b'#ROSBAG V2.0\n', 'rosbags-convert'),
        ('a.mcap.zstd', b'no such thing at all', 'cannot be unpacked'),
    ],
)
def test_a_file_that_is_no_bag_is_refused_with_the_reason(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BagError, match=words) as error:
        Bag([tmp_path / name])
    assert name in str(error.value)


def test_a_missing_path_an_empty_folder_and_a_journal_are_named(tmp_path):
    with pytest.raises(BagError, match='nothing.mcap does not exist'):
        Bag([tmp_path / 'nothing.mcap'])
    with pytest.raises(BagError, match='holds no bag'):
        Bag([tmp_path])
    file = the_file(make(tmp_path / 'run', range(3), 'sqlite3'))
    file.with_name(file.name + '-wal').write_bytes(b'more')
    with pytest.raises(BagError, match='wal_checkpoint'):
        Bag([file])


@pytest.mark.parametrize('text', ['', 'rosbag2_bagfile_information: {}', ': {', 'rosbag2_bagfile_information: 3'])
def test_broken_metadata_is_named(tmp_path, text):
    folder = make(tmp_path / 'run', range(3))
    (folder / 'metadata.yaml').write_text(text)
    with pytest.raises(BagError, match='run cannot be read.*reindex'):
        Bag([folder])


def test_resizing_a_jpeg_that_ends_early_says_so(tmp_path):
    with BagWriter(tmp_path / 'run') as writer:
        writer.image(TOPIC, BEGIN, pixels(0, 64), 'lens', 'jpeg')
    (whole,) = read(tmp_path / 'run', topics=[''])
    cut = whole.picture.message.data[:1500]
    with BagWriter(tmp_path / 'cut') as writer:
        message = writer.make('sensor_msgs/CompressedImage', writer.header(BEGIN, 'lens'), 'jpeg', cut)
        writer.write(TOPIC, 'sensor_msgs/msg/CompressedImage', BEGIN, message)
    (frame,) = read(tmp_path / 'cut')
    with pytest.raises(FrameInvalid, match='cannot be decoded'):
        frame.picture.resize(28, 28, 'bicubic')
