"""One table of settings: checked, and the source of the command line, the YAML and the README."""

import argparse
import math
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stc_ros.settings import CACHERS, KNOBS, PRUNERS, SettingError, Settings, add_arguments, from_arguments
from stc_ros.settings_export import to_markdown, to_yaml

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize('name', KNOBS)
def test_every_knob_is_whole(name):
    knob = KNOBS[name]
    assert knob.text.endswith('.') and knob.check(knob.default) == knob.default
    if knob.type in (int, float):
        assert math.isfinite(knob.low) and math.isfinite(knob.high) and knob.low < knob.high


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('prune_ratio', 0.96),
        ('prune_ratio', -0.1),
        ('prune_ratio', math.nan),
        ('prune_ratio', '0.5'),
        ('cache_similarity', math.inf),
        ('cache_interval', 0),
        ('cache_interval', 2.0),
        ('cacher', 'paperr'),
        ('compact_positions', 1),
        ('model', None),
        ('max_new_tokens', True),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_what_is_allowed(name, value):
    with pytest.raises(SettingError, match=name) as error:
        Settings({**{name: value}})
    assert str(value) in str(error.value) or 'finite' in str(error.value)


def test_a_whole_number_is_taken_where_a_float_is_meant():
    settings = Settings({'prune_ratio': 0, 'narration.period': 5})
    assert settings['prune_ratio'] == 0.0 and type(settings['prune_ratio']) is float


def test_changing_checks_again_and_leaves_the_old():
    settings = Settings()
    with pytest.raises(SettingError):
        (settings | {'prune_ratio': 2.0})
    other = settings | {'prune_ratio': 0.5, 'memory.max_tokens': 99}
    assert other.fixed_changes(settings) == ['memory_tokens']


def test_arguments_make_settings():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    settings = from_arguments(parser.parse_args(['--prune-ratio', '0.25', '--compact-positions', 'true']))
    assert settings == Settings({'prune_ratio': 0.25, 'expert.contiguous_positions': True})
    assert 'prune-ratio' in parser.format_help()
    some = argparse.ArgumentParser()
    add_arguments(some, ['prune_ratio'])
    assert from_arguments(some.parse_args([])) == Settings()


def test_the_yaml_holds_every_default():
    parameters = yaml.safe_load(to_yaml())['/**']['ros__parameters']
    assert parameters == {k.name: k.default for k in KNOBS.values()}
    assert Settings({**parameters}) == Settings()


def test_the_shipped_yaml_and_the_readme_are_up_to_date():
    shipped = (ROOT / 'config' / 'stream.yaml').read_text()
    assert shipped == to_yaml(), 'python -m stc_ros.settings --yaml > config/stream.yaml'
    readme = (ROOT / 'README.md').read_text()
    assert to_markdown() in readme, 'paste python -m stc_ros.settings --markdown into README.md'


def test_the_names_of_cachers_and_pruners_exist():
    from stc_ros.pruning.base import make_pruner

    for name in PRUNERS:
        assert hasattr(make_pruner(name), 'select')
    with pytest.raises(KeyError):
        make_pruner('nonsense')
    assert 'none' in CACHERS


def test_settings_and_synthetic_worlds_need_no_torch():
    code = (
        'import sys, stc_ros.settings, stc_ros.settings_export, stc_ros.models, stc_ros.synthetic; '
        'print([m for m in ("torch", "transformers", "rclpy") if m in sys.modules])'
    )
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == '[]'


@pytest.mark.parametrize(('flag', 'first'), [('--yaml', '# Parameters'), ('--markdown', '| parameter')])
def test_the_command_prints_them(flag, first):
    out = subprocess.run(
        [sys.executable, '-m', 'stc_ros.settings', flag], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert out.stdout.startswith(first)
