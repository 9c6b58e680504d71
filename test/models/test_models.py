"""Loading models: what is read from a folder, and what is said when it cannot be."""

import json
import shutil

import numpy as np
import pytest
import torch
from memories import kept
from PIL import Image
from worlds import moving_square

from stc_ros.models import load_model, pick_device
from stc_ros.models.base import ModelError
from stc_ros.models.pixels import Pixels
from stc_ros.models.random import random_model, random_tokenizer, random_weights
from stc_ros.models.tower import build_tower
from stc_ros.settings import Settings
from stc_ros.stream import open_stream


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('model')
    random_weights(seed=4).save_pretrained(path)
    random_tokenizer().save_pretrained(path)
    processor = {
        'size': {'height': 24, 'width': 24},
        'image_mean': [0.1, 0.2, 0.3],
        'image_std': [0.5, 0.6, 0.7],
        'resample': 2,
    }
    (path / 'preprocessor_config.json').write_text(json.dumps(processor))
    (path / 'stc.json').write_text(
        json.dumps(
            {
                'narration': 'what is moving in {frames} frames ?',
                'questions': ['a', 'b', 'c'],
                'frames': [8, 16],
                'event': 'it (fell|broke)',
            }
        )
    )
    return path


def test_a_saved_folder_is_the_same_model(folder):
    loaded, made = load_model(Settings({'model.name': str(folder), 'model.device': 'cpu'})), random_model(seed=4)
    loaded_pixels, loaded.pixels = loaded.pixels, made.pixels
    streams = [open_stream(m, Settings({'cacher.method': 'none', 'pruner.method': 'none'})) for m in (loaded, made)]
    for frame in moving_square(3):
        for stream in streams:
            stream.see(frame, 0)
    assert all(map(torch.equal, kept(streams[0]), kept(streams[1])))
    assert loaded_pixels == Pixels(24, 24, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), 'bilinear')
    assert (loaded.narration.event, made.narration.event) == ('it (fell|broke)', '')
    asked = [loaded.narration.ask('', frames, 2) for frames in (3, 8, 9, 10, 18, 99)]
    assert asked == [f'what is moving in {n} frames ?' for n in (8, 8, 8, 16, 16, 16)]
    assert made.narration.ask('{frames} frames, {seconds} s ?', 3, 2) == '3 frames, 2 s ?'
    assert loaded.chat.suffix('red ?') == made.chat.suffix('red ?') and loaded.chat.stops == made.chat.stops


def test_an_event_that_is_no_pattern_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / 'model')
    (tmp_path / 'model' / 'stc.json').write_text('{"event": "it (fell"}')
    with pytest.raises(ModelError, match='"event" in stc.json is no regular expression'):
        load_model(Settings({'model.name': str(tmp_path / 'model'), 'model.device': 'cpu'}))


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_another_dtype_streams_too(folder, dtype):
    stream = open_stream(load_model(Settings({'model.name': str(folder), 'model.device': 'cpu', 'model.dtype': dtype})))
    for frame in moving_square(4):
        stream.see(frame, 0)
    list(stream.ask('what is moving ?', 4))
    assert stream.memory.keys.dtype == getattr(torch, dtype) and torch.isfinite(kept(stream)[0]).all()


@pytest.mark.parametrize(
    ('model', 'says'),
    [
        ('/no/such/folder', 'no model folder'),
        ('./nowhere', 'no model folder'),
        ('just-a-name', 'no model folder'),
        ('.', 'config.json'),
    ],
)
def test_a_wrong_path_is_reported_and_nothing_is_downloaded(model, says):
    with pytest.raises(ModelError, match=says):
        load_model(Settings({'model.name': model, 'model.device': 'cpu'}))


def test_a_broken_folder_is_reported(folder, tmp_path):
    (tmp_path / 'config.json').write_text((folder / 'config.json').read_text())
    with pytest.raises(ModelError, match='complete'):
        load_model(Settings({'model.name': str(tmp_path), 'model.device': 'cpu'}))
    (tmp_path / 'config.json').write_text('{"model_type": "gpt2"}')
    with pytest.raises(ModelError, match="'gpt2'; supported are .*'llava_onevision'"):
        load_model(Settings({'model.name': str(tmp_path), 'model.device': 'cpu'}))


@pytest.mark.parametrize('device', ['nonsense', 'cuda:97', 'cuda' if not torch.cuda.is_available() else 'cuda:98'])
def test_a_device_that_is_not_there_is_reported(device):
    with pytest.raises(ModelError, match=device):
        pick_device(device)


@pytest.mark.parametrize(('number', 'name'), [(2, 'bilinear'), (3, 'bicubic')])
def test_the_resize_is_pillows(number, name):
    rng = np.random.default_rng(0)
    smooth = np.asarray(Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((200, 150), 3))
    for size in ((48, 48), (112, 80), (240, 300)):
        ours = Pixels(*size, resample=name).resize(smooth)[0].permute(1, 2, 0).numpy()
        pillows = np.asarray(Image.fromarray(smooth).resize(size[::-1], number))
        assert ours.shape == pillows.shape and np.abs(ours.astype(int) - pillows.astype(int)).max() <= 2


def test_normalising_is_the_formula():
    pixels = Pixels(4, 4, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    image = torch.randint(0, 256, (1, 3, 4, 4), dtype=torch.uint8)
    out = pixels.normalise(image, 'cpu', torch.float32)
    assert out[0, 2, 1, 3] == pytest.approx((int(image[0, 2, 1, 3]) / 255 - 0.3) / 0.7, abs=1e-6)


def test_a_layer_that_the_tower_has_not_is_refused():
    weights = random_weights()
    assert len(build_tower(weights.model.vision_tower, -2, 'full').blocks) == 2
    with pytest.raises(ValueError, match='vision_feature_layer'):
        build_tower(weights.model.vision_tower, -9, 'full')
