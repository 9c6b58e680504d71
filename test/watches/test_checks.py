"""What a watch may be, and what it takes from the parameters where it says nothing."""

import math
from dataclasses import replace

import pytest

from stc_ros.settings import Settings
from stc_ros.watches.checks import WatchError, check, in_force
from stc_ros.watches.rule import Watch

PLAIN = Watch('', 'is the door open ?', '', threshold=0.0, rearm=0.0, looks=0)
FULL = Watch('door-1', 'is it ?', 'front', 0.9, 0.9, 3, 0, 5_000_000_000, 60_000_000_000, True)


@pytest.mark.parametrize('watch', [PLAIN, FULL], ids=['plain', 'full'])
def test_what_is_within_bounds_is_taken(watch):
    check(watch, ('front', 'rear'))


@pytest.mark.parametrize(
    'field, value',
    [
        ('name', 'a b'),
        ('name', 'n' * 65),
        ('name', '../x'),
        ('condition', ' '),
        ('condition', 'x' * 1001),
        ('camera', 'left'),
        ('threshold', 1.0),
        ('threshold', -0.1),
        ('threshold', math.nan),
        ('rearm', 0.95),
        ('rearm', math.inf),
        ('looks', 101),
        ('hold', -1),
        ('cool_down', 10**16),
        ('time_limit', -(10**9)),
    ],
)
def test_what_is_not_is_refused_by_its_field_in_few_words(field, value):
    with pytest.raises(WatchError, match=field) as error:
        check(replace(FULL, **{field: value}), ('front', 'rear'))
    assert error.value.field == field and len(str(error.value)) < 200


def test_what_is_not_given_is_the_parameters_and_rearm_never_lies_above_the_threshold():
    settings = Settings({'watch.threshold': 0.7, 'watch.rearm': 0.3, 'watch.looks': 4})
    taken = in_force(PLAIN, settings, 'rear')
    assert (taken.threshold, taken.rearm, taken.looks, taken.camera) == (0.7, 0.3, 4, 'rear')
    assert in_force(FULL, settings) == FULL
    assert in_force(replace(PLAIN, threshold=0.2), settings).rearm == 0.2


def test_one_look_is_enough_only_where_nobody_named_a_number_of_looks():
    settings = Settings({'watch.threshold': 0.7, 'watch.sure': 0.95})
    assert in_force(PLAIN, settings).sure == 0.95
    assert in_force(replace(PLAIN, looks=2), settings).sure == 1.0
    assert in_force(replace(PLAIN, threshold=0.99), settings).sure == 0.99
