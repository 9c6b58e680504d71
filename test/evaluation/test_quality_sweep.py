"""The sweep of settings: what is read from it, which settings it recommends, and the document about it."""

import json

import numpy as np
import pytest

from stc_ros.evaluation.conditions import CONTROLS
from stc_ros.evaluation.measure import TYPE_OF, Outcome, Tally
from stc_ros.evaluation.quality import read_arguments
from stc_ros.evaluation.summary import summarise, to_json
from stc_ros.evaluation.sweep import CHEAPEST, choose_others, points, read_sweep, recommend, sweep_conditions
from stc_ros.settings import Settings
from stc_ros.synthetic import PROFILES
from stc_ros.synthetic.forms import TYPES
from stc_ros.synthetic.narration import Score

NAMES = [p.name for p in points()]
ONE_FORM = (TYPE_OF.T & (np.cumsum(TYPE_OF.T, axis=1) == 1)).astype(int)  # [types, forms]: each type's first form


def outcome(right: dict[str, float], shares: dict[str, float], each: int = 20) -> Outcome:
    """Two streams of each profile; of the first half of the types, blank pictures answer as much as plain ones."""
    profiles = [p for p in PROFILES for _ in range(2)]
    names = ['plain', 'settings', *CONTROLS, *NAMES, *right]
    half = len(TYPES) // 2

    def tally(name: str) -> Tally:
        count = round(each * right.get(name, 0.9 if name in ('plain', 'settings', *NAMES) else 0.2))
        easy = round(each * 0.9) if name == 'blank' else count
        share = shares.get(name, 0.8)
        return Tally(np.array([easy] * half + [count] * half) @ ONE_FORM, share, share, [Score(1, 2, 2)])

    asked = np.full((len(profiles), len(TYPES)), each) @ ONE_FORM
    return Outcome(profiles, asked, {name: [tally(name) for _ in profiles] for name in names})


def test_every_point_is_a_setting_of_its_own_and_is_swept():
    conditions = sweep_conditions(Settings({'memory.max_tokens': 1000}))
    assert len({c.name for c in conditions}) == len(conditions) == len(NAMES) + 4
    plain, no_refresh, *swept = conditions[0], conditions[3], *conditions[4:]
    assert len({c.settings for c in (plain, no_refresh, *swept)}) == len(NAMES) + 2
    assert {c.settings['memory.max_tokens'] for c in conditions} == {1000}
    for point, condition in zip(points(), conditions[4:]):
        other = {'recomputed': condition.settings['pruner.method'], 'kept': condition.settings['cacher.method']}[
            point.curve
        ]
        assert other == 'none'


def test_a_sweep_on_tuning_streams_alone_is_refused(capsys):
    """It would measure the settings on the streams that they were chosen on."""
    with pytest.raises(SystemExit):
        read_arguments(['--sweep', '--tune'])
    assert 'leave out --tune' in capsys.readouterr().err


def test_the_sweep_counts_only_types_that_can_tell():
    swept = read_sweep(outcome({'incremental 0.9': 0.45}, {'incremental 0.9': 0.1}))
    assert swept['tested'] == list(TYPES[len(TYPES) // 2 :]) and swept['streams'] == 8
    assert set(swept['profiles']) == {'all', *PROFILES}
    busy = swept['profiles']['busy']
    assert busy['plain'] == 0.9 and busy['no_refresh'] == 0.2
    assert busy['points']['incremental 0.9'] == [0.1, 0.45] and busy['points']['delta 0.5'] == [0.8, 0.9]


def test_the_cheapest_settings_that_lose_little_are_recommended():
    shares = {'incremental 0.9': 0.1, 'stc, N=4 r=0.25': 0.4, 'random 0.9': 0.05, 'delta 0.8': 0.2, 'stc 0.9': 0.1}
    swept = read_sweep(outcome({'incremental 0.9': 0.6, 'stc 0.9': 0.7}, shares))
    change = recommend(swept)
    assert change['cacher'] == 'stc' and change['cacher.stc.cache_interval'] == 4
    assert change['cacher.stc.update_ratio'] == 0.25
    assert change['pruner'] == 'delta' and change['prune_ratio'] == 0.8
    others = choose_others(Settings(), swept)
    assert (others[CHEAPEST]['pruner.method'], others[CHEAPEST]['cacher.method']) == ('delta', 'stc')
    paper = others['stc, N=2']
    published = ('cacher.stc.update_ratio', 'cacher.stc.cache_interval', 'prune_ratio', 'pruner.method')
    assert [paper[name] for name in published] == [0.25, 2, 0.67, 'stc']
    for one in (others[CHEAPEST], paper):
        assert one['query.full_latest_frame'] == 'never'  # as they were measured
    assert not paper['expert.contiguous_positions']
    assert others['stc, N=4, contiguous']['expert.contiguous_positions']


def test_the_most_accurate_is_recommended_when_all_lose_much():
    change = recommend(
        read_sweep(outcome({**dict.fromkeys(NAMES, 0.5), 'incremental 0.97': 0.7, 'delta 0.5': 0.6}, {}))
    )
    assert change == {'cacher': 'incremental', 'cache_similarity': 0.97, 'pruner': 'delta', 'prune_ratio': 0.5}


def test_the_document_holds_what_was_measured(tmp_path):
    pytest.importorskip('matplotlib')
    from PIL import Image

    from stc_ros.evaluation.document import write_document

    swept = read_sweep(outcome({}, {'incremental 0.9': 0.1}))
    others = choose_others(Settings(), swept)
    measured = outcome({**dict.fromkeys(others, 0.9), 'stc, N=4': 0.65}, {'stc, N=4': 0.44})
    other = {**to_json(summarise(measured), 'busy', Settings({'model.name': 'real-eye'}), 5), 'retention': 0.987}
    (tmp_path / 'quality-real-eye.json').write_text(json.dumps(other))
    write_document(
        tmp_path,
        './dev quality --sweep',
        'a model, 8 streams',
        Settings(),
        measured,
        swept,
        others,
        {'profile': 'all', 'seed': 3},
    )
    text = (tmp_path / 'quality.md').read_text()
    for part in (
        '| appearance | 160 | 0.90',
        'does not test this',
        '| stc, N=4 | 0.65',
        '| incremental 0.9 | 10%',
        './dev quality',
        '## real-eye',
        '`./dev quality --model real-eye`, seed 5',
        'retention 0.987',
    ):
        assert part in text
    assert '44%' in text and 'nan' not in text
    found = json.loads((tmp_path / 'quality.json').read_text())
    assert found['costs']['stc, N=4']['settings']['cacher.stc.cache_interval'] == 4
    assert found['costs']['stc, N=4']['retention'] == pytest.approx(0.65 / 0.9, abs=1e-3)
    assert (
        sum(p['types']['memory']['n'] for p in found['profiles'].values())
        == found['costs']['stc, N=4']['types']['memory']['n']
    )
    for curve in ('recomputed', 'kept'):
        assert f'quality_{curve}.png' in text
        with Image.open(tmp_path / f'quality_{curve}.png') as picture:
            assert picture.width > 1000 and (tmp_path / f'quality_{curve}.png').stat().st_size < 200_000
