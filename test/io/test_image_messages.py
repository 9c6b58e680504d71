"""Messages become RGB: each encoding by its colours, and each broken message refused with a reason."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from stc_ros.io import converter
from stc_ros.io.converter import ENCODINGS
from stc_ros.io.image_messages import FrameInvalid, check_converter, stamp_of, to_picture, to_rgb
from stc_ros.models.pixels import Pixels

RED, GREEN, BLUE, GREY = (200, 20, 30), (20, 190, 40), (30, 20, 210), (128, 128, 128)
COLOURS = {'red': RED, 'green': GREEN, 'blue': BLUE, 'grey': GREY}
HEIGHT, WIDTH = 24, 32


def square(colour) -> np.ndarray:
    """A square of that colour on grey, uint8 [24, 32, 3]."""
    image = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    image[6:18, 8:24] = colour
    return image


def luma(rgb):
    """Rec. 601, as cameras use it: Y, U, V of uint8 [..., 3]."""
    r, g, b = (rgb[..., i].astype(float) for i in range(3))
    y = 16 + 0.257 * r + 0.504 * g + 0.098 * b
    u = 128 - 0.148 * r - 0.291 * g + 0.439 * b
    v = 128 + 0.439 * r - 0.368 * g - 0.071 * b
    return (np.rint(channel).astype(np.uint8) for channel in (y, u, v))


def packed_yuv(rgb, order):
    """4:2:2: two pixels share U and V; `order` says how the four bytes lie."""
    y, u, v = luma(rgb)
    parts = {'y0': y[:, 0::2], 'y1': y[:, 1::2], 'u': u[:, 0::2], 'v': v[:, 0::2]}
    return np.stack([parts[name] for name in order], axis=-1).reshape(len(rgb), -1)


def mosaic(rgb, pattern):
    """What a sensor behind a colour filter sees; `pattern` names its upper left 2 x 2 cell row by row."""
    image = np.empty(rgb.shape[:2], rgb.dtype)
    for place, channel in enumerate(pattern):
        rows, cols = slice(place // 2, None, 2), slice(place % 2, None, 2)
        image[rows, cols] = rgb[rows, cols, 'rgb'.index(channel)]
    return image


def with_alpha(rgb):
    return np.dstack((rgb, np.full(rgb.shape[:2], 77, np.uint8)))


def wide(image):
    return (image.astype(np.uint16) * 257).astype('<u2')


ENCODERS = {
    'rgb8': lambda rgb: rgb,
    'bgr8': lambda rgb: rgb[..., ::-1],
    '8UC3': lambda rgb: rgb[..., ::-1],
    'rgba8': with_alpha,
    'bgra8': lambda rgb: with_alpha(rgb[..., ::-1]),
    '8UC4': lambda rgb: with_alpha(rgb[..., ::-1]),
    'rgb16': wide,
    'bgr16': lambda rgb: wide(rgb[..., ::-1]),
    'rgba16': lambda rgb: wide(with_alpha(rgb)),
    'bgra16': lambda rgb: wide(with_alpha(rgb[..., ::-1])),
    **{name: lambda rgb: packed_yuv(rgb, ('u', 'y0', 'v', 'y1')) for name in ('uyvy', 'yuv422')},
    **{name: lambda rgb: packed_yuv(rgb, ('y0', 'u', 'y1', 'v')) for name in ('yuyv', 'yuv422_yuy2')},
    **{
        f'bayer_{pattern}8': lambda rgb, pattern=pattern: mosaic(rgb, pattern)
        for pattern in ('rggb', 'bggr', 'gbrg', 'grbg')
    },
}
MONO = {'mono8': lambda grey: grey, '8UC1': lambda grey: grey, 'mono16': wide}


def message(encoding, pixels, padding=0, /, **changes):
    """An Image message around `pixels`, with `padding` bytes of rubbish at the end of each row."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(HEIGHT, -1)
    rows = np.hstack((rows, np.full((HEIGHT, padding), 0xEE, np.uint8)))
    fields = {
        'encoding': encoding,
        'height': HEIGHT,
        'width': WIDTH,
        'step': rows.shape[1],
        'is_bigendian': 0,
        'data': rows.tobytes(),
        'header': None,
    }
    return SimpleNamespace(**{**fields, **changes})


