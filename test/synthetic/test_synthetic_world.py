"""Synthetic worlds: the truth agrees with the pixels, streams repeat, and the profiles are what they claim."""

import time
from collections import Counter

import numpy as np
import pytest

from stc_ros.synthetic import PROFILES, World, record, seeds
from stc_ros.synthetic.profiles import profile_named
from stc_ros.synthetic.render import COLOURS, SHAPES, expose, place_stamp
from stc_ros.synthetic.truth import CLEAR_SHARE, DIRECTIONS, PLACES, place_of

SEEDS = range(1_000_000_000, 1_000_000_004)


@pytest.fixture(scope='module')
def clips():
    return [record(profile, seed, 48) for profile in PROFILES for seed in SEEDS]


def steps(clips):
    """Every (truth before, truth) of neighbouring frames within one scene."""
    for clip in clips:
        for before, now in zip(clip.truths, clip.truths[1:]):
            if before.scene == now.scene:
                yield clip, {o.id: o for o in before.objects}, before, now


@pytest.mark.parametrize('profile', PROFILES)
def test_a_stream_repeats_whatever_is_rendered_of_it(profile):
    first = record(profile, 5, 20)
    world = World(profile, 5)
    for t in range(20):
        if t:
            world.step()
        if t % 3 == 0:
            world.render(64)
        if t % 5 == 0:
            assert np.array_equal(world.render(112), first.frames[t])
        assert world.truth() == first.truths[t]
    assert not np.array_equal(record(profile, 6, 1).frames, first.frames[:1])


@pytest.mark.parametrize('profile', PROFILES)
def test_a_clip_may_begin_later_in_the_stream(profile):
    whole, late = record(profile, 9, 40), record(profile, 9, 15, skip=25)
    assert np.array_equal(late.frames, whole.frames[25:])
    assert late.truths[3].frame == 3 and late.truths[3].objects == whole.truths[28].objects
    assert [(e.frame + 25, e.kind, e.id) for e in late.events] == [
        (e.frame, e.kind, e.id) for e in whole.events if e.frame > 25
    ]


@pytest.mark.parametrize('profile', PROFILES)
def test_every_size_shows_the_same_picture(profile):
    for seed in (3, 4):
        small, large = record(profile, seed, 6), record(profile, seed, 6, size=336)
        shrunk = large.frames.reshape(6, 112, 3, 112, 3, 3).mean(axis=(2, 4))
        noise = profile_named(profile).noise
        assert np.abs(shrunk - small.frames).mean() < 1.5 + 1.3 * noise
        assert (large.ids[:, 1::3, 1::3] == small.ids).mean() > 0.985
        assert large.truths == small.truths


@pytest.mark.parametrize('size', [112, 600, 900])
def test_sensor_noise_is_new_in_every_frame(size):
    light = np.full((size, size, 3), 100, np.float32)
    one, two = (expose(light.copy(), 1.0, 2.0, seed).astype(int) for seed in (5, 6))
    assert (one != two).mean() > 0.7 and abs(one.mean() - 100) < 0.5


