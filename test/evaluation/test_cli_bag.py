"""`stc_ros bag`: bags out of videos and worlds, with true times and right answers."""

import argparse
import json
from fractions import Fraction

import av
import numpy as np
import pytest
import yaml

from stc_ros.evaluation import cli_bag
from stc_ros.io.bags import Bag
from stc_ros.io.video import Video
from stc_ros.synthetic import PROFILES, World, record
from stc_ros.synthetic.questions import answer_to

BEGIN = 1_700_000_000_000_000_000


def call(*words):
    parser = argparse.ArgumentParser(prog='stc_ros')
    cli_bag.add_parser(parser.add_subparsers(dest='command'))
    return cli_bag.run(parser.parse_args(['bag', *map(str, words)]))


def all_of(folder, topic=''):
    with Bag([folder]) as bag:
        return [(frame.stamp - BEGIN, frame.picture.array()) for frame in bag.frames([bag.choose(topic)])]


@pytest.fixture(scope='module')
def film(tmp_path_factory):
    """A video of 30 frames whose times are not even: each third comes late."""
    file = tmp_path_factory.mktemp('film') / 'film.mp4'
    with av.open(str(file), 'w') as container:
        stream = container.add_stream('libx264', rate=Fraction(10))
        stream.width, stream.height, stream.codec_context.time_base = 96, 64, Fraction(1, 100)
        for number in range(30):
            picture = np.full((64, 96, 3), 8 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
            frame.pts, frame.time_base = time_of(number), Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file


def time_of(number):
    """1/100 s."""
    return 10 * number + 4 * (number % 3 == 2)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_video_becomes_a_bag_with_its_pictures_and_times(film, tmp_path, capsys, storage):
    assert call('from-video', film, '--out', tmp_path / 'bag', '--storage', storage) == 0
    assert '30 frames, 96 x 64' in capsys.readouterr().out
    frames = all_of(tmp_path / 'bag')
    assert [stamp for stamp, _ in frames] == [10_000_000 * time_of(number) for number in range(30)]
    assert all(np.array_equal(picture, wanted) for (_, picture), wanted in zip(frames, Video(str(film))))


def test_fps_size_and_format_are_heeded(film, tmp_path):
    for format, topic in {'jpeg': '/camera/image_raw/compressed', 'h264': '/camera/image_raw/foxglove'}.items():
        out = tmp_path / format
        assert call('from-video', film, '--out', out, '--fps', 2, '--size', 51, '--format', format) == 0
        frames = all_of(out, topic)
        assert [stamp // 10_000_000 for stamp, _ in frames] == [0, 54, 100, 150, 204, 250]
        shape = (34, 51, 3) if format == 'jpeg' else (34, 50, 3)
        for stamp, picture in frames:
            assert picture.shape == shape
            assert abs(float(picture.mean()) - 8 * (stamp // 100_000_000)) < 4


@pytest.mark.parametrize(
    'words, said',
    [
        (['from-video', 'nothing.mp4'], 'nothing.mp4 does not exist'),
        (['from-video', __file__], 'Give the path of a video file'),
        (['info', 'nothing.mcap'], 'nothing.mcap does not exist'),
        (['from-synthetic', '--size', '15', '--format', 'h264'], 'H.264 needs an even width and height, not 15 x 15'),
    ],
)
def test_what_cannot_be_done_is_said_and_exits_with_2(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert call(*words) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_bag_is_not_overwritten(tmp_path, capsys):
    (tmp_path / 'bag').mkdir()
    assert call('from-synthetic', '--seconds', 1, '--out', tmp_path / 'bag') == 2
    assert 'exists already' in capsys.readouterr().err


@pytest.mark.parametrize('words', [['from-synthetic', '--seconds', '0'], ['from-video', 'a', '--fps', 'x'], []])
def test_options_are_checked(words, capsys):
    with pytest.raises(SystemExit) as stop:
        call(*words)
    assert stop.value.code == 2


@pytest.mark.parametrize('command', [[], ['from-video'], ['from-synthetic'], ['info']])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        call(*command, '--help')
    assert stop.value.code == 0
    assert 'usage: stc_ros bag' in capsys.readouterr().out


@pytest.mark.parametrize('profile', PROFILES)
def test_a_world_becomes_a_bag_that_knows_the_right_answers(tmp_path, profile):
    file, out = tmp_path / 'new' / 'questions.yaml', tmp_path / 'bag'
    options = ['--profile', profile, '--seed', 7, '--seconds', 12, '--rate', 10, '--count', 15]
    assert call('from-synthetic', *options, '--out', out, '--questions', file) == 0

    clip = record(profile, 7, 120)
    frames = all_of(out)
    assert [stamp for stamp, _ in frames] == [100_000_000 * number for number in range(120)]
    assert all(np.array_equal(picture, wanted) for (_, picture), wanted in zip(frames, clip.frames))

    asked = yaml.safe_load(file.read_text())['questions']
    assert 12 <= len(asked) <= 15
    assert len({question['tags'][0] for question in asked}) >= 5
    assert asked[-1]['at'] > 10
    for question in asked:
        seen = sum(stamp / 1e9 <= question['at'] for stamp, _ in frames)
        assert seen < len(frames)
        assert question['expect'] == {'exact': answer_to(clip, seen - 1, question['question'])}
        assert question['tags'][1] == profile
    assert [question['at'] for question in asked] == sorted(question['at'] for question in asked)


def test_camera_poses_and_truth_are_recorded_at_the_frames_stamps(tmp_path):
    out = tmp_path / 'bag'
    assert call('from-synthetic', '--profile', 'patrol', '--seed', 3, '--seconds', 3, '--out', out, '--size', 64) == 0
    world = World('patrol', 3)
    found = {}
    with Bag([out]) as bag:
        for message in bag.messages():
            found.setdefault(message.topic, []).append((message.stamp, message.message))
    stamps = [stamp for stamp, _ in found['/camera/image_raw']]
    assert len(stamps) == 24 and stamps[8] == BEGIN + 1_000_000_000
    assert all([stamp for stamp, _ in messages] == stamps for messages in found.values())
    for number in range(24):
        truth = world.truth()
        info, pose, (transform,) = (
            found['/camera/camera_info'][number][1],
            found['/camera/pose'][number][1],
            found['/tf'][number][1].transforms,
        )
        for header in (info.header, pose.header, transform.header):
            assert header.stamp.sec * 10**9 + header.stamp.nanosec == stamps[number]
        assert info.header.frame_id == transform.child_frame_id == 'camera_optical_frame'
        assert (info.width, info.height) == (64, 64)
        assert (pose.pose.position.y, pose.pose.position.z) == (-truth.camera[0], -truth.camera[1])
        assert transform.transform.translation.y == pose.pose.position.y
        facts = json.loads(found['/ground_truth'][number][1].data)
        assert [o['colour'] for o in facts['objects']] == [o.colour for o in truth.objects]
        world.step()
    assert len({message.pose.position.y for _, message in found['/camera/pose']}) > 10  # the camera pans


def test_the_same_command_gives_the_same_bag(tmp_path):
    for name in ('a', 'b'):
        words = ['--seconds', 3, '--out', tmp_path / name / 'bag', '--questions', tmp_path / name / 'q.yaml']
        assert call('from-synthetic', '--format', 'h264', *words) == 0
    first, second = (sorted(f for f in (tmp_path / name).rglob('*') if f.is_file()) for name in ('a', 'b'))
    assert len(first) == 3
    assert [f.read_bytes() for f in first] == [f.read_bytes() for f in second]


def test_info_names_topics_counts_and_pictures(tmp_path, capsys):
    call('from-synthetic', '--seconds', 2, '--out', tmp_path / 'bag', '--topic', '/front/image')
    assert call('info', tmp_path / 'bag') == 0
    said = capsys.readouterr().out
    assert '1.875 s from stamp 1700000000000000000' in said
    assert '/front/image' in said and '16  sensor_msgs/msg/Image  112 x 112, camera_optical_frame' in said
    assert '/front/camera_info' in said
