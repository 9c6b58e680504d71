"""The overlay shows what became of a frame, at a size that can be read and costs little."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from fake_stream import FakeStream
from PIL import Image

from stc_ros.io import overlay


def report(**changes):
    made = FakeStream().see(np.zeros((4, 4, 3), np.uint8), 1)
    return replace(made, **changes)


def halves(grid, kept=()):
    """A report of that grid: the left half recomputed, those tokens `kept`; tokens are 2 x 2 patches."""
    rows, cols = grid
    recomputed = np.zeros(grid, np.float32)
    recomputed[:, : cols // 2] = 1
    return report(
        grid=grid,
        token_grid=(rows // 2, cols // 2),
        recomputed=recomputed.reshape(-1),
        kept=np.array(kept, np.int64),
        patches=rows * cols,
        patches_recomputed=rows * cols / 2,
        visual_tokens=rows * cols // 4,
        visual_tokens_kept=len(kept),
    )


@pytest.mark.parametrize(
    'width, height, drawn',
    [
        (24, 24, (336, 336)),
        (640, 480, (640, 480)),
        (768, 432, (768, 432)),
        (3840, 2160, (1280, 720)),
        (4096, 1, (1280, 1)),
    ],
)
def test_it_is_neither_tiny_nor_huge(width, height, drawn):
    """The model waits while it is drawn: a line scan camera's, enlarged until it can be seen, took 5 GB."""
    image = overlay.draw(np.full((height, width, 3), 90, np.uint8), report())
    assert image.dtype == np.uint8 and image.shape[1:] == (drawn[0], 3)
    assert 40 <= image.shape[0] - drawn[1] <= 100  # the legend


@pytest.mark.parametrize('size', [(1, 1), (1, 4096)])
def test_no_picture_is_too_narrow_for_the_legend(size):
    assert overlay.draw(np.zeros((size[1], size[0], 3), np.uint8), report()).ndim == 3


def test_tokens_that_were_sent_are_in_colour_and_others_in_dim_grey():
    picture = np.full((400, 400, 3), (200, 120, 40), np.uint8)
    drawn = overlay.draw(picture, halves((4, 4), kept=[1]))[:400].astype(int)  # 2 x 2 tokens: the upper right one
    assert (drawn[100, 300] == (200, 120, 40)).all()
    for y, x in ((300, 300), (300, 350)):
        assert np.ptp(drawn[y, x]) <= 1 and drawn[y, x].mean() < 0.7 * picture[0, 0].mean() + 15


def test_recomputed_patches_are_outlined_not_covered():
    picture = np.full((400, 400, 3), 60, np.uint8)
    drawn = overlay.draw(picture, halves((4, 4), kept=range(4)))[:400].astype(int)
    amber = np.array(overlay.RECOMPUTED)
    assert np.abs(drawn[150, 199:201] - amber).max() < 40  # where recomputed meets reused,
    assert np.abs(drawn[150, 0] - amber).max() < 40  # and where it ends
    assert 0 < np.abs(drawn[150, 99:101] - 60).max() < 40  # no line between two that were: a faint tint
    assert (drawn[150, 300] == 60).all() and (drawn[150, 399] == 60).all()


def test_a_share_of_the_layers_is_a_fainter_line():
    whole, half = (halves((4, 4), kept=range(4)) for _ in range(2))
    half = replace(half, recomputed=half.recomputed / 2)
    picture = np.full((400, 400, 3), 60, np.uint8)
    lines = [overlay.draw(picture, each)[150, 200].astype(int).sum() for each in (half, whole)]
    assert 180 < lines[0] < lines[1]


def test_the_gauges_show_the_shares():
    drawn = overlay.draw(np.zeros((432, 768, 3), np.uint8), halves((4, 4), kept=[0]))[432:]
    left, right = ((drawn == colour).all(-1).sum(1).max() for colour in (overlay.RECOMPUTED, overlay.SENT))
    column = (768 - 3 * 16) / 2
    assert left == pytest.approx(column / 2, abs=4) and right == pytest.approx(column / 4, abs=4)


def test_it_can_be_drawn_when_nothing_was_measured():
    rest = replace(halves((4, 4)), recomputed=np.zeros(16, np.float32), patches_recomputed=0.0)
    assert overlay.draw(np.zeros((24, 32, 3), np.uint8), replace(rest, similarity=math.nan)).any()


def test_jpeg():
    picture = np.full((16, 24, 3), 90, np.uint8)
    with Image.open(io.BytesIO(overlay.to_jpeg(picture))) as image:
        assert (image.format, image.size) == ('JPEG', (24, 16))
