"""The ways in which pictures come: whatever a message is made of, it gives its picture or a refusal by kind."""

import io
import struct
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile
from test_serialized import cdr
from test_video_packets import COUNT, ENCODERS, KEYFRAMES, assert_shows, encode

from stc_ros.io.image_messages import FrameInvalid
from stc_ros.io.serialized import FIELDS
from stc_ros.io.transports import TRANSPORTS
from stc_ros.parameter_spec import SettingError
from stc_ros.parameters import parameters

LITTLE = b'\0\1'
STAMP = ('i', 7), ('I', 8)
BOUND = parameters()['input.max_pixels'].default


def compressed(data, format='png'):
    return cdr(LITTLE, *STAMP, 'lens', format, data)


def raw(width=4, height=2, encoding='rgb8', step=12, data=bytes(24), stamp=STAMP):
    return cdr(LITTLE, *stamp, 'lens', ('I', height), ('I', width), encoding, ('B', 0), ('I', step), data)


def packet(data, width=160, height=96, encoding='h264;yuv420p;bgr8;bgr8', stamp=STAMP):
    return cdr(LITTLE, *stamp, 'lens', ('i', width), ('i', height), encoding, ('Q', 1), ('B', 0), ('B', 0), data)


def png(width, height, data=b'', depth=8):
    """A PNG that claims a size, of RGB, however little it holds."""

    def chunk(kind, content):
        return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))

    header = struct.pack('>IIBBBBB', width, height, depth, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(data)) + chunk(b'IEND', b'')


def refusal(transport, *messages, most=BOUND):
    """The last message's, as all pictures are resized in the end."""
    decoder = TRANSPORTS[transport].decoder()
    with pytest.raises(FrameInvalid) as refused:
        for message in messages:
            decoder.decode(message, most)[2].array()
    return refused.value


def test_the_table_is_that_of_the_parameter_and_of_what_can_be_read():
    assert tuple(TRANSPORTS) == parameters()['input.transport'].choices
    assert {t.kind for t in TRANSPORTS.values()} == set(FIELDS)


def test_a_package_that_is_not_installed_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, 'ffmpeg_image_transport_msgs.msg', None)
    with pytest.raises(SettingError, match='apt install ros-.*-ffmpeg-image-transport-msgs, and source ROS'):
        TRANSPORTS['ffmpeg'].message_class()


@pytest.mark.parametrize('transport', TRANSPORTS)
@pytest.mark.parametrize('message', [b'', b'\0\1\0\0', bytes(13), b'\0\1\0\0' + b'\xff' * 9, b'\0\3\0\0' + bytes(90)])
def test_a_message_of_a_few_bytes_is_a_refusal(transport, message):
    """13 bytes of CDR once reset the memory of the stream."""
    assert refusal(transport, message).kind in ('cut off', 'serialization')


