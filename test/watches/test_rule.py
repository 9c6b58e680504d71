"""When a watch rises and falls, by hand-made probabilities."""

import math

import pytest

from stc_ros.watches.rule import Change, Standing, Watch, forget, look

SECOND = 1_000_000_000
RISING, FALLING, EXPIRED = Change.RISING, Change.FALLING, Change.EXPIRED


def watch(**fields):
    return Watch('door', 'is the door open ?', '', **{'threshold': 0.8, 'rearm': 0.4, 'looks': 1} | fields)


def run(a_watch, chances, standing=None, first=1):
    """Each frame a second after the one before -> what happened at which frame, and how the watch stands then."""
    standing, events = standing or Standing(), []
    for number, chance in enumerate(chances, start=first):
        standing, change = look(a_watch, standing, chance, number * SECOND)
        events += [(number, change)] if change else []
    return events, standing


def test_it_rises_once_while_the_condition_stays_true_and_falls_when_it_is_false():
    events, standing = run(watch(), [0.1, 0.9, 0.9, 0.95, 0.1, 0.1, 0.9])
    assert events == [(2, RISING), (5, FALLING), (7, RISING)]
    assert standing.active and standing.frames == 7 and standing.events == 3 and standing.probability == 0.9


def test_between_the_levels_nothing_changes():
    """A single level would fire at every wobble: the control."""
    wobble = [0.9, 0.7, 0.85, 0.6, 0.9, 0.5, 0.82]
    assert run(watch(), wobble)[0] == [(1, RISING)]
    assert len(run(watch(rearm=0.8), wobble)[0]) == 7


def test_frames_must_agree_in_a_row():
    assert run(watch(looks=3), [0.9, 0.9, 0.1, 0.9, 0.9, 0.9])[0] == [(6, RISING)]
    assert run(watch(looks=2), [0.9, 0.9, 0.1, 0.9, 0.1, 0.1])[0] == [(2, RISING), (6, FALLING)]


def test_since_is_the_first_of_the_frames_that_decided():
    _, standing = run(watch(looks=3), [0.1, 0.9, 0.9, 0.9])
    assert standing.active and standing.since == 2 * SECOND


def test_it_must_have_held_for_as_long_as_was_asked():
    assert run(watch(hold=3 * SECOND), [0.9] * 6)[0] == [(4, RISING)]
    assert run(watch(hold=3 * SECOND), [0.9, 0.9, 0.1] * 4)[0] == []


def test_after_a_rise_none_comes_within_the_cool_down():
    beats = [0.9, 0.1] * 6
    assert [n for n, c in run(watch(), beats)[0] if c is RISING] == [1, 3, 5, 7, 9, 11]
    assert [n for n, c in run(watch(cool_down=5 * SECOND), beats)[0] if c is RISING] == [1, 7]


def test_it_expires_once_its_time_is_over():
    assert run(watch(time_limit=3 * SECOND), [0.1, 0.1, 0.1, 0.1])[0] == [(4, EXPIRED)]


def test_a_reset_breaks_the_row_and_keeps_what_was_reported():
    _, standing = run(watch(looks=2), [0.9])
    assert run(watch(looks=2), [0.9], forget(standing), 2)[0] == []
    _, risen = run(watch(looks=2), [0.9, 0.9])
    assert forget(risen).active
    assert run(watch(looks=2), [0.1, 0.1], forget(risen), 3)[0] == [(4, FALLING)]


@pytest.mark.parametrize('chance, rises', [(0.8, True), (math.nextafter(0.8, 0), False)])
def test_the_threshold_itself_counts_as_true(chance, rises):
    assert bool(run(watch(), [chance])[0]) is rises


def test_a_look_that_is_sure_is_enough_to_rise_and_to_fall():
    beats = [0.9, 0.1, 0.99, 0.9, 0.3, 0.9, 0.3, 0.005, 0.9, 0.9]
    assert run(watch(looks=2, sure=0.98), beats)[0] == [(3, RISING), (8, FALLING), (10, RISING)]
    assert run(watch(looks=2), beats)[0] == [(4, RISING), (8, FALLING), (10, RISING)]  # the control: a second later
    assert run(watch(looks=2, sure=0.98, hold=2 * SECOND), [0.99, 0.1, 0.99, 0.9, 0.9])[0] == [(5, RISING)]
