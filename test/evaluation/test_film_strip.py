"""The frames before a question: those that were seen, of its own camera, and the same after a kill."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from stc_ros.evaluation.film_strip import SIZE, FilmStrip
from stc_ros.evaluation.thumbnails import FOLDER
from stc_ros.report import FrameReport

SECOND = 10**9


def event(t, level=90, size=(36, 64)):
    """A processed frame of that brightness, of which nothing was recomputed and all was sent."""
    report = FrameReport(
        stamp=round(t * SECOND), grid=(4, 4), token_grid=(2, 2), recomputed=np.zeros(16, np.float32), kept=np.arange(4),
        patches=16, patches_recomputed=0.0, similarity=0.99, visual_tokens=4, visual_tokens_kept=4, ms={},
        scene_change=False, first_stamp=0, memory_tokens=4, tokens_waiting=0, memory_bytes=0,
    )  # fmt: skip
    image = np.full((*size, 3), level, np.uint8)
    return SimpleNamespace(
        report=report, frame=SimpleNamespace(picture=SimpleNamespace(array=lambda least=None: image))
    )


@pytest.fixture
def strip(tmp_path):
    (tmp_path / FOLDER).mkdir()
    return FilmStrip(tmp_path)


def seconds(found):
    return [each['stamp'] / SECOND for each in found]


def test_frames_about_one_two_four_and_eight_seconds_before(strip):
    for n in range(201):
        strip.see('/a', event(n / 10))
    assert seconds(strip.save('/a', 20 * SECOND)) == [12, 16, 18, 19]
    assert seconds(strip.save('/a', round(20.4 * SECOND))) == [12, 16, 18, 19]


def test_at_the_beginning_there_are_fewer_and_never_the_newest_itself(strip):
    assert strip.save('/a', 0) == []
    strip.see('/a', event(0))
    assert strip.save('/a', 0) == []
    strip.see('/a', event(0.1))
    assert seconds(strip.save('/a', SECOND // 10)) == [0]
    for t in (3, 6):  # a slow camera
        strip.see('/a', event(t))
    assert seconds(strip.save('/a', 6 * SECOND)) == [0, 3]


def test_each_camera_has_its_own(strip, tmp_path):
    for t in range(3):
        strip.see('/a', event(t, 40))
        strip.see('/b', event(t, 200))
    for camera, level in (('/a', 40), ('/b', 200)):
        found = strip.save(camera, 2 * SECOND)
        assert seconds(found) == [0, 1]
        for each in found:
            picture = Image.open(tmp_path / each['overlay'])
            assert max(abs(np.array(picture.getpixel((32, 18))) - level)) < 8 and picture.format == 'JPEG'
    assert len(list((tmp_path / FOLDER).iterdir())) == 4


def test_pictures_are_small(strip, tmp_path):
    strip.see('/a', event(0, size=(1080, 1920)))
    (each,) = strip.save('/a', SECOND)
    data = (tmp_path / each['overlay']).read_bytes()
    assert Image.open(io.BytesIO(data)).width == SIZE and len(data) < 10_000


def test_what_is_held_does_not_grow(strip):
    for t in range(500):
        strip.see('/a', event(t))
    assert len(strip.state()['/a']) == 10


def test_it_goes_on_from_its_state_to_the_same_pictures(strip, tmp_path):
    for t in range(12):
        strip.see('/a', event(t, 10 * t))
    state = strip.state()
    other = FilmStrip(tmp_path / 'other')
    (tmp_path / 'other' / FOLDER).mkdir(parents=True)
    other.restore(state)
    for each in (strip, other):
        each.see('/a', event(12.5, 130))
        found = each.save('/a', 13 * SECOND)
        assert seconds(found) == [5, 9, 11, 12.5]
    for each in found:
        assert (tmp_path / each['overlay']).read_bytes() == (tmp_path / 'other' / each['overlay']).read_bytes()
