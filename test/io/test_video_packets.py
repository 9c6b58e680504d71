"""Video packets become pictures, one each; what is lost is said, and nothing false is shown instead."""

from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
from small_bags import BEGIN, STEP, TOPIC, numbers, read, stamp

from stc_ros.io.bag_writer import BagWriter
from stc_ros.io.bags import Bag
from stc_ros.io.image_messages import FrameInvalid
from stc_ros.io.video_packets import COMPRESSED_VIDEO, FFMPEG_PACKET, VideoDecoder

COUNT, KEYFRAMES = 40, 20  # a keyframe each 20 pictures
ENCODERS = {
    'h264': ('libx264', {'bf': '0', 'sc_threshold': '0'}),
    'h264 at once': ('libx264', {'bf': '0', 'sc_threshold': '0', 'tune': 'zerolatency', 'profile': 'baseline'}),
    'h264 scaling lists': ('libx264', {'bf': '0', 'sc_threshold': '0', 'x264-params': 'cqm=jvt'}),
    'h265': (
        'libx265',
        {'x265-params': 'bframes=0:log-level=none:repeat-headers=1:scenecut=0:keyint=20:min-keyint=20'},
    ),
}


def scene(number):
    """A red square that moves over green, uint8 [96, 160, 3]."""
    picture = np.full((96, 160, 3), (10, 120, 30), np.uint8)
    picture[20:60, 2 * number : 2 * number + 40] = (220, 30, 40)
    return picture


def encode(encoder, options, count=COUNT):
    """(bytes, whether a keyframe, presentation number) of each packet."""
    context = av.CodecContext.create(encoder, 'w')
    context.width, context.height, context.pix_fmt, context.time_base = 160, 96, 'yuv420p', Fraction(1, 10)
    context.gop_size, context.options = KEYFRAMES, options
    packets = []
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(scene(number), format='rgb24')
        frame.pts = number
        packets += context.encode(frame)
    return [(bytes(p), p.is_keyframe, p.pts) for p in [*packets, *context.encode(None)]]


@pytest.fixture(scope='module', params=ENCODERS)
def video(request):
    """The format's name and its packets."""
    return request.param.split()[0], [data for data, _, _ in encode(*ENCODERS[request.param])]


def decode(packets, format):
    """The pictures, or the reasons why there is none."""
    decoder, out = VideoDecoder(), []
    for data in packets:
        try:
            message = SimpleNamespace(data=np.frombuffer(data, np.uint8), format=format)
            out.append(decoder.decode(message).array())
        except FrameInvalid as error:
            out.append(str(error))
    return out


def assert_shows(picture, number):
    assert isinstance(picture, np.ndarray), picture
    off = np.abs(picture.astype(int) - scene(number)).mean()
    assert off < 5 and off < np.abs(picture.astype(int) - scene(number + 1)).mean()


def reasons(decoded):
    return {number: said for number, said in enumerate(decoded) if isinstance(said, str)}


def test_each_packet_gives_its_picture_at_once(video):
    decoded = decode(video[1], video[0])
    assert len(decoded) == COUNT
    for number, picture in enumerate(decoded):
        assert_shows(picture, number)


def test_decoding_begins_at_a_keyframe(video):
    decoded = decode(video[1][5:], video[0])
    assert set(reasons(decoded)) == set(range(KEYFRAMES - 5))
    assert all('before the next keyframe: none has come yet' in said for said in reasons(decoded).values())
    assert_shows(decoded[KEYFRAMES - 5], KEYFRAMES)


@pytest.mark.parametrize('lost', [8, 18, 20])
def test_a_missing_packet_is_noticed_and_nothing_is_shown_before_the_next_keyframe(video, lost):
    decoded = decode(video[1][:lost] + video[1][lost + 1 :], video[0])
    until = KEYFRAMES if lost < KEYFRAMES else COUNT
    missing = set(range(lost, until - 1))  # the packets behind it, by their places
    assert set(reasons(decoded)) == missing
    assert 'cannot be decoded' in decoded[lost]
    for place, picture in enumerate(decoded):
        if place not in missing:
            assert_shows(picture, place if place < lost else place + 1)


