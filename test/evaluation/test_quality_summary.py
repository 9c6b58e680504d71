"""Figures follow their rules: which types count, retention, and intervals that hold the truth."""

import json

import numpy as np
import pytest

from stc_ros.evaluation.conditions import CONTROLS
from stc_ros.evaluation.measure import TYPE_OF, Outcome, Tally
from stc_ros.evaluation.summary import can_tell, summarise, to_json
from stc_ros.settings import Settings
from stc_ros.synthetic.forms import TYPES

ONE_FORM = (TYPE_OF.T & (np.cumsum(TYPE_OF.T, axis=1) == 1)).astype(int)  # [types, forms]: each type's first form


def outcome(right: dict, streams: int = 30, each: int = 4, seed: int = 0) -> Outcome:
    """Streams in which `each` questions of every type are asked; `right`: accuracy by condition, for all types."""
    rng = np.random.default_rng(seed)
    tallies = {
        name: [Tally(rng.binomial(each, np.broadcast_to(p, len(TYPES))) @ ONE_FORM, 0.5, 0.25) for _ in range(streams)]
        for name, p in right.items()
    }
    return Outcome(['busy'] * streams, np.full((streams, len(TYPES)), each) @ ONE_FORM, tallies)


@pytest.mark.parametrize(
    'control, expected',
    [
        ({}, True),
        ({'blank': 0.86}, False),
        ({'newest': 0.86}, False),
        ({'no_refresh': 0.86}, False),
        ({'blank': 0.84}, True),
        ({'reversed': 0.9}, True),
        ({'random': 0.95}, True),
        ({'uniform': 0.95}, True),
        ({'held': 0.95}, True),
    ],
    ids=str,
)
def test_a_type_that_survives_destruction_does_not_test_compression(control, expected):
    assert can_tell(0.9, {**dict.fromkeys(CONTROLS, 0.3), **control}) is expected


def test_retention_is_over_the_types_that_test_it():
    easy = np.array([1.0] * 4 + [0.0] * 4)  # four types that a blank picture answers
    found = summarise(
        outcome(
            {'plain': 1.0, 'settings': np.array([0.0] * 4 + [0.5] * 4), 'blank': easy, 'newest': 0.0, 'no_refresh': 0.0}
        )
    )
    assert found.tested == list(TYPES[4:])
    assert found.retention == pytest.approx(0.5, abs=0.1)
    assert found.interval[0] < found.retention < found.interval[1]
    assert found.retention_all == pytest.approx(0.25, abs=0.05)
    assert found.recomputed == 0.5 and found.kept == 0.25
    assert [f.retention for f in found.types.values()][:4] == [0.0] * 4


def test_no_interval_is_of_no_width_and_each_holds_its_figure():
    for p in (0.0, 0.4, 1.0):
        found = summarise(outcome({'plain': 1.0, 'settings': p, 'blank': 0.0, 'newest': 0.0, 'no_refresh': 0.0}))
        for f in found.types.values():
            assert f.interval[0] <= f.retention <= f.interval[1] and 0.005 < f.interval[1] - f.interval[0] < 0.4
            assert f.plain_interval[0] < 1 and f.settings_interval[0] <= f.with_settings <= f.settings_interval[1]


def test_questions_of_one_stream_count_as_one():
    """Forty streams whose ten questions go right or wrong together tell no more than forty questions."""
    asked, together = np.full((40, len(TYPES)), 10) @ ONE_FORM, np.arange(40)[:, None] % 2 * 10

    def tallies(right):
        return [Tally(np.broadcast_to(r, len(TYPES)) @ ONE_FORM) for r in right]

    none = tallies(np.zeros(40, int))
    base = {'plain': tallies(np.full(40, 10)), 'blank': none, 'newest': none, 'no_refresh': none}
    clustered = summarise(Outcome(['busy'] * 40, asked, {**base, 'settings': tallies(together)}))
    spread = summarise(Outcome(['busy'] * 40, asked, {**base, 'settings': tallies(np.full(40, 5))}))
    width = [np.ptp(s.types['count'].settings_interval) for s in (clustered, spread)]
    assert 0.2 < width[0] < 0.4 and width[1] < 0.05


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    held, truth = 0, 0.7 / 0.9
    for seed in range(40):
        right = {'plain': 0.9, 'settings': 0.7, 'blank': 0.0, 'newest': 0.0, 'no_refresh': 0.0}
        found = summarise(outcome(right, 20, seed=seed))
        held += sum(low < truth < high for low, high in [f.interval for f in found.types.values()])
    assert 0.9 < held / (40 * len(TYPES)) < 0.99


def test_figures_that_do_not_exist_are_null(tmp_path):
    found = to_json(summarise(outcome(dict.fromkeys(('plain', 'settings', *CONTROLS), 0.0))), 'busy', Settings(), 4)
    assert found['retention'] is None and found['types']['order']['retention'] is None
    assert 'NaN' not in json.dumps(found)
    assert found['types']['order']['tests_it'] is False and found['types']['order']['interval'] == [None, None]
