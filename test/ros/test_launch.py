"""launch/stream.launch.py: its arguments, and what it starts from them. With the real launch packages: test/launch."""

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest
from conftest import ROOT

from stc_ros.parameters import in_use, parameters
from stc_ros.settings import Settings

FILE = ROOT / 'launch' / 'stream.launch.py'


class Recorded:
    """Stands for any launch action: keeps what it was made with."""

    def __init__(self, *positional, **named):
        self.positional, self.named = positional, named


class Configuration(Recorded):
    def perform(self, context):
        return context.launch_configurations[self.positional[0]]


def parameter_value(value, value_type):
    """(value, type) of launch_ros.ParameterValue, which takes text of a parameter of another type as a list only."""
    assert isinstance(value, list), f'TypeError: value={value!r} is not an instance of {value_type}'
    return ''.join(part.named['text'] for part in value), value_type


@pytest.fixture
def launch_file(monkeypatch):
    """The launch file as a module, on stand-ins for the launch packages, which PyPI does not have."""
    modules = {
        'ament_index_python.packages': {'get_package_share_directory': lambda name: str(ROOT)},
        'launch': {'LaunchDescription': list},
        'launch.actions': {
            name: type(name, (Recorded,), {})
            for name in ('DeclareLaunchArgument', 'OpaqueFunction', 'SetEnvironmentVariable')
        },
        'launch.substitutions': {'LaunchConfiguration': Configuration, 'TextSubstitution': Recorded},
        'launch_ros': {},
        'launch_ros.actions': {'Node': type('Node', (Recorded,), {})},
        'launch_ros.parameter_descriptions': {'ParameterValue': parameter_value},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location('stream_launch', FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def start(launch_file, monkeypatch):
    """`start(image='x')` gives the nodes that are started with these arguments."""
    declared = {
        a.positional[0]: a.named['default_value']
        for a in launch_file.generate_launch_description()
        if type(a).__name__ == 'DeclareLaunchArgument'
    }
    monkeypatch.setattr(sys, 'argv', ['ros2', 'launch', 'stc_ros', 'stream.launch.py'])

    def start(given=None, **more):
        return launch_file.start_nodes(SimpleNamespace(launch_configurations={**declared, **(given or {}), **more}))

    return start


def test_every_argument_is_declared_with_a_text(launch_file):
    arguments = [a for a in launch_file.generate_launch_description() if type(a).__name__ == 'DeclareLaunchArgument']
    names = [a.positional[0] for a in arguments]
    assert len(set(names)) == len(names) and {'image', 'namespace', 'camera', 'autostart'} < set(names)
    assert set(in_use(Settings())) < set(names)
    for argument in arguments:
        assert len(argument.named['description']) > 10, argument.positional
    about = next(a.named['description'] for a in arguments if a.positional[0] == 'prune_ratio')
    assert parameters()['prune_ratio'].text in about


def test_what_is_not_given_is_left_to_the_parameters_file(start):
    (node,) = start()
    file, overrides = node.named['parameters']
    assert file == str(ROOT / 'config' / 'stream.yaml')
    assert overrides == {'use_sim_time': False, 'autostart': True}
    assert node.named['executable'] == 'stream' and node.named['respawn'] is False


def test_what_is_given_overrides_the_parameters_file(start):
    (node,) = start(
        {'model': 'some/model', 'model.device': 'cuda:1', 'input.transport': 'compressed', 'cacher': 'off'},
        prune_ratio='1',
        use_sim_time='True',
        autostart='false',
        respawn='true',
        respawn_delay='0.5',
        params_file='/my.yaml',
        namespace='robot1',
        image='/front/image_raw',
        log_level='debug',
    )
    assert node.named['parameters'] == [
        '/my.yaml',
        {
            'use_sim_time': True,
            'autostart': False,
            'model.name': ('some/model', str),
            'model.device': ('cuda:1', str),
            'input.transport': ('compressed', str),
            'cacher.method': ('off', str),
            'prune_ratio': ('1', float),
        },
    ]
    assert node.named['respawn'] is True and node.named['respawn_delay'] == 0.5
    assert node.named['namespace'] == 'robot1'
    assert node.named['remappings'] == [('image', '/front/image_raw')]


def test_the_parameters_of_any_method_can_be_given(start):
    (node,) = start({'pruner': 'stc', 'pruner.stc.history_frames': '4'})
    assert node.named['parameters'][1]['pruner.stc.history_frames'] == 4


@pytest.mark.parametrize('included', [False, True])
def test_each_camera_has_its_own_arguments(start, monkeypatch, included):
    if included:
        monkeypatch.setattr(sys, 'argv', ['ros2', 'launch', 'robot', 'bringup.launch.py'])
    (node,) = start({'front.prune_ratio': '0.5', 'rear.pruner': 'stc', 'prune_ratio': '0.25'}, cameras='front, rear')
    assert node.named['parameters'][1] == {
        'use_sim_time': False,
        'autostart': True,
        'cameras': 'front, rear',
        'front.prune_ratio': ('0.5', float),
        'rear.pruner.method': ('stc', str),
        'prune_ratio': ('0.25', float),
    }
    if not included:
        with pytest.raises(ValueError, match="no argument 'left.prune_ratio'"):
            start({'left.prune_ratio': '0.5'}, cameras='front, rear')


@pytest.mark.parametrize(
    ('name', 'meant'),
    [('overlap', 'expert.overlap'), ('prune_ration', 'prune_ratio'), ('cacher.metod', 'cacher.method'), ('xyz', '')],
)
def test_an_argument_that_does_not_exist_is_an_error(start, name, meant):
    with pytest.raises(ValueError, match=f"no argument '{name}'.*{meant}"):
        start({name: 'true'})
    with pytest.raises(ValueError, match='pruner.stc.nonsense'):
        start({'pruner.stc.nonsense': '4'})


def test_the_arguments_of_a_launch_file_that_includes_this_one_are_its_own(start, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['ros2', 'launch', 'robot', 'bringup.launch.py'])
    (node,) = start({'robot_name': 'spot', 'prune_ratio': '0.5'})
    assert node.named['parameters'][1]['prune_ratio'] == ('0.5', float)
    assert 'robot_name' not in node.named['parameters'][1]


def test_the_camera_publishes_where_the_node_listens(start):
    node, camera = start(camera='true', camera_source='clip.mp4', image='/front/image_raw', namespace='robot1')
    assert camera.named['executable'] == 'camera'
    assert camera.named['parameters'] == [{'use_sim_time': False}, {'source': 'clip.mp4'}]
    for what in ('remappings', 'namespace'):
        assert camera.named[what] == node.named[what]


def test_neither_true_nor_false_is_refused(start):
    with pytest.raises(ValueError, match="must be true or false, not 'maybe'"):
        start(camera='maybe')


@pytest.mark.parametrize('delay', ['soon', '-1', 'nan', 'inf', ''])
def test_a_delay_that_is_no_time_is_refused(start, delay):
    with pytest.raises(ValueError, match=f"respawn_delay must be .* not '{delay}'"):
        start(respawn_delay=delay)


@pytest.mark.parametrize('already', [None, '/mine.xml'])
def test_the_large_image_profile_is_set_unless_there_is_one(launch_file, monkeypatch, already):
    monkeypatch.delenv('FASTDDS_DEFAULT_PROFILES_FILE', raising=False)
    if already:
        monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', already)
    set_by_launch = [
        a.positional for a in launch_file.generate_launch_description() if type(a).__name__ == 'SetEnvironmentVariable'
    ]
    profile = ('FASTDDS_DEFAULT_PROFILES_FILE', str(ROOT / 'config' / 'fastdds.xml'))
    assert set_by_launch == ([] if already else [profile])