def test_pixels_of_an_object_lie_where_the_truth_says(clips):
    compared = 0
    for clip in clips:
        for t in range(0, len(clip), 5):
            for o in clip.truths[t].objects:
                rows, cols = np.nonzero(clip.ids[t] == o.id)
                if o.share > 0.99:
                    middle = ((cols.min() + cols.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2)
                    assert np.hypot(middle[0] - o.x * 112, middle[1] - o.y * 112) < 3.0, o
                    compared += 1
                assert (o.share == 0) == (len(rows) == 0)
    assert compared > 300


@pytest.mark.parametrize('profile', PROFILES)
def test_colours_can_be_told_from_the_pixels(profile):
    names, paints = list(COLOURS), np.array(list(COLOURS.values()), float)
    gain = profile_named(profile).gain
    for seed in SEEDS:
        clip = record(profile, seed, 30)
        for t in (0, 14, 29):
            for o in clip.truths[t].objects:
                if o.share > 0.9:
                    seen = np.median(clip.frames[t][clip.ids[t] == o.id], axis=0) / gain
                    gains = np.linspace(0.7, 1.4, 15)[:, None, None]
                    wrong = np.abs(np.minimum(gains * paints, 255 / gain) - seen).sum(-1).min(0)
                    assert names[wrong.argmin()] == o.colour, (seed, t, o, seen)


def test_objects_move_as_the_truth_says_and_the_camera_does_not_count(clips):
    ways = Counter()
    for clip, before, truth_before, now in steps(clips):
        camera = np.subtract(now.camera, truth_before.camera) * 112
        for o in now.objects:
            if o.id in before:
                moved = np.subtract((o.x, o.y), (before[o.id].x, before[o.id].y)) * 112 + camera
                fastest = profile_named(clip.profile).speed[1]
                if o.moves == 'still':
                    assert np.abs(moved).max() < 1e-6
                else:
                    assert 2.0 < moved @ DIRECTIONS[o.moves] <= max(fastest, 5.0) + 1e-6
                    assert np.abs(moved).min() < 1e-6  # along one axis
                ways[o.moves] += 1
                held = before[o.id].moved_for + 1 if before[o.id].moves == o.moves else 1
                assert o.moved_for == held
    assert min(ways[way] for way in ('still', *DIRECTIONS)) > 40


def test_movers_outpace_the_camera():
    for name in PROFILES:
        profile = profile_named(name)
        assert profile.speed[0] > 2 * profile.pan


def test_events_are_what_the_truths_show(clips):
    seen = Counter()
    for clip, before, _, now in steps(clips):
        objects = {o.id: o for o in now.objects}
        events = [e for e in now.events if e.frame == now.frame]
        for e in events:
            seen[e.kind] += 1
            if e.kind == 'left':
                assert e.id not in objects and e.id in before
                x, y = before[e.id].x, before[e.id].y
                edges = {'left': x, 'right': 1 - x, 'top': y, 'bottom': 1 - y}
                assert edges[e.detail] < 0.15
            elif e.kind == 'entered':
                assert e.id in objects
                assert all(e.id not in {o.id for o in t.objects if o.visible} for t in clip.truths[: now.frame])
            elif e.kind == 'changed colour':
                assert (before[e.id].colour, objects[e.id].colour) == (e.detail, e.colour)
                assert e.detail != e.colour
            elif e.kind == 'started':
                assert before[e.id].moves == 'still' and objects[e.id].moves == e.detail
            elif e.kind == 'stopped':
                assert before[e.id].moves != 'still' and objects[e.id].moves == 'still'
        known = {(e.kind, e.id) for e in events}
        for id, o in objects.items():
            if id in before and o.colour != before[id].colour:
                assert ('changed colour', id) in known
        for id, o in before.items():
            if id not in objects and o.share >= CLEAR_SHARE:
                assert ('left', id) in known
    assert all(seen[kind] >= 5 for kind in ('entered', 'left', 'changed colour', 'started', 'stopped'))


def test_a_cut_brings_new_objects_before_another_background():
    found = 0
    for seed in range(20):
        world = World('busy', seed)
        before, picture = world.truth(), world.render()
        for _ in range(60):
            world.step()
            now, new_picture = world.truth(), world.render()
            if now.scene != before.scene:
                found += 1
                assert now.events[-1].kind == 'cut' and now.events[-1].frame == now.frame
                assert not {o.id for o in before.objects} & {o.id for o in now.objects}
                assert np.abs(new_picture.astype(int) - picture).mean() > 5
            before, picture = now, new_picture
    assert found >= 3


def test_a_name_belongs_to_one_object_for_forty_frames():
    for profile in PROFILES:
        world = World(profile, 77)
        owner = {}  # (scene, colour, shape) -> (id, frame)
        for _ in range(300):
            world.step()
            truth = world.truth()
            for o in truth.objects:
                key = (truth.scene, o.colour, o.shape)
                if key in owner:
                    id, frame = owner[key]
                    assert id == o.id or truth.frame - frame >= 40
                owner[key] = (o.id, truth.frame)


def test_ids_stay_unique_when_they_begin_again():
    world = World('busy', 1)
    for _ in range(2500):
        world.step()
        ids = [o.id for o in world.truth().objects]
        assert len(set(ids)) == len(ids) and all(1 <= id <= 255 for id in ids)


def test_profiles_differ_as_they_should():
    changed, dark, panned, events = {}, {}, {}, {}
    for profile in PROFILES:
        all_clips = [record(profile, seed, 40) for seed in range(6)]
        calm = [np.abs(np.diff(c.frames.astype(int), axis=0)).max(axis=-1) > 20 for c in all_clips]
        changed[profile] = np.mean([c.mean() for c in calm])
        dark[profile] = np.mean([c.frames.mean() for c in all_clips])
        panned[profile] = np.mean([np.ptp([t.camera for t in c.truths], axis=0).sum() for c in all_clips])
        events[profile] = np.mean([len(c.events) for c in all_clips])
    assert panned['patrol'] > 0.05 and panned['static'] == panned['busy'] == 0
    assert dark['night'] < 0.7 * min(dark[p] for p in PROFILES if p != 'night')
    assert changed['static'] < 0.5 * changed['busy'] and changed['static'] < changed['patrol']
    assert events['busy'] > 2 * events['static'] > 4


def test_scenes_hold_two_to_six_objects_of_every_shape_and_size(clips):
    counts, shapes, sizes = Counter(), Counter(), Counter()
    for clip in clips:
        for truth in clip.truths:
            counts[len(truth.objects)] += 1
            shapes.update(o.shape for o in truth.objects)
            sizes.update(o.size for o in truth.objects)
    assert max(counts) <= 6
    assert sum(counts[n] for n in range(2, 7)) > 0.95 * sum(counts.values())
    assert set(shapes) == set(SHAPES) and set(sizes) == {'small', 'medium', 'large'}
    assert min(sizes.values()) > 0.2 * sum(sizes.values())


def test_objects_pass_behind_others():
    hidden = sum(
        o.share < 0.9 and 0.15 < o.x < 0.85 and 0.15 < o.y < 0.85
        for seed in range(8)
        for truth in record('busy', seed, 32).truths
        for o in truth.objects
    )
    assert hidden > 20


@pytest.mark.parametrize('shape', SHAPES)
def test_a_shape_is_whole_in_the_middle_and_cut_off_at_the_edge(shape):
    rows, cols, _, _, solid, area = place_stamp(shape, 10.0, 56.0, 56.0, 112)
    assert solid.sum() == area and 150 < area < 450
    *_, solid, area = place_stamp(shape, 10.0, 0.0, 56.0, 112)
    assert 0.35 < solid.sum() / area < 0.65
    rows, cols, *_ = place_stamp(shape, 10.0, -40.0, 56.0, 112)
    assert rows == cols == slice(0, 0)


def test_places_are_the_nine_cells_with_soft_borders():
    centres = [(x, y) for y in (1 / 6, 1 / 2, 5 / 6) for x in (1 / 6, 1 / 2, 5 / 6)]
    assert [place_of(*c) for c in centres] == [(place, True) for place in PLACES]
    assert place_of(1 / 3 + 0.01, 0.5) == ('center', False)
    assert place_of(-0.01, 0.9) == ('bottom left', False)


def test_seeds_for_training_tuning_and_testing_are_apart():
    ranges = sorted((seeds.TRAIN, seeds.TUNE, seeds.TEST), key=lambda r: r.start)
    assert all(a.stop <= b.start for a, b in zip(ranges, ranges[1:]))


def test_what_cannot_be_is_refused_with_a_remedy():
    with pytest.raises(ValueError, match='static, patrol, busy, night'):
        World('foggy', 1)
    with pytest.raises(ValueError, match='at least one frame'):
        record('busy', 1, 0)


@pytest.mark.parametrize('profile', PROFILES)
def test_rendering_keeps_far_ahead_of_training(profile):
    """The bar is 200 frames a second of one core; it is more than ten times that on a common machine."""
    record(profile, 1, 8)
    started = time.process_time()
    record(profile, 2, 100)
    assert 100 / (time.process_time() - started) > 200
