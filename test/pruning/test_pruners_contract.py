"""The rules that every registered pruner keeps, whoever wrote it."""

import pytest
import torch
from given_frames import frames, given_frame, same, select_all
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from released import ReleasedPruner
from worlds import moving_square

from stc_ros.models.random import random_model
from stc_ros.parameters import cachers, pruners
from stc_ros.pruning.base import budget
from stc_ros.vision.encode import encode_frame

MAKE = {part.name: part.cls for part in pruners} | {'released': ReleasedPruner}
FRAME_ALONE = [part.name for part in pruners if part.scope == 'frame']
MERGING = [name for name, cls in MAKE.items() if cls.merges]
every_pruner = pytest.mark.parametrize('name', MAKE)


def test_some_go_by_the_frame_alone_some_merge_and_some_are_exact():
    """Or rules of such would be rules of nothing."""
    assert 'none' in MAKE and FRAME_ALONE and 0 < len(MERGING) < len(MAKE)
    assert 0 < sum(cls.exact for cls in MAKE.values()) < len(MAKE)


def assert_keeps_the_rules(pruner, tokens, selection, prune_ratio):
    index = selection.index.tolist()
    assert selection.index.dtype == torch.int64 and index == sorted(set(index))
    assert not index or (index[0] >= 0 and index[-1] < len(tokens))
    assert selection.tokens.shape == (len(index), tokens.shape[1]) and torch.isfinite(selection.tokens).all()
    if pruner.exact:
        assert len(index) == budget(len(tokens), prune_ratio)
    if not pruner.merges:
        torch.testing.assert_close(selection.tokens, tokens[selection.index])


@every_pruner
@hypothesis_settings(deadline=None, max_examples=40)
@given(
    ratio=st.floats(0, 0.95),
    tokens=st.one_of(st.sampled_from([1, 2, 3, 16, 49]), st.integers(1, 60)),
    constant=st.booleans(),
)
def test_indices_ascend_are_unique_and_in_range_and_tokens_belong_to_them(name, ratio, tokens, constant):
    stream = [torch.ones_like(x) if constant else x for x in frames(3, tokens, 8)]
    once, again = select_all(MAKE[name](), stream, ratio), select_all(MAKE[name](), stream, ratio)
    for x, one, two in zip(stream, once, again):
        assert_keeps_the_rules(MAKE[name], x, one, ratio)
        assert same(one, two)  # ties included
        if constant:  # a mean of equals is what they are
            torch.testing.assert_close(one.tokens, x[one.index])


@every_pruner
def test_ratio_zero_is_the_identity(name):
    for x, selection in zip(frames(), select_all(MAKE[name](), frames(), 0.0)):
        assert torch.equal(selection.index, torch.arange(49))
        assert torch.equal(selection.tokens, x)


@every_pruner
def test_the_first_frame_is_never_dropped(name):
    for ratio in (0.0, 0.5, 0.95):
        assert len(select_all(MAKE[name](), frames(1), ratio)[0].index) >= 1


@every_pruner
def test_a_frame_is_pruned_without_knowing_those_to_come(name):
    one = frames(6)
    other = [*one[:3], *frames(3, seed=8)]
    for a, b in list(zip(select_all(MAKE[name](), one), select_all(MAKE[name](), other)))[:3]:
        assert same(a, b)


@every_pruner
def test_two_streams_in_turn_do_not_know_of_each_other(name):
    streams = frames(5), frames(5, seed=4)
    each = MAKE[name](), MAKE[name]()
    together = [[p.select(given_frame(x), 0.67) for p, x in zip(each, pair)] for pair in zip(*streams)]
    for side in (0, 1):
        for mixed, alone in zip(together, select_all(MAKE[name](), streams[side])):
            assert same(mixed[side], alone)


@pytest.mark.parametrize('name', FRAME_ALONE)
def test_scope_frame_does_not_depend_on_history(name):
    forth, back = select_all(MAKE[name](), frames()), select_all(MAKE[name](), frames()[::-1])
    for a, b in zip(forth, back[::-1]):
        assert same(a, b)


@every_pruner
def test_a_reset_makes_the_stream_start_anew(name):
    used = MAKE[name]()
    select_all(used, frames(7, seed=3))
    used.reset()
    for after, fresh in zip(select_all(used, frames()), select_all(MAKE[name](), frames())):
        assert same(after, fresh)


@every_pruner
def test_the_present_frame_is_not_changed_nor_kept_by_reference(name):
    """A cacher may write the next frame's features into the same memory."""
    buffer, pruner, clean = torch.empty(49, 24), MAKE[name](), select_all(MAKE[name](), frames())
    for x, expected in zip(frames(), clean):
        buffer.copy_(x)
        got = pruner.select(given_frame(buffer), 0.67)
        assert torch.equal(buffer, x) and torch.equal(got.index, expected.index)


@every_pruner
@pytest.mark.parametrize('cacher', cachers.names())
@torch.inference_mode()
def test_it_works_on_what_a_tower_encoded(name, cacher):
    """Tokens equal the whole projection's, and a merge before the projector's last layer equals one behind it."""
    model, pruner, encoder = random_model(), MAKE[name](), cachers.create(cacher)
    for picture in moving_square(4):
        frame = encode_frame(model, encoder, model.pixels.resize(picture), 0.995)
        if frame is None:  # a cacher may skip it
            continue
        got = pruner.select(frame, 0.5)
        whole = model.project(frame.features)[0]
        assert_keeps_the_rules(pruner, whole, got, 0.5)
        if pruner.merges:
            share = torch.eye(9)[::2] * 0.5 + 0.5 / 9
            torch.testing.assert_close(frame.mix(share), share @ whole, atol=1e-5, rtol=1e-5)
        else:
            torch.testing.assert_close(got.tokens, whole[got.index], atol=1e-5, rtol=1e-5)
