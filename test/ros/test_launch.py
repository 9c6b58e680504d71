"""launch/stream.launch.py: its arguments, and what it starts from them."""

import importlib.util
import os
import signal
import subprocess
import sys
from types import ModuleType

import pytest
import yaml
from conftest import ROOT

from stc_ros.settings import KNOBS
from stc_ros.settings_export import to_yaml

FILE = ROOT / 'launch' / 'stream.launch.py'
WHAT_TO_SET = {
    'namespace',
    'params_file',
    'image',
    'image_transport',
    'model',
    'device',
    'use_sim_time',
    'autostart',
    'log_level',
    'respawn',
    'camera',
    'camera_source',
}


class Recorded:
    """Stands for any launch action: keeps what it was made with."""

    def __init__(self, *positional, **named):
        self.positional, self.named = positional, named


class Configuration(Recorded):
    def perform(self, context):
        return context[self.positional[0]]


@pytest.fixture
def launch_file(monkeypatch):
    """The launch file as a module, on stand-ins for the launch packages, which PyPI does not have."""
    modules = {
        'ament_index_python.packages': {'get_package_share_directory': lambda name: '/share/' + name},
        'launch': {'LaunchDescription': list},
        'launch.actions': {
            name: type(name, (Recorded,), {})
            for name in ('DeclareLaunchArgument', 'OpaqueFunction', 'SetEnvironmentVariable')
        },
        'launch.substitutions': {'LaunchConfiguration': Configuration},
        'launch_ros': {},
        'launch_ros.actions': {'Node': type('Node', (Recorded,), {})},
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
def start(launch_file):
    """`start(model='x')` gives the nodes that are started with these arguments."""
    declared = {
        a.positional[0]: a.named['default_value']
        for a in launch_file.generate_launch_description()
        if type(a).__name__ == 'DeclareLaunchArgument'
    }
    return lambda **given: launch_file.start_nodes({**declared, **given})


def test_every_argument_is_declared_with_a_text(launch_file):
    arguments = [a for a in launch_file.generate_launch_description() if type(a).__name__ == 'DeclareLaunchArgument']
    assert {a.positional[0] for a in arguments} == WHAT_TO_SET
    assert all(a.named['description'].endswith('.') for a in arguments)


def test_what_is_not_given_is_left_to_the_parameters_file(start):
    (node,) = start()
    file, overrides = node.named['parameters']
    assert file == '/share/stc_ros/config/stream.yaml'
    assert overrides == {'use_sim_time': False, 'autostart': True}
    assert node.named['executable'] == 'stream' and node.named['respawn'] is False


def test_what_is_given_overrides_the_parameters_file(start):
    (node,) = start(
        model='some/model',
        device='cuda:1',
        image_transport='compressed',
        use_sim_time='True',
        autostart='false',
        respawn='true',
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
            'model': 'some/model',
            'device': 'cuda:1',
            'image_transport': 'compressed',
        },
    ]
    assert node.named['respawn'] is True
    assert node.named['namespace'] == 'robot1'
    assert node.named['remappings'] == [('image', '/front/image_raw')]
    assert node.named['ros_arguments'] == ['--log-level', 'debug']


def test_the_camera_publishes_where_the_node_listens(start):
    node, camera = start(camera='true', camera_source='clip.mp4', image='/front/image_raw', namespace='robot1')
    assert camera.named['executable'] == 'camera'
    assert camera.named['parameters'] == [{'use_sim_time': False}, {'source': 'clip.mp4'}]
    for what in ('remappings', 'namespace'):
        assert camera.named[what] == node.named[what]


def test_neither_true_nor_false_is_refused(start):
    with pytest.raises(ValueError, match="must be true or false, not 'maybe'"):
        start(camera='maybe')


@pytest.mark.parametrize('already', [None, '/mine.xml'])
def test_the_large_image_profile_is_set_unless_there_is_one(launch_file, monkeypatch, already):
    monkeypatch.delenv('FASTDDS_DEFAULT_PROFILES_FILE', raising=False)
    if already:
        monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', already)
    set_by_launch = [
        a.positional for a in launch_file.generate_launch_description() if type(a).__name__ == 'SetEnvironmentVariable'
    ]
    profile = ('FASTDDS_DEFAULT_PROFILES_FILE', '/share/stc_ros/config/fastdds.xml')
    assert set_by_launch == ([] if already else [profile])


def test_stream_yaml_is_what_the_settings_say():
    text = (ROOT / 'config' / 'stream.yaml').read_text()
    assert text == to_yaml(), 'regenerate: ./dev run python -m stc_ros.settings --yaml > config/stream.yaml'
    parameters = yaml.safe_load(text)['/**']['ros__parameters']
    assert parameters == {knob.name: knob.default for knob in KNOBS.values()}


@pytest.mark.skipif(not importlib.util.find_spec('launch_ros'), reason='launch_ros is not on PyPI: source a ROS 2')
def test_launched_for_real_it_sees_its_camera(ros, toy, tmp_path):
    """The real launch packages start both nodes as processes; frames arrive at the model; SIGINT ends all."""
    from rclpy.qos import QoSProfile

    from stc_ros.msg import StreamStats

    stats = []
    ros.node.create_subscription(StreamStats, '/robot1/stc_stream/stats', stats.append, QoSProfile(depth=10))
    script = tmp_path / 'launch_it.py'
    script.write_text(
        'import sys\n'
        'from launch import LaunchDescription, LaunchService\n'
        'from launch.actions import IncludeLaunchDescription\n'
        'from launch.launch_description_sources import PythonLaunchDescriptionSource\n'
        'arguments = [tuple(a.split(":=")) for a in sys.argv[2:]]\n'
        'service = LaunchService()\n'
        'service.include_launch_description(LaunchDescription([IncludeLaunchDescription(\n'
        '    PythonLaunchDescriptionSource(sys.argv[1]), launch_arguments=arguments)]))\n'
        'sys.exit(service.run())\n'
    )
    log = (tmp_path / 'launch.log').open('w+')
    process = subprocess.Popen(
        [sys.executable, str(script), str(FILE), 'camera:=true', 'namespace:=robot1', f'model:={toy}'],
        stdout=log,
        stderr=log,
        start_new_session=True,
        env={**os.environ, 'ROS_LOG_DIR': str(tmp_path)},
    )
    try:
        seen = ros.spin_until(lambda: stats, timeout=90)
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
        code = process.wait(15)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    log.seek(0)
    said = log.read()
    assert seen, said
    assert stats[0].header.frame_id == 'camera' and stats[0].frames_processed >= 1
    assert code == 0 and 'Traceback' not in said, said
