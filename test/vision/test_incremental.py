"""The incremental cacher: exact where everything is recomputed, bounded and cheap elsewhere."""

import math

import numpy as np
import pytest
import torch
from toy_tower import INCREMENTAL, attentive_model, embed, pictures, plain, run, step
from transformers import CLIPVisionConfig, CLIPVisionModel
from worlds import moving_square

from stc_ros.models.random import SIZES, random_model
from stc_ros.models.tower import build_tower
from stc_ros.vision.cachers.bound import MOST_CHANGE, Bound
from stc_ros.vision.cachers.drift import FEWEST
from stc_ros.vision.cachers.incremental import WHOLE, encode_incremental
from stc_ros.vision.cachers.patches import bucket, choose_changed, pooled_with, replace_patches, similarity
from stc_ros.vision.cachers.rows import compute_all, compute_rows, run_block


@pytest.fixture(scope='module')
def model():
    return attentive_model()


EXACT = INCREMENTAL | {'cache_similarity': 1.0, 'cacher.incremental.static_frame_stride': 1}


def test_where_nothing_may_be_reused_of_what_has_changed_it_is_the_plain_tower(model):
    images = pictures(model, [frame for frame in moving_square(5) for _ in range(2)])
    for t, (image, (y, recomputed)) in enumerate(zip(images, run(model, images, EXACT))):
        torch.testing.assert_close(y, plain(model, image), atol=1e-5, rtol=1e-5)
        assert recomputed.all() == (t % 2 == 0)  # every second one is the same to the last bit


def test_one_grey_level_of_one_pixel_is_a_change_where_nothing_may_be_reused(model):
    first = pictures(model, moving_square(1))[0]
    second = first.clone()
    second[0, 0, 9, 9] ^= 1
    (_, _), (y, recomputed) = run(model, [first, second], EXACT)
    assert recomputed.all()
    torch.testing.assert_close(y, plain(model, second), atol=1e-5, rtol=1e-5)


def test_a_refresh_is_the_plain_tower_however_much_may_be_reused(model):
    state = None
    for image in pictures(model, moving_square(4)):
        state, recomputed = step(model, state, image, INCREMENTAL | {'cache_similarity': 0.0}, refresh=True)
        torch.testing.assert_close(state.features, plain(model, image), atol=1e-5, rtol=1e-5)
        assert recomputed.all()


def test_rows_of_everything_equal_the_plain_tower(model):
    """The path of rows itself, with every row over a cache of another picture."""
    first, second = pictures(model, moving_square(1) + moving_square(1, seed=9))
    with torch.inference_mode():
        state = compute_all(model.tower, embed(model, first))
        compute_rows(model.tower, state, embed(model, second), torch.arange(36))
    torch.testing.assert_close(state.features, plain(model, second), atol=1e-5, rtol=1e-5)


def test_a_token_attends_to_the_cached_keys_and_values_of_the_others(model):
    """One layer against a softmax written out: queries of the changed, keys and values of all, as last computed."""
    block, (first, second) = model.tower.blocks[0], pictures(model, moving_square(2, step=9))
    rows = torch.tensor([3, 4, 20])
    with torch.inference_mode():
        x, y = embed(model, first)[0], embed(model, second)[0]
        _, held = run_block(block, x[None], None, None, None)
        out, again = run_block(block, y[None, rows], held, rows, None)
        assert again is held  # in place
        mixed_input = block.norm1(torch.where(torch.isin(torch.arange(36), rows)[:, None], y, x))
        k, v, q = block.k(mixed_input), block.v(mixed_input), block.q(mixed_input)
        size = x.shape[1] // block.heads
        for n, row in enumerate(rows):
            heads = [
                torch.softmax(k[:, c] @ q[row, c] / size**0.5, 0) @ v[:, c]
                for c in (slice(h * size, (h + 1) * size) for h in range(block.heads))
            ]
            u = y[row] + block.out(torch.cat(heads))
            torch.testing.assert_close(out[0, n], u + block.mlp(block.norm2(u)), atol=1e-5, rtol=1e-5)


def cells(which):
    """Of bool [36], 6 x 6 patches: all those whose square of 2 x 2 holds one."""
    return which.view(3, 2, 3, 2).any(3, keepdim=True).any(1, keepdim=True).expand(3, 2, 3, 2).flatten()


