"""A file of settings: in the form of config/stream.yaml, which the node takes, or flat (`prune_ratio: 0.5`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stc_ros.io.marked_yaml import FileError, Items, MarkedFile, Section
from stc_ros.settings import SettingError, Settings

ROS = 'ros__parameters'
NODE = ('use_sim_time',)  # what every node has, and no stream


def read_settings(file: Path) -> Settings:
    """Raises `FileError`, which names file, line and, for a name nearly right, the one that is meant."""
    marked = MarkedFile(file, typed=True)
    if marked.content is None:
        return Settings()
    if not isinstance(marked.content, Section):
        raise marked.error(1, 'a settings file has to be a mapping: prune_ratio: 0.5, say')
    values = {}
    for line, name, value in _flat(marked, _parameters(marked, marked.content)):
        try:
            values[name] = value
            Settings({name: value})
        except SettingError as error:
            raise marked.error(line, str(error)) from None
    try:
        return Settings(values)
    except SettingError as error:
        raise FileError(f'{file}:1: {error}') from None


def _parameters(marked: MarkedFile, top: Section) -> Section:
    """What stands below `ros__parameters`, where that is anywhere; else all."""
    nodes = [name for name, value in top.items() if isinstance(value, Section) and ROS in value]
    if ROS in top:
        return marked.section(top[ROS] or Section(), top.lines[ROS], ROS, top[ROS] or ())
    if not nodes:
        return top
    if len(nodes) > 1 or len(top) > 1:
        second = next(name for name in top if name != nodes[0])
        raise marked.error(top.lines[second], 'one file has the settings of one node')
    inner = top[nodes[0]]
    return marked.section(inner[ROS] or Section(), inner.lines[ROS], ROS, inner[ROS] or ())


def _flat(marked: MarkedFile, section: Section, group: str = '') -> list[tuple[int, str, Any]]:
    """(line, full name, value) of every parameter."""
    found = []
    for key, value in section.items():
        name, line = f'{group}{key}', section.lines[key]
        if isinstance(value, Section):
            found += _flat(marked, value, f'{name}.')
        elif isinstance(value, Items):
            raise marked.error(line, f'{name} has to be one value, not a list')
        elif name not in NODE:
            found.append((line, name, value))
    return found