def test_a_packet_that_is_cut_off_is_refused_with_all_that_rest_on_it(video):
    packets = list(video[1])
    packets[8] = packets[8][: len(packets[8]) // 2]
    decoded = decode(packets, video[0])
    assert set(reasons(decoded)) == set(range(8, KEYFRAMES))
    assert 'before the next keyframe: one before it could not be' in decoded[9]
    assert_shows(decoded[KEYFRAMES], KEYFRAMES)


def test_b_frames_are_refused_with_the_remedy():
    decoded = decode([data for data, _, _ in encode('libx264', {'bf': '2', 'sc_threshold': '0'})], 'h264')
    assert 'without B-frames (FFmpeg: -bf 0)' in decoded[0]
    assert len(reasons(decoded)) == COUNT


@pytest.mark.parametrize(
    'format, data, words',
    [
        ('av1', b'\0\0\1\x65', "'av1' is not supported; supported are h264 and h265"),
        ('h264', b'\0\0\0\x0a\x65', 'start code'),
        ('h264', b'', 'start code'),
        ('h265', b'\0\0\1\x26\x01garbage', 'H.265 packet cannot be decoded'),
    ],
)
def test_what_is_no_packet_is_refused_with_the_reason(format, data, words):
    assert words in decode([data], format)[0]


def write_packets(writer, type, places, packets, codec='h264'):
    """Packets as messages of that type, recorded in the order of `places`."""
    for recorded, number in enumerate(places):
        data, keyframe, _ = packets[number]
        data = np.frombuffer(data, np.uint8)
        if type == COMPRESSED_VIDEO:
            time = writer.make('builtin_interfaces/Time', *divmod(stamp(number), 10**9))
            message = writer.make('foxglove_msgs/CompressedVideo', time, 'lens', data, codec)
        else:
            header = writer.header(stamp(number), 'lens')
            message = writer.make(
                'ffmpeg_image_transport_msgs/FFMPEGPacket',
                header,
                160,
                96,
                f'{codec};yuv420p;bgr8',
                number,
                keyframe,
                False,
                data,
            )
        writer.write(TOPIC, type, BEGIN + recorded * STEP, message)


@pytest.mark.parametrize('type', [COMPRESSED_VIDEO, FFMPEG_PACKET])
@pytest.mark.parametrize('name', ['h264', 'h265'])
def test_packets_out_of_a_bag_are_decoded_in_the_order_of_their_stamps(tmp_path, type, name):
    packets = encode(*ENCODERS[name])
    with BagWriter(tmp_path / 'run') as writer:
        write_packets(writer, type, [n ^ 3 for n in range(COUNT)], packets, {'h264': 'h264', 'h265': 'hevc'}[name])
    frames = read(tmp_path / 'run')
    assert numbers(frames) == list(range(COUNT))
    for number, frame in enumerate(frames):
        assert (frame.error, frame.frame_id) == ('', 'lens')
        assert_shows(frame.picture.array(), number)


def test_a_packet_without_a_stamp_costs_what_rests_on_it_and_nothing_before(tmp_path):
    packets = encode(*ENCODERS['h264'], count=120)
    with BagWriter(tmp_path / 'run') as writer:
        write_packets(writer, COMPRESSED_VIDEO, range(90), packets)
        unset = writer.make('builtin_interfaces/Time', 0, 0)
        data = np.frombuffer(packets[90][0], np.uint8)
        unset = writer.make('foxglove_msgs/CompressedVideo', unset, '', data, 'h264')
        writer.write(TOPIC, COMPRESSED_VIDEO, stamp(90), unset)
        write_packets(writer, COMPRESSED_VIDEO, range(91, 120), packets)
    frames = read(tmp_path / 'run')
    (zero,) = (frame for frame in frames if not frame.stamp)
    assert 'its stamp is zero' in zero.error
    wrong = [frame for frame in frames if frame.error and frame is not zero]
    assert numbers(wrong) == list(range(91, 100))


def test_two_cameras_and_two_readings_have_decoders_of_their_own(tmp_path):
    with BagWriter(tmp_path / 'run') as writer:
        for number in range(COUNT):
            for topic in ('/a/image', '/b/image'):
                writer.image(
                    topic, stamp(number), scene(number if topic == '/a/image' else COUNT - number), 'lens', 'h264'
                )
    with Bag([tmp_path / 'run']) as bag:
        names = [topic.name for topic in bag.image_topics()]
        assert names == ['/a/image/foxglove', '/b/image/foxglove']
        for _ in range(2):
            for number, frame in enumerate(bag.frames(names)):
                first = frame.topic == names[0]
                assert_shows(frame.picture.array(), number // 2 if first else COUNT - number // 2)