def assert_same_square(rgb, colour):
    assert rgb.shape == (HEIGHT, WIDTH, 3) and rgb.dtype == np.uint8 and rgb.flags['C_CONTIGUOUS']
    inside, outside = rgb[8:16, 10:22].reshape(-1, 3), rgb[:4, :].reshape(-1, 3)  # away from the edges
    assert np.abs(inside.mean(0) - colour).max() <= 4
    assert np.abs(outside.mean(0) - GREY).max() <= 4


def test_every_encoding_that_is_named_is_tested():
    assert set(ENCODERS) | set(MONO) == set(ENCODINGS)


@pytest.mark.parametrize('padding', [0, 6])
@pytest.mark.parametrize('colour', COLOURS)
@pytest.mark.parametrize('encoding', ENCODERS)
def test_a_coloured_square_keeps_its_colour(encoding, colour, padding):
    pixels = ENCODERS[encoding](square(COLOURS[colour]))
    assert_same_square(to_rgb(message(encoding, pixels, padding)), COLOURS[colour])


@pytest.mark.parametrize('encoding', MONO)
def test_grey_pictures_become_grey(encoding):
    grey = square((220, 220, 220))[..., 0]
    assert_same_square(to_rgb(message(encoding, MONO[encoding](grey))), (220, 220, 220))


def test_big_endian_samples_are_swapped():
    pixels = wide(square(RED)).byteswap()
    assert_same_square(to_rgb(message('rgb16', pixels, is_bigendian=1)), RED)


@pytest.mark.parametrize(
    'changes, kind, words',
    [
        ({'encoding': '32FC1'}, 'encoding', ['32FC1', 'rgb8', 'bayer_rggb8', 'jpeg']),
        ({'encoding': ''}, 'encoding', ['supported']),
        ({'height': 0}, 'size', ['32 x 0']),
        ({'width': 0}, 'size', ['0 x 24']),
        ({'step': 95}, 'step', ['95', '96']),
        ({'step': 97}, 'data', ['2304', '97']),
        ({'data': b''}, 'data', ['0 bytes']),
        ({'data': bytes(2303)}, 'data', ['2303', '2304']),
        ({'height': 2**31, 'step': 2**31}, 'data', ['2304']),
    ],
)
def test_a_broken_message_is_refused_with_the_reason(changes, kind, words):
    with pytest.raises(FrameInvalid) as refusal:
        to_rgb(message('rgb8', square(RED), **changes))
    assert refusal.value.kind == kind
    assert all(word in str(refusal.value) for word in words)


def test_shared_colour_needs_an_even_width():
    with pytest.raises(FrameInvalid, match='width is 31'):
        to_rgb(message('yuyv', square(RED)[..., :2], width=31))


