"""Start the node, and a demonstration camera if one is asked for: `ros2 launch stc_ros stream.launch.py --show-args`.

An argument that is not given leaves the value to params_file, and where that is silent to the node's defaults.
"""

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

CONFIG = Path(get_package_share_directory('stc_ros')) / 'config'
PROFILE = 'FASTDDS_DEFAULT_PROFILES_FILE'

ARGUMENTS = {  # name: (default, text)
    'namespace': ('', 'Namespace of all nodes, topics and services.'),
    'params_file': (str(CONFIG / 'stream.yaml'), 'Parameters of the node, a YAML file.'),
    'image': ('image', 'Image topic to watch; the demonstration camera publishes there.'),
    'image_transport': ('', 'raw or compressed (then <image>/compressed is watched).'),
    'model': ('', 'Hub id or local folder of a model; the embedded model knows only its synthetic world.'),
    'device': ('', 'auto, cpu, cuda, cuda:1, ...'),
    'use_sim_time': ('false', 'Take the time from /clock.'),
    'autostart': ('true', 'Configure and activate the node at once; false leaves that to a lifecycle manager.'),
    'log_level': ('info', 'debug, info, warn, error or fatal.'),
    'respawn': ('false', 'Start the node again when it dies.'),
    'camera': ('false', 'Start the demonstration camera, too.'),
    'camera_source': ('synthetic', 'What it shows: synthetic, a video file, or /dev/videoN.'),
}


def true(text: str) -> bool:
    if text.lower() not in ('true', 'false'):
        raise ValueError(f'an argument must be true or false, not {text!r}')
    return text.lower() == 'true'


def start_nodes(context):
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    common = {
        'package': 'stc_ros',
        'namespace': given['namespace'],
        'output': 'screen',
        'emulate_tty': True,
        'remappings': [('image', given['image'])],
        'ros_arguments': ['--log-level', given['log_level']],
    }
    sim_time = {'use_sim_time': true(given['use_sim_time'])}
    overrides = {name: given[name] for name in ('image_transport', 'model', 'device') if given[name]}
    nodes = [
        Node(
            executable='stream',
            name='stc_stream',
            respawn=true(given['respawn']),
            respawn_delay=2.0,
            **common,
            parameters=[given['params_file'], {**sim_time, **overrides, 'autostart': true(given['autostart'])}],
        )
    ]
    if true(given['camera']):
        nodes.append(
            Node(
                executable='camera', name='camera', **common, parameters=[sim_time, {'source': given['camera_source']}]
            )
        )
    return nodes


def generate_launch_description():
    profile = [] if PROFILE in os.environ else [SetEnvironmentVariable(PROFILE, str(CONFIG / 'fastdds.xml'))]
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*profile, *arguments, OpaqueFunction(function=start_nodes)])
