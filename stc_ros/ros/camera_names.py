"""The parameter `cameras`: which cameras a node watches. Empty, it is one, on the topic `image`."""

from __future__ import annotations

import re
from typing import Any

from stc_ros.parameter_spec import LONGEST, SettingError, shown
from stc_ros.parameters import parameters

ONLY = 'camera'  # name of the session where `cameras` is empty
MOST = 16
LONGEST_NAME = 64
TEXT = (
    'Names of the cameras to watch, as [front, rear] or "front, rear"; each has its topics (front/image, '
    '~/front/narration, ...) and its own parameters (front.prune_ratio, ...). Empty: one camera on the topic image. '
    'Cameras may come and go while the node runs.'
)
# One for all cameras.
COMMON = ('model.', 'query.timeout', 'query.max_queue', 'watch.', 'expert.compile', 'expert.turn_limit')


def read_names(value: Any) -> tuple[str, ...]:
    """The names in a value of the parameter. Raises `SettingError`."""
    if isinstance(value, (str, list, tuple)) and len(value) > LONGEST:
        raise SettingError(f'cameras has {len(value)} characters or names; at most {MOST} names are taken')
    names = value.split(',') if isinstance(value, str) else list(value or ())
    if not all(isinstance(name, str) for name in names):
        raise SettingError(f'cameras must be names, as in [front, rear], not {shown(value)}')
    names = [name.strip() for name in names if name.strip()]
    reserved = {name.split('.')[0] for name in parameters()}
    for name in names:
        if not re.fullmatch('[A-Za-z][A-Za-z0-9_]*', name) or len(name) > LONGEST_NAME:
            raise SettingError(f'cameras: a name has letters, digits and _ and begins with a letter, not {shown(name)}')
        if name in reserved:
            raise SettingError(f'cameras: {name!r} is the name of a group of parameters: choose another')
    if len(set(names)) < len(names):
        raise SettingError(f'cameras: a name stands twice in {", ".join(names)}')
    if len(names) > MOST:
        raise SettingError(f'cameras: at most {MOST} cameras, not {len(names)}')
    return tuple(names)


def is_of_each(name: str) -> bool:
    """Whether every camera has its own value of a parameter."""
    return not name.startswith(COMMON)
