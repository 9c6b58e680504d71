"""The rules that every registered cacher keeps, whoever wrote it."""

import math

import pytest
import torch
from toy_tower import attentive_model, embed, pictures, plain
from transformers import CLIPVisionConfig, CLIPVisionModel
from worlds import moving_square

from stc_ros.models.tower import build_tower
from stc_ros.parameters import cachers
from stc_ros.stream import open_stream
from stc_ros.vision.cachers.base import most_bytes
from stc_ros.vision.cachers.layerwise import compute

PATCHES, SIMILARITIES = 36, (0.0, 0.9, 0.995, 1.0)
CLOSE = {'atol': 1e-5, 'rtol': 1e-5}
every_cacher = pytest.mark.parametrize('name', cachers.names())


@pytest.fixture(scope='module')
def model():
    return attentive_model()


@pytest.fixture(scope='module')
def images(model):
    """Motion, rest, another picture, and motion again; uint8 [1, 3, 24, 24] each."""
    moving = moving_square(6)
    return pictures(model, [*moving, *[moving[-1]] * 5, *moving_square(4, seed=9, step=5)])


@torch.inference_mode()
def encode(model, cacher, image, cache_similarity=0.995, refresh=False):
    """What the cacher gives of a picture, copied: the next frame may overwrite it. (features, entry, recomputed)."""
    encoded = cacher.encode(model.tower, image, lambda: embed(model, image), cache_similarity, refresh)
    return None if encoded is None else tuple(t.clone() for t in (encoded.features, encoded.entry, encoded.recomputed))


def same(one, two):
    return one is two is None or all(map(torch.equal, one, two))


@torch.inference_mode()
def entry_of(tower, x):
    """The last block's input of embedded tokens x, by the plain tower."""
    for block in tower.blocks[:-1]:
        x, _ = compute(block, x)
    return x


@every_cacher
@pytest.mark.parametrize('cache_similarity', SIMILARITIES)
def test_features_have_their_shapes_and_shares_their_range(model, images, name, cache_similarity):
    cacher = cachers.create(name)
    for image in images:
        given = encode(model, cacher, image, cache_similarity)
        if given is None:
            continue
        features, entry, recomputed = given
        assert features.shape == entry.shape == (1, PATCHES, 32) and features.dtype == entry.dtype == torch.float32
        assert recomputed.shape == (PATCHES,) and recomputed.dtype == torch.float32
        assert torch.isfinite(features).all() and 0 <= recomputed.min() and recomputed.max() <= 1 + 1e-6
        assert math.isnan(cacher.similarity) or -1 <= cacher.similarity <= 1


@every_cacher
@pytest.mark.parametrize('cache_similarity', SIMILARITIES)
def test_the_first_frame_recomputes_all(model, images, name, cache_similarity):
    features, entry, recomputed = encode(model, cachers.create(name), images[0], cache_similarity)
    torch.testing.assert_close(features, plain(model, images[0]), **CLOSE)
    torch.testing.assert_close(entry, entry_of(model.tower, embed(model, images[0])), **CLOSE)
    assert (recomputed == 1).all()


@every_cacher
@pytest.mark.parametrize('cache_similarity', SIMILARITIES)
def test_a_refresh_gives_the_plain_features_whenever_it_comes(model, images, name, cache_similarity):
    cacher = cachers.create(name)
    for t, image in enumerate(images):
        refresh = t % 3 == 2 or t == 10  # also of pictures at rest
        given = encode(model, cacher, image, cache_similarity, refresh)
        if refresh:
            torch.testing.assert_close(given[0], plain(model, image), **CLOSE)
            torch.testing.assert_close(given[1], entry_of(model.tower, embed(model, image)), **CLOSE)
            assert (given[2] == 1).all()


@every_cacher
def test_a_plain_cacher_reuses_nothing(model, images, name):
    cacher = cachers.create(name)
    if cacher.plain:
        for image in images:
            features, _, recomputed = encode(model, cacher, image, 0.0)
            assert torch.equal(features, plain(model, image)) and (recomputed == 1).all()


def test_no_cacher_is_plain():
    assert cachers.create('none').plain


@every_cacher
def test_a_reset_makes_the_stream_start_anew(model, images, name):
    used, fresh = cachers.create(name), cachers.create(name)
    for image in images:
        encode(model, used, image)
    used.reset()
    assert used.bytes == fresh.bytes
    for image in images[3:]:
        assert same(encode(model, used, image), encode(model, fresh, image))
    assert used.similarity == fresh.similarity or math.isnan(used.similarity) and math.isnan(fresh.similarity)


@every_cacher
def test_two_streams_in_turn_equal_each_alone(model, images, name):
    streams, alone = (images, images[::-1]), []
    for stream in streams:
        cacher = cachers.create(name)
        alone.append([encode(model, cacher, image) for image in stream])
    one, two = cachers.create(name), cachers.create(name)
    for i, (a, b) in enumerate(zip(*streams)):
        assert same(encode(model, one, a), alone[0][i]) and same(encode(model, two, b), alone[1][i])


@every_cacher
def test_bytes_are_bounded(model, images, name):
    most = most_bytes(model.tower, images[0][0, 0].numel(), 4)
    cacher = cachers.create(name)
    for image in images * 2:
        encode(model, cacher, image)
        assert 0 <= cacher.bytes <= most


@every_cacher
def test_pictures_are_left_as_they_are_and_embedded_once_at_most(model, images, name):
    cacher, embedded = cachers.create(name), []
    for image in images:
        before, count = image.clone(), len(embedded)
        with torch.inference_mode():
            cacher.encode(model.tower, image, lambda image=image: embedded.append(1) or embed(model, image), 0.9)
        assert torch.equal(image, before) and len(embedded) <= count + 1


@every_cacher
@torch.inference_mode()
def test_class_tokens_are_no_patches(name):
    """The features have them, the shares recomputed do not."""
    torch.manual_seed(0)
    size = {'hidden_size': 32, 'intermediate_size': 64, 'num_hidden_layers': 2, 'num_attention_heads': 2}
    tower = build_tower(CLIPVisionModel(CLIPVisionConfig(**size, image_size=24, patch_size=4)).eval(), -1, 'full')
    cacher, image = cachers.create(name), torch.zeros(1, 3, 24, 24, dtype=torch.uint8)
    for refresh in (False, False, True):
        image = image.clone()
        image[..., :8, :8] += 40
        encoded = cacher.encode(tower, image, lambda image=image: tower.embed(image / 255), 0.9, refresh)
        assert encoded.features.shape == encoded.entry.shape == (1, PATCHES + 1, 32)
        assert encoded.recomputed.shape == (PATCHES,)
    assert (encoded.recomputed == 1).all()


@every_cacher
def test_a_stream_runs_with_it_and_answers(model, name):
    stream = open_stream(model, {'cacher': name})
    reports = [stream.see(frame, i) for i, frame in enumerate([*moving_square(4)] * 2)]
    assert reports[0].patches_recomputed == PATCHES and all(0 <= r.patches_recomputed <= PATCHES for r in reports)
    assert reports[-1].memory_bytes == stream.memory.bytes + stream.cacher.bytes
    assert ''.join(stream.ask('what is moving ?', 4)) and stream.stats().frames == 8
