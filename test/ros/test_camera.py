"""The demonstration camera, as a process of its own: what it publishes, and how it refuses."""

import io
import signal
import time

import numpy as np
import pytest
from PIL import Image as Picture

from stc_ros.io.video import Video, VideoError
from stc_ros.synthetic import World
from stc_ros.synthetic.narration import tell_moment

CAMERA = 'stc_ros.ros.camera'


def parameters(**values):
    return ['--ros-args', *(word for name, value in values.items() for word in ('-p', f'{name}:={value}'))]


def subscribe(ros, kind, topic, depth=20):
    from rclpy.qos import QoSProfile, ReliabilityPolicy

    received = []
    profile = QoSProfile(depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT)
    ros.node.create_subscription(kind, topic, received.append, profile)
    return received


@pytest.fixture
def clip(tmp_path):
    """A video of 10 pictures at 5 Hz, 64 x 48; picture n has the brightness 20 * n."""
    import av

    path = tmp_path / 'clip.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for n in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * n, np.uint8), format='rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_synthetic_pictures_are_those_of_the_world(ros, launch_process):
    from sensor_msgs.msg import Image

    received = subscribe(ros, Image, 'image')
    launch_process(CAMERA, *parameters(source='synthetic', profile='busy', seed=3, size=96, rate=20.0))
    assert ros.spin_until(lambda: len(received) >= 3)
    world = World(profile='busy', seed=3)
    expected = [world.render(size=96).tobytes()]
    for _ in range(200):
        world.step()
        expected.append(world.render(size=96).tobytes())
    at = [expected.index(bytes(message.data)) for message in received]
    assert at == sorted(at) and len(set(at)) == len(at)
    first = received[0]
    assert (first.width, first.height, first.step, first.encoding) == (96, 96, 288, 'rgb8')
    assert first.header.frame_id == 'camera'


def test_what_a_synthetic_picture_shows_is_told_under_its_stamp(ros, launch_process):
    from sensor_msgs.msg import Image

    pytest.importorskip('stc_ros.msg', reason='the interfaces are not built: run ./dev build')
    from stc_ros.msg import Narration

    truths, pictures = [], subscribe(ros, Image, 'image')
    ros.node.create_subscription(Narration, 'camera/truth', truths.append, 20)
    launch_process(CAMERA, *parameters(profile='busy', seed=3, size=96, rate=20.0))
    assert ros.spin_until(lambda: len(pictures) >= 8 and len(truths) >= 8)
    world, known = World(profile='busy', seed=3), {}
    for _ in range(200):
        known[world.render(size=96).tobytes()] = tell_moment(world.truth())
        world.step()
    shown = {(p.header.stamp.sec, p.header.stamp.nanosec): known[bytes(p.data)] for p in pictures}
    told = {(t.header.stamp.sec, t.header.stamp.nanosec): t.text for t in truths}
    both = shown.keys() & told.keys()
    assert len(both) >= 4 and all(shown[stamp] == told[stamp] for stamp in both)
    assert len({told[stamp] for stamp in both}) > 1


def test_stamps_are_the_time_of_the_picture(ros, launch_process):
    from rclpy.time import Time
    from sensor_msgs.msg import Image

    received = subscribe(ros, Image, 'image')
    launch_process(CAMERA, *parameters(size=64, rate=10.0))
    assert ros.spin_until(lambda: len(received) >= 5)
    now = ros.node.get_clock().now()
    stamps = [Time.from_msg(message.header.stamp, now.clock_type) for message in received]
    assert all(a < b for a, b in zip(stamps, stamps[1:]))
    assert 0 <= (now - stamps[-1]).nanoseconds < 5e9
    assert (stamps[-1] - stamps[0]).nanoseconds / (len(stamps) - 1) == pytest.approx(1e8, rel=0.5)


def test_compressed_twin_shows_the_same(ros, launch_process):
    from sensor_msgs.msg import CompressedImage

    received = subscribe(ros, CompressedImage, 'image/compressed')
    launch_process(CAMERA, *parameters(profile='static', seed=1, size=128))
    assert ros.spin_until(lambda: received)
    assert received[0].format == 'jpeg'
    shown = np.asarray(Picture.open(io.BytesIO(bytes(received[0].data))).convert('RGB'), np.int16)
    world = World(profile='static', seed=1)
    differences = []
    for _ in range(100):
        differences.append(np.abs(world.render(size=128).astype(np.int16) - shown).mean())
        world.step()
    assert min(differences) < 4