@pytest.mark.parametrize(
    'data, kind',
    [
        (png(2**31 - 1, 1), 'too many pixels'),
        (png(2**32 - 1, 2**32 - 1), None),
        (png(0, 5), None),
        (png(4, 4)[:69], 'compressed data'),
        (png(4, 2**24 // 4, bytes(99)), 'compressed data'),
        (png(4, 4).replace(b'IDAT', b'IDOT'), None),
        (b'\x89PNG\r\n\x1a\n' + bytes(60), None),
        (b'\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03' + bytes(60), None),
        (b'\xff\xd8\xff', None),
    ],
)
def test_a_broken_picture_is_a_refusal_whatever_the_library_raises(data, kind):
    refused = refusal('compressed', compressed(data))
    assert kind in (None, refused.kind) and len(str(refused)) < 400


@pytest.mark.parametrize('error', [MemoryError(), OverflowError('width'), struct.error('unpack'), SystemError('tile')])
def test_what_a_library_raises_beside_its_own_errors_is_of_the_picture_too(error, monkeypatch):
    """It once was a failure of the model: everything seen was forgotten."""

    def load(self):
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, 'load', load)
    refused = refusal('compressed', compressed(png(4, 4, bytes(13 * 4))))
    assert refused.kind == 'compressed data' and (str(error) or type(error).__name__) in str(refused)


def memory_of(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_small_file_of_a_large_picture_is_refused_by_its_header(monkeypatch):
    """10.8 kB of PNG once took 900 MiB."""
    side = 4200
    bomb = compressed(png(side, side, bytes((3 * side + 1) * side)))
    assert len(bomb) < 60_000
    loaded, load = [], ImageFile.ImageFile.load
    monkeypatch.setattr(ImageFile.ImageFile, 'load', lambda self: (loaded.append(self.size), load(self))[1])
    refused = refusal('compressed', bomb)
    assert refused.kind == 'too many pixels' and '4200 x 4200' in str(refused) and 'input.max_pixels' in str(refused)
    assert not loaded
    shown = TRANSPORTS['compressed'].decoder().decode(bomb, side * side)[2].array()  # the control: it can be decoded
    assert shown.shape == (side, side, 3) and loaded


def test_a_jpeg_and_a_raw_image_are_bounded_alike():
    file = io.BytesIO()
    Image.new('RGB', (64, 65)).save(file, 'JPEG')
    assert refusal('compressed', compressed(file.getvalue(), 'jpeg'), most=4096).kind == 'too many pixels'
    assert refusal('raw', raw(64, 65, step=192, data=bytes(192 * 65)), most=4096).kind == 'too many pixels'
    assert TRANSPORTS['raw'].decoder().decode(raw(64, 64, step=192, data=bytes(192 * 64)), 4096)[2].width == 64


@pytest.mark.parametrize(
    'lie, kind',
    [
        ({'width': 2**31, 'step': 2**32 - 1}, 'step'),
        ({'height': 2**31}, 'data'),
        ({'width': 2**30, 'height': 2**30, 'step': 2**32 - 1}, 'data'),
        ({'step': 2**32 - 1}, 'data'),
        ({'height': 3}, 'data'),
        ({'width': 0}, 'size'),
        ({'encoding': 'x' * 250}, 'encoding'),
        ({'stamp': (('i', 0), ('I', 0))}, 'no stamp'),
        ({'stamp': (('i', 2**31 - 1), ('I', 2**32 - 1))}, 'no stamp'),
    ],
)
def test_a_raw_image_that_lies_is_refused_and_costs_nothing(lie, kind):
    refused = []
    assert memory_of(lambda: refused.append(refusal('raw', raw(**lie)))) < 1 << 20
    assert refused[0].kind == kind


def test_kinds_of_refusal_are_few_whatever_is_sent():
    """A publisher's random encodings once became as many keys, and lines of the log."""
    kinds = {refusal('raw', raw(encoding=f'random{n}')).kind for n in range(100)}
    kinds |= {refusal('ffmpeg', packet(b'\0\0\1\x65', encoding=f'codec{n}')).kind for n in range(100)}
    assert kinds == {'encoding', 'video format'}


def packets(count=COUNT, name='h264'):
    return [data for data, _, _ in encode(*ENCODERS[name], count=count)]


def test_packets_of_a_topic_are_decoded_from_a_keyframe_on():
    for transport, wrap in (('ffmpeg', packet), ('foxglove', lambda data: cdr(LITTLE, *STAMP, 'lens', data, 'h264'))):
        decoder, seen = TRANSPORTS[transport].decoder(), {}
        for number, data in list(enumerate(packets()))[5:]:
            try:
                header, stamp, picture = decoder.decode(wrap(data), BOUND)
                seen[number] = picture.array()
                assert (header.frame_id, stamp, picture.width) == ('lens', 7_000_000_008, 160)
            except FrameInvalid as refused:
                assert refused.kind == 'waits for keyframe'
        assert list(seen) == list(range(KEYFRAMES, COUNT))
        for number, picture in seen.items():
            assert_shows(picture, number)


def test_what_is_cut_off_or_lost_before_costs_what_rests_on_it():
    for lose in (lambda d: d.decode(packet(b'x')[:20], BOUND), lambda d: d.lose('3 packets came too fast')):
        decoder = TRANSPORTS['ffmpeg'].decoder()
        decoder.decode(packet(packets()[0]), BOUND)
        try:
            lose(decoder)
        except FrameInvalid as refused:
            assert refused.kind == 'cut off'
        with pytest.raises(FrameInvalid, match='before the next keyframe: (one before it could|3 packets came)'):
            decoder.decode(packet(packets()[1]), BOUND)


@pytest.mark.parametrize('name', ['h264', 'h265'])
def test_a_video_larger_than_allowed_is_named_and_comes_when_it_is_allowed(name):
    encoding = {'h264': 'h264', 'h265': 'hevc'}[name]
    wrapped = [packet(data, encoding=encoding) for data in packets(KEYFRAMES + 1, name)]
    refused = refusal('ffmpeg', wrapped[0], most=5000)
    assert refused.kind == 'too many pixels' and '160 x 96' in str(refused)
    decoder = TRANSPORTS['ffmpeg'].decoder()
    for number, message in enumerate(wrapped):
        try:
            picture = decoder.decode(message, 5000 if number < 3 else 160 * 96)[2]
        except FrameInvalid:
            assert number < KEYFRAMES
        else:
            assert number == KEYFRAMES and picture.height == 96


def test_a_packet_that_claims_another_size_is_a_lie():
    refused = refusal('ffmpeg', packet(packets()[0], width=161))
    assert refused.kind == 'size' and '161 x 96' in str(refused) and '160 x 96' in str(refused)
    decoder = TRANSPORTS['ffmpeg'].decoder()
    assert decoder.decode(packet(packets()[0], 0, 0), BOUND)[2].width == 160  # claims nothing


def test_broken_packets_of_any_kind_are_refusals():
    rng, whole = np.random.default_rng(5), packets(8)
    decoder, refused = TRANSPORTS['ffmpeg'].decoder(), 0
    for number in range(300):
        data = bytearray(whole[number % 8])
        for place in rng.integers(0, len(data), 1 + number % 7):
            data[place] = rng.integers(256)
        try:
            decoder.decode(packet(bytes(data)), BOUND)[2].array()
        except FrameInvalid:
            refused += 1
    assert refused > 100
    for data in whole:
        shown = decoder.decode(packet(data), BOUND)[2].array()
    assert_shows(shown, 7)
