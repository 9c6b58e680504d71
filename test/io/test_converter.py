"""Two converters, one result: cv_bridge and rosbags-image, whichever is there, against what numpy computes."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from stc_ros.io import converter
from stc_ros.io.converter import ENCODINGS, to_rgb8
from stc_ros.io.image_messages import FrameInvalid, to_picture

HEIGHT, WIDTH = 8, 10
rng = np.random.default_rng(3)
NOISE = rng.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
WIDE = rng.integers(0, 65536, (HEIGHT, WIDTH, 4), np.uint16)
ORDERS = {'rgb': (0, 1, 2), 'bgr': (2, 1, 0), 'rgba': (0, 1, 2), 'bgra': (2, 1, 0)}
PATTERNS = ('rggb', 'bggr', 'gbrg', 'grbg')


@pytest.fixture(autouse=True)
def fresh():
    """No converter is remembered from test to test."""
    converter.converter.cache_clear()
    yield
    converter.converter.cache_clear()


def channels_of(encoding):
    return {'8UC3': 'bgr', '8UC4': 'bgra'}.get(encoding, encoding.rstrip('0123456789'))


def sample(encoding):
    """What a camera sends, and the RGB that it means, as float [H, W, 3]; and how far off a converter may be."""
    name = channels_of(encoding)
    if name in ORDERS:
        source = (WIDE if encoding.endswith('16') else NOISE)[..., : len(name)]
        means = source[..., ORDERS[name]].astype(float)
        return source, means / 257 if encoding.endswith('16') else means, 0.5
    if encoding in ('mono8', '8UC1', 'mono16'):
        source = WIDE[..., 0] if encoding == 'mono16' else NOISE[..., 0]
        grey = source / 257 if encoding == 'mono16' else source.astype(float)
        return source, np.repeat(grey[..., None], 3, 2), 0.5
    if encoding.startswith('bayer'):  # a picture of one colour, of which a mosaic tells all
        colour = np.array((200, 90, 30), np.uint8)
        source = np.empty((HEIGHT, WIDTH), np.uint8)
        for place, channel in enumerate(encoding[6:10]):
            source[place // 2 :: 2, place % 2 :: 2] = colour['rgb'.index(channel)]
        return source, np.broadcast_to(colour.astype(float), (HEIGHT, WIDTH, 3)), 0.5
    y = rng.integers(40, 200, (HEIGHT, WIDTH)).astype(np.uint8)
    u, v = (rng.integers(100, 156, (HEIGHT, WIDTH // 2)).astype(np.uint8) for _ in 'uv')
    parts = (u, y[:, ::2], v, y[:, 1::2]) if encoding in ('uyvy', 'yuv422') else (y[:, ::2], u, y[:, 1::2], v)
    luma, blue, red = 1.164 * (y - 16.0), *(np.repeat(c, 2, 1) - 128.0 for c in (u, v))
    means = np.stack((luma + 1.596 * red, luma - 0.813 * red - 0.391 * blue, luma + 2.018 * blue), 2)  # Rec. 601
    return np.stack(parts, 2).reshape(HEIGHT, -1), means.clip(0, 255), 1.5


def rows(source):
    return np.ascontiguousarray(source).view(np.uint8).reshape(HEIGHT, -1)


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_every_encoding_means_what_numpy_computes(encoding):
    source, means, off = sample(encoding)
    got = to_rgb8(rows(source), encoding, WIDTH, big_endian=False)
    assert got.shape == (HEIGHT, WIDTH, 3) and got.dtype == np.uint8
    assert np.abs(got - means).max() <= off
    if encoding.endswith('16'):
        assert np.array_equal(to_rgb8(rows(source.byteswap()), encoding, WIDTH, big_endian=True), got)


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_cv_bridge_and_rosbags_image_give_the_same(encoding, monkeypatch):
    pytest.importorskip('cv_bridge', reason='cv_bridge is not here: source a ROS that has it')
    source, _, _ = sample(encoding)
    found = []
    for make in (converter.cv_bridge, converter.rosbags_image):
        monkeypatch.setattr(converter, 'converter', make)
        found.append(to_rgb8(rows(source), encoding, WIDTH, big_endian=False))
    assert np.array_equal(*found)


class OldBridge:
    """cv_bridge of ROS 2 Humble: of the 4:2:2 encodings it knows the long names only, and it fails in its own way."""

    calls: list[str] = []

    def imgmsg_to_cv2(self, image, wanted):
        self.calls.append(image.encoding)
        if image.encoding in ('uyvy', 'yuyv'):
            raise RuntimeError(f'Unrecognized image encoding [{image.encoding}]')
        return converter.rosbags_image()(image)


def bridge(monkeypatch, kind):
    module = ModuleType('cv_bridge')
    module.CvBridge = kind
    monkeypatch.setitem(sys.modules, 'cv_bridge', module)


@pytest.mark.parametrize('encoding', ['uyvy', 'yuyv'])
def test_a_cv_bridge_that_knows_only_the_long_names_converts_the_short_ones(encoding, monkeypatch):
    bridge(monkeypatch, OldBridge)
    source, means, off = sample(encoding)
    OldBridge.calls.clear()
    assert np.abs(to_rgb8(rows(source), encoding, WIDTH, False) - means).max() <= off
    assert OldBridge.calls == ['bgr8', {'uyvy': 'yuv422', 'yuyv': 'yuv422_yuy2'}[encoding]]
    monkeypatch.setattr(converter, 'ALIASES', {})
    with pytest.raises(RuntimeError, match='Unrecognized'):  # what it was before
        to_rgb8(rows(source), encoding, WIDTH, False)


class WrongBridge:
    def imgmsg_to_cv2(self, image, wanted):
        return image.data.reshape(image.height, image.width, 3)


class BrokenBridge:
    def __init__(self):
        raise AttributeError('_ARRAY_API not found')


@pytest.mark.parametrize('kind', [WrongBridge, BrokenBridge])
def test_a_cv_bridge_that_does_not_work_is_not_used(kind, monkeypatch):
    bridge(monkeypatch, kind)
    source, means, off = sample('bgr8')
    assert np.abs(to_rgb8(rows(source), 'bgr8', WIDTH, False) - means).max() <= off


def test_a_picture_on_which_a_converter_fails_is_refused_and_no_failure_of_the_model(monkeypatch):
    class Moody(OldBridge):
        def imgmsg_to_cv2(self, image, wanted):
            if image.encoding == 'bgr8':
                return super().imgmsg_to_cv2(image, wanted)
            raise SystemError('error return without exception set')

    bridge(monkeypatch, Moody)
    data = np.zeros(HEIGHT * WIDTH * 2, np.uint8)
    message = SimpleNamespace(encoding='uyvy', height=HEIGHT, width=WIDTH, step=2 * WIDTH, is_bigendian=0, data=data)
    with pytest.raises(FrameInvalid, match='uyvy cannot be converted: error return') as refusal:
        to_picture(message)
    assert refusal.value.kind == 'conversion'