def test_a_video_larger_than_the_default_shared_memory_arrives(ros, launch_process, tmp_path):
    from sensor_msgs.msg import Image

    received = subscribe(ros, Image, 'image')
    launch_process(CAMERA, *parameters(size=1000, rate=5.0))  # 3 MB a picture; the default segment holds 0.5 MiB
    assert ros.spin_until(lambda: len(received) >= 3)
    assert len(received[0].data) == 3_000_000


def test_a_clip_that_is_not_looped_ends_well(ros, launch_process, clip):
    camera = launch_process(CAMERA, *parameters(source=clip, loop='false', rate=50.0))
    assert camera.wait(20) == 0
    assert 'the source has ended' in camera.log.read_text()


def test_a_looped_clip_starts_again(ros, launch_process, clip):
    from sensor_msgs.msg import Image

    received = subscribe(ros, Image, 'image', depth=100)
    launch_process(CAMERA, *parameters(source=clip, rate=20.0))
    assert ros.spin_until(lambda: len(received) >= 90)
    brightness = [int(np.frombuffer(message.data, np.uint8).mean()) for message in received]
    restarts = sum(b < a - 60 for a, b in zip(brightness, brightness[1:]))
    assert restarts >= 2  # a round is 10 pictures of 0.2 s, so 40 messages


@pytest.mark.parametrize(
    'values, words',
    [
        ({'source': '/nowhere/clip.mp4'}, ['/nowhere/clip.mp4', 'No such file', 'path of a video file']),
        ({'source': __file__}, ['test_camera.py', 'path of a video file']),
        ({'source': '/dev/video99'}, ['/dev/video99', 'ls -l /dev/video*']),
        ({'profile': 'seaside'}, ['seaside', 'busy', 'night']),
        ({'rate': -1.0}, ['rate']),
        ({'size': 'big'}, ['size']),
    ],
)
def test_what_it_cannot_show_is_refused_with_the_remedy(launch_process, values, words):
    pytest.importorskip('rclpy')
    camera = launch_process(CAMERA, *parameters(**values))
    assert camera.wait(20) == 1
    said = camera.log.read_text()
    assert 'Traceback' not in said
    assert all(word in said for word in words), said


def test_one_ctrl_c_after_the_other_shows_no_traceback(ros, launch_process):
    camera = launch_process('stc_ros.ros.camera')
    assert ros.spin_until(lambda: ros.node.count_publishers('image'))
    for _ in range(200):
        camera.send_signal(signal.SIGINT)
        time.sleep(0.002)
    assert camera.wait(10) == 0
    assert camera.log.read_text().count('Traceback') == 0


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_without_a_traceback(ros, launch_process, number):
    from sensor_msgs.msg import Image

    received = subscribe(ros, Image, 'image')
    camera = launch_process(CAMERA, *parameters(size=64))
    assert ros.spin_until(lambda: received)
    camera.send_signal(number)
    assert camera.wait(3) == 0
    assert 'Traceback' not in camera.log.read_text()


def test_a_video_at_another_rate_keeps_its_speed():
    from stc_ros.ros.camera import at_rate

    assert list(at_rate(range(10), own=10, rate=5)) == [0, 2, 4, 6, 8]
    assert list(at_rate(range(3), own=5, rate=10)) == [0, 0, 1, 1, 2, 2]
    assert len(list(at_rate(range(300), own=30, rate=12.5))) == 125


def test_video_gives_its_pictures_in_order_and_again(clip):
    video = Video(str(clip))
    for _ in range(2):
        pictures = list(video)
        assert [round(p.mean() / 20) for p in pictures] == list(range(10))
        assert pictures[0].shape == (48, 64, 3) and pictures[0].dtype == np.uint8
    assert next(iter(Video(str(clip), size=32))).shape == (24, 32, 3)


def test_a_sound_file_is_no_video(tmp_path):
    import av

    path = tmp_path / 'sound.wav'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('pcm_s16le', rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format='s16', layout='mono')
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(VideoError, match='no video stream'):
        Video(str(path))


def test_a_truncated_video_is_refused_in_words(clip, tmp_path):
    broken = tmp_path / 'broken.mp4'
    broken.write_bytes(clip.read_bytes()[:200])
    with pytest.raises(VideoError, match='broken.mp4'):
        list(Video(str(broken)))
