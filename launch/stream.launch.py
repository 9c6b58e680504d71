"""Start the node, and a demonstration camera if one is asked for: `ros2 launch stc_ros stream.launch.py --show-args`.

Every parameter of the node is an argument, too. One that is not given leaves the value to params_file, and where that
is silent to the node's defaults; one that does not exist is an error.
"""

import math
import os
import re
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
    'cameras': ('', 'Several cameras, front,rear say: front/image is watched, with front.prune_ratio:=..., and so on.'),
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


def split(name: str, cameras: list[str]) -> tuple[str, str]:
    """front.pruner -> ('front.', 'pruner.method'), where front is a camera; without one ('', ...)."""
    camera, dot, own = name.partition('.')
    if dot and camera in cameras:
        return f'{camera}.', SHORT.get(own, own)
    return '', SHORT.get(name, name)


def overrides(given: dict, cameras: list[str]) -> dict:
    """What the launch line says of parameters. Raises `ValueError` for an argument that does not exist."""
    parameters = read_parameters(CONFIG / 'stream.yaml')
    values = {}
    for argument, text in given.items():
        of_camera, name = split(argument, cameras)
        if name in parameters:
            kind = type(parameters[name][0])
            value = ParameterValue([TextSubstitution(text=text)], value_type=kind)  # a plain str is refused
        elif of_a_method(name):
            value = yaml.safe_load(text)
        else:
            meant = nearest(name, [*ARGUMENTS, *SHORT, *parameters])
            raise ValueError(f'there is no argument {argument!r}{meant}; --show-args lists all')
        values[of_camera + name] = value
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
    cameras = re.findall(r'\w+', given['cameras'])
    more = {name: text for name, text in context.launch_configurations.items() if name not in ARGUMENTS and text != ''}
    if not any(
        word.endswith(Path(__file__).name) for word in sys.argv
    ):  # another launch file's arguments are there, too
        known = read_parameters(CONFIG / 'stream.yaml')
        ours = {argument: split(argument, cameras)[1] for argument in more}
        more = {name: text for name, text in more.items() if ours[name] in known or of_a_method(ours[name])}
    own = {'autostart': true(given['autostart']), **({'cameras': given['cameras']} if cameras else {})}
    nodes = [
        Node(
            executable='stream',
            name='stc_stream',
            respawn=true(given['respawn']),
            respawn_delay=seconds(given['respawn_delay']),
            **common,
            parameters=[given['params_file'], {**sim_time, **own, **overrides(more, cameras)}],
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
