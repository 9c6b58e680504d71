"""Start the node, and a demonstration camera if one is asked for: `ros2 launch stc_ros stream.launch.py --show-args`.

Every parameter of the node is an argument, too. One that is not given leaves the value to params_file, and where that
is silent to the node's defaults; one that does not exist is an error.
"""

import math
import os
import sys
from pathlib import Path

import yaml
from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration, TextSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from stc_ros.parameter_spec import nearest
from stc_ros.parameters import METHODS, SHORT
from stc_ros.ros.fastdds import VARIABLE

CONFIG = Path(get_package_share_directory('stc_ros')) / 'config'

ARGUMENTS = {  # name: (default, text)
    'namespace': ('', 'Namespace of all nodes, topics and services.'),
    'params_file': (str(CONFIG / 'stream.yaml'), 'Parameters of the node, a YAML file.'),
    'image': ('image', 'Image topic to watch; the demonstration camera publishes there.'),
    'use_sim_time': ('false', 'Take the time from /clock.'),
    'autostart': ('true', 'Configure and activate the node at once; false leaves that to a lifecycle manager.'),
    'log_level': ('info', 'debug, info, warn, error or fatal.'),
    'respawn': ('false', 'Start the node again when it dies.'),
    'respawn_delay': ('2.0', 'Seconds from its death to its next start.'),
    'camera': ('false', 'Start the demonstration camera, too.'),
    'camera_source': ('synthetic', 'What it shows: synthetic, a video file, or /dev/videoN.'),
}


def read_parameters(file: Path) -> dict:
    """name: (default, text) of every parameter in config/stream.yaml; the text stands in the comment above."""
    found, groups, text = {}, [], []
    for line in file.read_text().splitlines()[3:]:
        depth, line = (len(line) - len(line.lstrip())) // 2 - 2, line.strip()
        if line.startswith('#'):
            text.append(line[2:])
            continue
        key, _, value = line.partition(':')
        groups = [*groups[:depth], key]
        if value:
            found['.'.join(groups)] = yaml.safe_load(value), ' '.join(text)
        text = []
    return found


def true(text: str) -> bool:
    if text.lower() not in ('true', 'false'):
        raise ValueError(f'an argument must be true or false, not {text!r}')
    return text.lower() == 'true'


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f'respawn_delay must be a number of seconds from 0 on, not {text!r}')
    return value


def overrides(given: dict) -> dict:
    """What the launch line says of parameters. Raises `ValueError` for an argument that does not exist."""
    parameters = read_parameters(CONFIG / 'stream.yaml')
    values = {}
    for name, text in given.items():
        name = SHORT.get(name, name)
        if name in parameters:
            kind = type(parameters[name][0])
            values[name] = ParameterValue([TextSubstitution(text=text)], value_type=kind)  # a plain str is refused
        elif of_a_method(name):
            values[name] = yaml.safe_load(text)
        else:
            meant = nearest(name, [*ARGUMENTS, *SHORT, *parameters])
            raise ValueError(f'there is no argument {name!r}{meant}; --show-args lists all')
    return values


def of_a_method(name: str) -> bool:
    """Whether it is a parameter of a method that is not the default: pruner.stc.history_frames, say."""
    if name.split('.')[0] not in METHODS or name.count('.') < 2:
        return False
    try:
        from stc_ros.parameters import parameters

        return name in parameters()
    except ImportError:  # launch may run in another Python than the node, which then says what is wrong
        return True


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
    lines = context.launch_configurations
    if any(
        word.endswith(Path(__file__).name) for word in sys.argv
    ):  # else another launch file's arguments are there, too
        more = {name: text for name, text in lines.items() if name not in ARGUMENTS and text != ''}
    else:
        known = [*read_parameters(CONFIG / 'stream.yaml'), *SHORT]
        more = {name: text for name, text in lines.items() if text != '' and (name in known or of_a_method(name))}
    nodes = [
        Node(
            executable='stream',
            name='stc_stream',
            respawn=true(given['respawn']),
            respawn_delay=seconds(given['respawn_delay']),
            **common,
            parameters=[given['params_file'], {**sim_time, 'autostart': true(given['autostart']), **overrides(more)}],
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
    profile = [] if VARIABLE in os.environ else [SetEnvironmentVariable(VARIABLE, str(CONFIG / 'fastdds.xml'))]
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    parameters = [
        DeclareLaunchArgument(name, default_value='', description=f'Parameter. {text}')
        for name, (_, text) in read_parameters(CONFIG / 'stream.yaml').items()
    ]
    return LaunchDescription([*profile, *arguments, *parameters, OpaqueFunction(function=start_nodes)])