def compressed(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return SimpleNamespace(format=kind.lower(), data=file.getvalue())


@pytest.mark.parametrize('colour', COLOURS)
@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
def test_compressed_pictures_keep_their_colour(kind, colour):
    options = {'quality': 98, 'subsampling': 0} if kind == 'JPEG' else {}
    assert_same_square(to_rgb(compressed(Image.fromarray(square(COLOURS[colour])), kind, **options)), COLOURS[colour])


@pytest.mark.parametrize('mode', ['L', 'RGBA', 'P', 'I;16'])
def test_other_kinds_of_png(mode):
    grey = square((220, 220, 220))
    picture = Image.fromarray(wide(grey[..., 0])) if mode == 'I;16' else Image.fromarray(grey).convert(mode)
    assert_same_square(to_rgb(compressed(picture, 'PNG')), (220, 220, 220))


@pytest.mark.parametrize('data', [b'', b'no picture', b'\xff\xd8\xff\xe0 cut off'])
def test_compressed_rubbish_is_refused(data):
    with pytest.raises(FrameInvalid):
        to_rgb(SimpleNamespace(format='jpeg', data=data))


@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
def test_a_compressed_picture_cut_short_is_refused(kind):
    whole = compressed(Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)), kind)
    with pytest.raises(FrameInvalid, match='cannot be decoded'):
        to_rgb(SimpleNamespace(format=kind.lower(), data=whole.data[: len(whole.data) // 2]))


def test_depth_pictures_are_refused_by_name():
    with pytest.raises(FrameInvalid, match='depth'):
        to_rgb(SimpleNamespace(format='16UC1; compressedDepth png', data=b'x'))


def test_stamps():
    def header(sec, nanosec):
        return SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec))

    assert stamp_of(header(3, 5)) == 3_000_000_005
    for sec, nanosec in ((0, 0), (-1, 0), (3, 1_000_000_000), (2**31 - 1, 2**32 - 1)):
        with pytest.raises(FrameInvalid, match='stamp'):
            stamp_of(header(sec, nanosec))


def test_a_missing_converter_is_named_before_the_first_frame(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, 'rosbags.image', None)
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    converter.converter.cache_clear()
    try:
        with pytest.raises(ImportError, match='pip install'):
            check_converter()
    finally:
        converter.converter.cache_clear()


# -- resized before its colours are put right --------------------------------------------------------------------------

SMALL = Pixels(48, 48)


def scene(height=360, width=640):
    """Something to see: stripes of all widths, a disc, noise; uint8 [height, width, 3]."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    stripes = 128 + 90 * np.sin(x * 40 / width)[..., None] * np.array((1, 0.5, -0.7))
    disc = ((x - 400) ** 2 + (y - 150) ** 2 < 90**2)[..., None] * np.array((60, -40, 30))
    noise = np.random.default_rng(0).normal(0, 6, (height, width, 3))
    return np.clip(stripes + disc + noise, 16, 235).astype(np.uint8)


def image_of(encoding, pixels, padding):
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(len(pixels), -1)
    rows = np.hstack((rows, np.full((len(pixels), padding), 0xEE, np.uint8)))
    return SimpleNamespace(
        encoding=encoding,
        height=len(pixels),
        width=640,
        step=rows.shape[1],
        is_bigendian=0,
        data=rows.tobytes(),
        header=None,
    )


@pytest.mark.parametrize('padding', [0, 12])
@pytest.mark.parametrize('encoding', ENCODERS)
def test_the_shorter_way_in_shows_the_model_the_same_picture(encoding, padding):
    message = image_of(encoding, ENCODERS[encoding](scene()), padding)
    exact = SMALL.resize(np.array(to_rgb(message))).int()
    picture = to_picture(message)
    assert torch.equal(SMALL.resize(picture).int(), exact) and exact.float().std() > 20
    assert np.array_equal(picture.array(), to_rgb(message))


@pytest.mark.parametrize('quality', [75, 95])
def test_a_large_jpeg_is_decoded_in_part(quality, monkeypatch):
    message = compressed(Image.fromarray(scene(1080, 1920)), 'JPEG', quality=quality)
    decoded, array = [], np.ascontiguousarray
    monkeypatch.setattr(np, 'ascontiguousarray', lambda x, *a: decoded.append(x.size) or array(x, *a))
    exact = SMALL.resize(to_rgb(message)).int()
    error = (SMALL.resize(to_picture(message)).int() - exact).abs()
    assert decoded == [(1920, 1080), (240, 135)]
    assert error.max() <= 2 and (error > 1).float().mean() < 0.001 and error.float().mean() < 0.3
    assert to_picture(message).array(800).shape == (1080, 1920, 3)  # half would be too low
    assert to_picture(message).array(500).shape == (540, 960, 3)


def test_what_is_no_picture_is_refused_at_once_and_a_broken_jpeg_when_it_is_resized():
    with pytest.raises(FrameInvalid, match='neither jpeg nor png'):
        to_picture(SimpleNamespace(format='jpeg', data=b'no picture'))
    whole = compressed(Image.fromarray(scene()), 'JPEG')
    broken = to_picture(SimpleNamespace(format='jpeg', data=whole.data[: len(whole.data) // 2]))
    with pytest.raises(FrameInvalid, match='cannot be decoded'):
        SMALL.resize(broken)


def test_a_picture_leaves_its_message_as_it_was_and_keeps_nothing_of_it():
    message = image_of('bgr8', scene(), 0)
    before, frame = bytes(message.data), SMALL.resize(to_picture(message))
    frame.zero_()
    assert message.data == before
    whole = Pixels(360, 640).resize(to_picture(message))  # nothing to resize
    whole.zero_()
    assert message.data == before
