"""What a search proposes, what it takes for the best, what it holds out, and the files that it writes."""

import pytest

from stc_ros.evaluation.questions import read_questions
from stc_ros.evaluation.settings_file import read_settings
from stc_ros.evaluation.tune import Trial, cheapest_within, pareto
from stc_ros.evaluation.tune_front import node_file
from stc_ros.evaluation.tune_space import make_space
from stc_ros.evaluation.tune_trial import split
from stc_ros.parameter_spec import SettingError
from stc_ros.parameters import in_use
from stc_ros.settings import Settings


def test_the_space_is_what_the_chosen_methods_declare():
    space = make_space(Settings(), {'cacher': ['stc', 'threshold'], 'pruner': ['none']})
    names = set(space.ranges)
    assert {'cache_similarity', 'cacher.stc.update_ratio', 'cacher.threshold.cache_interval'} <= names
    assert 'prune_ratio' not in names and not [name for name in names if name.startswith('cacher.incremental')]
    spec = space.ranges['cacher.stc.update_ratio']
    assert (spec.low, spec.high) == (spec.spec.low, spec.spec.high)
    fixed = make_space(Settings(), {}, fixed=['prune_ratio=0.5'], given=['memory.max_tokens=100..5000'])
    assert fixed.base['prune_ratio'] == 0.5 and 'prune_ratio' not in fixed.ranges
    assert fixed.ranges['memory.max_tokens'].high == 5000
    with pytest.raises(SettingError, match='nothing to search'):
        make_space(Settings(), {}, only=['prune_ratio'], fixed=['prune_ratio=0.5'])


def test_only_what_has_a_say_is_drawn_and_all_of_the_range_is(tmp_path):
    import optuna

    space = make_space(Settings(), {'cacher': ['none', 'stc'], 'pruner': ['none', 'delta']})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), directions=['maximize', 'minimize'])
    drawn = []
    for _ in range(200):
        trial = study.ask()
        drawn.append((space.suggest(trial), set(trial.params)))
    for settings, keys in drawn:
        assert ('prune_ratio' in keys) == (settings['pruner.method'] != 'none')
        assert ('1 - cache_similarity' in keys) == (settings['cacher.method'] != 'none')
        assert ('cacher.stc.update_ratio' in keys) == (settings['cacher.method'] == 'stc')
    near = [settings['cache_similarity'] for settings, keys in drawn if '1 - cache_similarity' in keys]
    for low, high in ((0, 0.9), (0.9, 0.99), (0.99, 0.999), (0.999, 1)):
        assert sum(low <= value < high for value in near) > len(near) / 10  # as many of each order of the distance


def test_the_defaults_lie_where_they_are(tmp_path):
    space = make_space(Settings(), {})
    values, distributions = space.position(Settings())
    assert values['prune_ratio'] == Settings()['prune_ratio'] and values.keys() == distributions.keys()
    assert space.ranges['cache_similarity'].outer(values['1 - cache_similarity']) == Settings()['cache_similarity']
    narrow = make_space(Settings(), {}, given=['prune_ratio=0.1..0.2'])
    assert 'prune_ratio' not in narrow.position(Settings())[0]


def test_the_front_and_the_cheapest_within():
    found = [Trial(i, Settings(), a, c, 10, i) for i, (a, c) in enumerate([(0.9, 30), (0.9, 20), (0.89, 10), (0.5, 5),
                                                                          (0.4, 6), (0.5, 5)])]  # fmt: skip
    assert [t.number for t in pareto(found)] == [3, 2, 1]
    assert cheapest_within(pareto(found), 0.02).number == 2 and cheapest_within(pareto(found), 0).number == 1


def test_the_last_questions_in_time_are_held_out(tmp_path):
    (tmp_path / 'q.yaml').write_text(
        'questions:\n'
        + ''.join(f'  - {{at: {i}, camera: /{i}, question: x, expect: {{exact: a}}}}\n' for i in range(10))
    )
    file = read_questions(tmp_path / 'q.yaml')
    first, last = split(file, 0.3)
    assert [q.id for q in first.questions] == [f'q{i}' for i in range(1, 8)]
    assert [q.id for q in last.questions] == ['q8', 'q9', 'q10'] and list(last.cameras) == ['/7', '/8', '/9']
    assert len({file.digest, first.digest, last.digest}) == 3
    assert split(file, 0)[0].questions == file.questions and not split(file, 0)[1].questions


def test_a_file_of_settings_is_what_has_a_say_and_was_changed_or_searched(tmp_path):
    settings = Settings(
        {'cacher': 'stc', 'prune_ratio': 0.5, 'pruner.stc.history_frames': 2, 'narration.prompt': 'a: b'}
    )
    text = node_file(settings, ['cacher.method', 'prune_ratio', 'cacher.stc.update_ratio'], ['one', 'two'])
    assert text.startswith('# one\n# two\n/**:\n  ros__parameters:\n')
    (tmp_path / 'n.yaml').write_text(text)
    read = read_settings(tmp_path / 'n.yaml')
    assert all(read[name] == settings[name] for name in in_use(settings))
    assert 'history_frames' not in text and 'update_ratio' in text and 'temporal_weight' not in text