def test_only_the_cells_of_what_changed_are_recomputed_and_they_are_whole(model):
    images = pictures(model, moving_square(6))
    state = None
    for image in images:
        changed = None
        if state is not None:
            changed = cells(choose_changed(similarity(image, state.image, model.tower.grid), state.bound, 0.1))
        state, recomputed = step(model, state, image, INCREMENTAL)
        if changed is not None:
            assert changed.any() and recomputed[changed].all()
            work = int(recomputed.sum())
            assert changed.sum() < work < 36 and work == bucket(work, 36)  # samples, too, and a whole bucket


@pytest.mark.parametrize('side', [6, 27, 7])
def test_no_visual_token_is_left_half_stale(side, monkeypatch):
    """On even and odd grids, as the model itself pools: bilinear, so that an odd grid's cells are no 2 x 2."""
    vision, text = SIZES['toy']
    monkeypatch.setitem(SIZES, 'odd', (vision | {'image_size': 4 * side}, text | {'max_position_embeddings': 1000}))
    model = random_model('odd')
    changed = torch.rand(20, side * side, generator=torch.Generator().manual_seed(0)) < 0.02
    for which in changed:
        along = pooled_with(which, model.tower)
        assert (along | ~which).all()
        parts = model.pool(torch.stack((which, along), 1)[None].float())[0]  # [n, 2]: what of a token it is
        assert (parts[parts[:, 0] > 0.05, 1] > (0.999 if side == 6 else 0.89)).all()
        assert along.sum() <= (4 if side == 6 else 9) * which.sum()
        if side == 6:
            assert torch.equal(along, cells(which))


def test_similarity_is_what_the_docstring_says(model):
    old = torch.zeros(1, 3, 24, 24, dtype=torch.uint8)
    new = old.clone()
    new[..., :4, :4], new[..., 4:8, :4] = 16, 64
    new[..., 8:10, :4] = 32  # half of a patch: root mean square 22.6
    alike = similarity(new, old, (6, 6)).view(6, 6)
    expected = torch.ones(6, 6)
    expected[:3, 0] = torch.tensor([0.75, 0.0, 1 - 32 / 2**0.5 / 64])
    torch.testing.assert_close(alike, expected)


def test_patches_beyond_a_ragged_edge_do_not_shift():
    """384 pixels hold 27 patches of 14, and 6 more that no patch covers."""
    old, new = torch.zeros(1, 3, 384, 384, dtype=torch.uint8), torch.full((1, 3, 384, 384), 9, dtype=torch.uint8)
    which = torch.zeros(27, 27, dtype=torch.bool)
    which[26, 13] = True
    mixed = replace_patches(old, new, which)
    assert mixed[..., 26 * 14 : 27 * 14, 13 * 14 : 14 * 14].eq(9).all() and mixed.sum() == 9 * 3 * 14 * 14
    alike = similarity(mixed, old, (27, 27)).view(27, 27)
    assert (alike < 1).nonzero().tolist() == [[26, 13]]


def test_every_patch_has_its_turn_as_a_sample(model):
    """In every frame at least one of those that have not changed, however little effort there is."""
    images = pictures(model, moving_square(100))
    last = torch.zeros(36, dtype=torch.long)
    for t, (_, recomputed) in enumerate(run(model, images, (INCREMENTAL | {'cache_similarity': 0.5}))):
        last[recomputed] = t
        assert t - last.min() <= 36


def test_the_error_falls_as_more_similarity_is_asked_for(model):
    images = pictures(model, moving_square(48, step=2))
    errors, shares = [], []
    for tau in (0.9, 0.998, 0.9995):
        out = run(model, images, (INCREMENTAL | {'cache_similarity': tau}))
        errors.append(
            np.mean([float((y - plain(model, i)).norm() / plain(model, i).norm()) for i, (y, _) in zip(images, out)])
        )
        shares.append(np.mean([float(r.float().mean()) for _, r in out]))
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.1 and shares[0] < shares[1] < shares[2]


