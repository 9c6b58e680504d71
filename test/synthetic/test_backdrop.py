"""Real video behind the objects: the same for the same seed, and nothing else of a world depends on it."""

from dataclasses import replace

import av
import numpy as np
import pytest

from stc_ros.evaluation.episodes import Plan, draw_episode
from stc_ros.io.video import VideoError
from stc_ros.synthetic import PROFILES, World, record
from stc_ros.synthetic.backdrop import EVALUATED, LEARNED, Backdrop, bounce, decode, enlarge


@pytest.fixture(scope='module')
def video(tmp_path_factory):
    """A video of 40 pictures of 128 x 96 pixels: a smooth slope that grows brighter from picture to picture."""
    path = str(tmp_path_factory.mktemp('video') / 'slope.mp4')
    slope = np.add.outer(np.arange(96), np.arange(128)) * 0.4
    with av.open(path, 'w') as file:
        stream = file.add_stream('mpeg4', rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 128, 96, 'yuv420p', 4_000_000
        for t in range(40):
            grey = np.repeat((slope + 3 * t)[..., None], 3, 2).astype(np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format='rgb24')))
        file.mux(stream.encode())
    return path


@pytest.mark.parametrize('profile', PROFILES)
def test_objects_and_truth_do_not_depend_on_it(video, profile):
    plain, over = (record(profile, 5, 8, 112, skip=3, backdrop=b) for b in (None, Backdrop([video])))
    assert np.array_equal(plain.ids, over.ids) and plain.truths == over.truths
    inside, outside = plain.ids > 0, plain.ids == 0
    difference = np.abs(plain.frames.astype(int) - over.frames).mean(-1)
    assert difference[inside].mean() < 3 < difference[outside].mean()


def test_a_stream_repeats_whatever_is_rendered_of_it(video):
    first = record('patrol', 5, 20, backdrop=Backdrop([video]))
    world = World('patrol', 5, Backdrop([video]))
    for t in range(20):
        if t:
            world.step()
        if t % 5 == 0:
            assert np.array_equal(world.render(112), first.frames[t])


def test_it_plays_and_drifts_and_a_seed_has_its_own(video):
    backdrop = Backdrop([video])
    crops = [[backdrop.crop(seed, t, 0, 0, 32) for t in (0, 1, 6)] for seed in range(8)]
    for first, next_, later in crops:
        assert 0.2 < np.abs(first - next_).mean() < np.abs(first - later).mean()
    assert all(np.abs(a[0] - b[0]).mean() > 0.5 for a, b in zip(crops, crops[1:]))
    assert crops[0][0].shape == (32, 32, 3) and crops[0][0].dtype == np.float32


def test_every_size_shows_the_same_picture(video):
    small, large = (Backdrop([video]).crop(3, 4, 2.0, -1.0, size) for size in (56, 168))
    assert np.abs(large.reshape(56, 3, 56, 3, 3).mean((1, 3)) - small)[2:-2, 2:-2].max() < 1.5


def test_what_is_measured_on_is_never_learned_from(video):
    learned, measured = (decode(video, part)[0] for part in (LEARNED, EVALUATED))
    assert len(learned) == 28 and len(measured) == 10
    assert np.array_equal(measured, decode(video, (0.0, 1.0))[0][30:])
    plan = Plan(4, 2, 1, size=32)
    plain, over = (draw_episode('static', 2_000_000_001, replace(plan, backdrop=b)) for b in ((), (video,)))
    assert over.clip.frames.shape == (4, 32, 32, 3) and over.clip.truths == plain.clip.truths
    assert over.asked == plain.asked and not np.array_equal(over.clip.frames, plain.clip.frames)


def test_a_clip_is_played_forth_and_back():
    assert [bounce(t, 3) for t in range(9)] == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert bounce(7, 0) == 0


def test_a_crop_is_a_bilinear_enlargement():
    picture = np.add.outer(np.arange(20), 2 * np.arange(30))[..., None].repeat(3, 2).astype(np.uint8)
    crop = enlarge(picture, 4.0, 6.0, 8.0, 16)
    at = np.arange(16) * 0.5 - 0.25
    assert np.allclose(crop[..., 0], np.add.outer(6 + at, 2 * (4 + at)), atol=1e-3)


def test_it_says_what_is_missing(tmp_path):
    with pytest.raises(VideoError, match='no video'):
        Backdrop([tmp_path / 'none.mp4'])
    with pytest.raises(ValueError, match='at least one'):
        Backdrop([])
