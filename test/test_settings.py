"""One table of parameters: checked, and the source of the command line, the YAML and the documentation."""

import argparse
import math
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stc_ros.parameter_spec import MEANS_NONE, SettingError
from stc_ros.parameters import METHODS, SHORT, cachers, in_use, parameters, pruners
from stc_ros.settings import Settings
from stc_ros.settings_export import add_arguments, from_arguments, to_arguments, to_markdown, to_yaml

ROOT = Path(__file__).parent.parent
TABLE = parameters()


@pytest.mark.parametrize('name', TABLE)
def test_every_parameter_is_whole(name):
    spec = TABLE[name]
    assert spec.name == name and spec.text.endswith('.') and spec.check(spec.default) == spec.default
    if spec.type in (int, float):
        assert math.isfinite(spec.low) and math.isfinite(spec.high) and spec.low < spec.high


@pytest.mark.parametrize('name', [n for n, spec in TABLE.items() if spec.type is float and spec.live])
def test_every_place_of_rqts_slider_is_a_value_that_is_taken(name):
    """rqt_reconfigure's sliders have 100 steps: its places are whole multiples of a hundredth of the range."""
    spec = TABLE[name]
    scale = 100 / (spec.high - spec.low)
    places = range(int(round(spec.low * scale)), int(round(spec.high * scale)) + 1)
    values = [spec.check(place / scale) for place in places]
    assert values[0] == pytest.approx(spec.low) and values[-1] == pytest.approx(spec.high)


def test_the_two_knobs_come_first_and_an_experts_last():
    names = list(TABLE)
    assert names[:2] == ['cache_similarity', 'prune_ratio']
    groups = [name.partition('.')[0] for name in names[2:]]
    assert groups == sorted(groups, key=groups.index) and groups[-1] == 'expert'  # each group is together


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('prune_ratio', 0.96),
        ('prune_ratio', -0.1),
        ('prune_ratio', math.nan),
        ('prune_ratio', '0.5'),
        ('cache_similarity', math.inf),
        ('cacher.stc.cache_interval', 0),
        ('cacher.stc.cache_interval', 2.0),
        ('cacher.method', 'paperr'),
        ('expert.contiguous_positions', 1),
        ('model.name', None),
        ('query.max_new_tokens', True),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_what_is_allowed(name, value):
    with pytest.raises(SettingError, match=name) as error:
        Settings({name: value})
    assert str(value) in str(error.value) or 'finite' in str(error.value)


@pytest.mark.parametrize(
    ('name', 'meant'),
    [
        ('prune_ration', 'prune_ratio'),
        ('update_ratio', 'cacher.stc.update_ratio'),
        ('max_rate', 'input.max_rate'),
        ('narration_period', 'narration.period'),
    ],
)
def test_a_wrong_name_is_refused_with_the_one_that_was_meant(name, meant):
    with pytest.raises(SettingError, match=meant):
        Settings({name: 1})


def test_a_choice_says_what_there_is_even_when_the_type_is_wrong():
    for value in (True, 3, 'best'):
        with pytest.raises(SettingError, match='auto, always, never'):
            Settings({'query.full_latest_frame': value})


@pytest.mark.parametrize('value', [*MEANS_NONE, 'none'], ids=repr)
@pytest.mark.parametrize('name', ['cacher', 'cacher.method', 'pruner.method'])
def test_off_and_false_mean_none(name, value):
    """YAML reads a bare `off` as false."""
    assert Settings({name: value})[SHORT.get(name, name)] == 'none'


def test_only_where_there_is_a_none():
    with pytest.raises(SettingError):
        Settings({'query.full_latest_frame': 'off'})
    with pytest.raises(SettingError):
        Settings({'memory.method': False})


def test_a_whole_number_is_taken_where_a_float_is_meant():
    settings = Settings({'prune_ratio': 0, 'narration.period': 5})
    assert settings['prune_ratio'] == 0.0 and type(settings['prune_ratio']) is float


def test_changing_checks_again_and_leaves_the_old():
    settings = Settings()
    with pytest.raises(SettingError):
        settings | {'prune_ratio': 2.0}
    other = settings | {'prune_ratio': 0.5, 'memory.max_tokens': 99}
    assert other.fixed_changes(settings) == ['memory.max_tokens'] and settings == Settings()
    assert other.changed() == {'prune_ratio': 0.5, 'memory.max_tokens': 99}


def test_arguments_make_settings_and_settings_arguments():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    typed = ['--prune-ratio', '0.25', '--expert.contiguous-positions', 'true', '--pruner', 'off']
    settings = from_arguments(parser.parse_args(typed))
    assert settings == Settings({'prune_ratio': 0.25, 'expert.contiguous_positions': True, 'pruner': 'none'})
    assert from_arguments(parser.parse_args(to_arguments(settings.changed()))) == settings
    for name in TABLE:
        assert '--' + name.replace('_', '-') in parser.format_help()
    some = argparse.ArgumentParser()
    add_arguments(some, ['prune_ratio'])
    assert from_arguments(some.parse_args([])) == Settings()


def test_the_yaml_holds_every_default_that_has_a_say():
    groups = yaml.safe_load(to_yaml())['/**']['ros__parameters']
    assert flat(groups) == {name: spec.default for name, spec in in_use(Settings()).items()}


def flat(groups, prefix=''):
    values = {}
    for name, value in groups.items():
        values |= flat(value, f'{prefix}{name}.') if isinstance(value, dict) else {prefix + name: value}
    return values


def test_of_methods_only_the_parameters_of_those_in_use_have_a_say():
    names = in_use(Settings({'cacher': 'stc', 'pruner': 'vidcom2'}))
    assert 'cacher.stc.update_ratio' in names and 'pruner.vidcom2.history_frames' in names
    assert not [n for n in names if n.startswith(('cacher.incremental', 'pruner.delta', 'pruner.stc'))]


def test_the_shipped_yaml_and_the_documentation_are_up_to_date():
    shipped = (ROOT / 'config' / 'stream.yaml').read_text()
    assert shipped == to_yaml(), './dev run python -m stc_ros.parameters --yaml > config/stream.yaml'
    text = (ROOT / 'docs' / 'parameters.md').read_text()
    assert to_markdown().strip() in text, (
        'paste ./dev run python -m stc_ros.parameters --markdown into docs/parameters.md'
    )


def test_every_method_has_a_name_that_yaml_reads_as_a_text_a_docstring_and_what_it_goes_by():
    for registry in METHODS.values():
        for part in registry:
            assert yaml.safe_load(part.name) == part.name and part.text.endswith('.') and part.scope
    assert cachers.names()[0] == pruners.names()[0] == 'none'
    with pytest.raises(SettingError, match='delta'):
        pruners['deltas']


def test_registering_a_name_twice_or_one_that_yaml_misreads_is_refused():
    class Another:
        pass

    for name in ('delta', 'off', 'two words'):
        with pytest.raises(ValueError):
            pruners.register(name)(Another)


def test_settings_and_synthetic_worlds_need_no_torch():
    code = (
        'import sys, stc_ros.settings, stc_ros.registry, stc_ros.parameters, stc_ros.models, stc_ros.synthetic; '
        'print([m for m in ("torch", "transformers", "rclpy") if m in sys.modules])'
    )
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == '[]'


@pytest.mark.parametrize(('flag', 'first'), [('--yaml', '# Parameters'), ('--markdown', '| parameter')])
def test_the_command_prints_them(flag, first):
    command = [sys.executable, '-m', 'stc_ros.parameters', flag]
    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.startswith(first)