def test_a_static_scene_costs_nothing_but_every_so_manyth_frame(model):
    images = pictures(model, moving_square(1)) * 17
    work = [int(r.sum()) for _, r in run(model, images, INCREMENTAL)]
    assert work[0] == 36 and [t for t, n in enumerate(work) if n] == [0, 1, 2, 10]  # rest is processed twice
    assert work[1] == work[10] == bucket(2 * FEWEST, 36)
    exact = run(model, images, INCREMENTAL)[-1][0]
    torch.testing.assert_close(exact, plain(model, images[0]), atol=1e-5, rtol=1e-5)


def test_a_slow_change_does_not_creep_in_unseen(model):
    """Each step is below the threshold; against its own last recompute the sum is not."""
    frame = moving_square(1)[0]
    images = pictures(model, [np.clip(frame.astype(int) + 2 * t, 0, 255).astype(np.uint8) for t in range(30)])
    state, partial = None, 0
    for image in images:
        state, recomputed = step(model, state, image, INCREMENTAL | {'cache_similarity': 0.0})
        partial += not recomputed.all()
        assert similarity(image, state.image, model.tower.grid).min() >= 1 - MOST_CHANGE
    assert partial > 15


def test_much_change_is_a_dense_pass(model):
    images = pictures(model, moving_square(1) + moving_square(1, seed=5))
    (_, _), (y, recomputed) = run(model, images, INCREMENTAL)
    assert recomputed.all()
    torch.testing.assert_close(y, plain(model, images[1]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('stride', [2, 8, 64])
def test_every_patch_has_its_turn_however_long_the_picture_rests(model, stride):
    """Counted in frames that are processed: between them there is nothing to be late for."""
    images, waited = pictures(model, moving_square(1)) * (stride * 40), torch.zeros(36, dtype=torch.long)
    processed = 0
    for _, recomputed in run(model, images, (INCREMENTAL | {'cacher.incremental.static_frame_stride': stride})):
        if recomputed.any():
            waited, processed = (waited + 1).masked_fill(recomputed, 0), processed + 1
            assert waited.max() < math.ceil(36 / bucket(1, 36)) + 1
    assert processed > 30


def test_buckets_are_few_and_never_too_small():
    for patches in (4, 16, 36, 196, 256, 576, 729):
        sizes = {bucket(n, patches) for n in range(1, patches + 1)}
        assert len(sizes) <= 32 and all(n <= bucket(n, patches) <= patches for n in range(1, patches + 1))


def test_nothing_is_chosen_of_the_same_picture_and_all_of_another(model):
    first, other = pictures(model, moving_square(1) + moving_square(1, seed=5))
    for allowed in (0, 0.005, 0.1):
        assert not choose_changed(similarity(first, first, (6, 6)), Bound(), allowed).any()
        assert choose_changed(similarity(other, first, (6, 6)), Bound(), allowed).float().mean() > WHOLE


def test_more_effort_counts_less_change_as_change_but_not_the_noise_of_a_camera():
    alike = torch.linspace(0.8, 1, 100)
    counts = [int(choose_changed(alike, Bound(effort=effort), 0.005).sum()) for effort in (0.5, 1, 2, 4)]
    assert counts == sorted(counts) and counts[0] < counts[-1]
    noisy = torch.full((100,), 0.92)
    noisy[:3] = 0.7
    assert choose_changed(noisy, Bound(effort=4.0), 0.005).nonzero()[:, 0].tolist() == [0, 1, 2]


def test_class_tokens_are_always_recomputed():
    torch.manual_seed(0)
    clip = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=24,
            patch_size=4,
        )
    ).eval()
    tower = build_tower(clip, -1, 'full')
    with torch.inference_mode():
        x = torch.randn(1, 3, 24, 24)
        image = torch.zeros(1, 3, 24, 24, dtype=torch.uint8)
        state, _ = encode_incremental(tower, None, image, lambda: tower.embed(x), 0.9)
        before = state.features.clone()
        image = image.clone()
        image[..., :4, :4] = 99
        x[..., :4, :4] += 1
        state, recomputed = encode_incremental(tower, state, image, lambda: tower.embed(x), 0.9)
    moved = (state.features != before).any(-1)[0]
    assert moved[0] and recomputed[0] and moved[1:][recomputed].all()
