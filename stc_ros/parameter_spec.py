"""What a parameter is. Imports neither torch nor rclpy.

Parameters stand as fields of dataclasses, made with `param`: those of the package in parameters.py, a method's own in
its class. From them come the ROS parameters, launch arguments, command lines, `config/stream.yaml` and docs.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

NONE = 'none'
MEANS_NONE = (False, 'off', 'false', 'False', 'OFF')  # `off` in YAML is false; versions before 0.2 called `none` so
LONGEST = 4096  # characters of a text: a prompt, a name
SHOWN = 80  # characters of a refused value that its message repeats
TYPES = {'str': str, 'float': float, 'int': int, 'bool': bool}


class SettingError(ValueError):
    """A setting's value or name is refused. The message names the setting, the value and what is allowed."""


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """What a parameter is, beside its value: `low` and `high` are both inclusive and finite (rqt needs them so)."""

    name: str  # with its group: narration.period
    field: str  # of the dataclass that holds it
    type: type
    default: Any
    text: str
    unit: str = ''
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = True

    def check(self, value: Any) -> Any:
        """Return `value` as this parameter's type. Raises `SettingError`."""
        if NONE in self.choices and any(value is v or (isinstance(value, str) and value == v) for v in MEANS_NONE):
            value = NONE
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            try:
                value = float(value)
            except OverflowError:
                value = math.inf  # refused below
        if type(value) is not self.type:
            allowed = f': one of {", ".join(self.choices)}' if self.choices else ''
            example = f', with a point, as in {self.default}' if self.type is float else ''
            raise SettingError(f'{self.name} must be a {self.type.__name__}{allowed}{example}, not {shown(value)}')
        if self.type is str and len(value) > LONGEST:
            raise SettingError(f'{self.name} has {len(value)} characters; at most {LONGEST} are taken')
        if self.type is float and not math.isfinite(value):
            raise SettingError(f'{self.name} must be finite, not {value}')
        if self.low is not None and not self.low <= value <= self.high:
            raise SettingError(f'{self.name} must lie in [{self.low:g}, {self.high:g}], not {value:g}')
        if self.choices and value not in self.choices:
            raise SettingError(f'{self.name} must be one of {", ".join(self.choices)}, not {shown(value)}')
        return value

    @property
    def range(self) -> str:
        """What is allowed, in words; empty where everything of the type is."""
        if self.choices:
            return ', '.join(self.choices)
        return '' if self.low is None else f'{self.low:g} to {self.high:g}'

    def describe(self) -> str:
        """One line: text, default, unit, what is allowed."""
        notes = [f'{self.default!r} {self.unit}'.strip(), self.range, '' if self.live else 'fixed while it runs']
        return f'{self.text} ({"; ".join(n for n in notes if n)})'


def shown(value: Any) -> str:
    """A value as a message repeats it: of what may be megabytes, only the beginning."""
    if isinstance(value, int) and value.bit_length() > 4 * SHOWN:  # Python refuses to write those of 4,300 digits
        return f'a number of {value.bit_length()} bits'
    text = repr(value[:SHOWN] if isinstance(value, (str, bytes, list, tuple)) else value)
    return text if len(text) <= 2 * SHOWN else f'{text[: 2 * SHOWN]}...'


def param(
    default: Any, text: str, *, unit: str = '', low=None, high=None, choices=(), live: bool = True, name: str = ''
):
    """A dataclass field that is a parameter. `name`: its full name, where that is not its group and its field's name.

    `choices` may be a function that gives them, for what is known only once the package has been walked.
    """
    about = dict(text=text, unit=unit, low=low, high=high, choices=choices, live=live, name=name)
    return field(default=default, metadata={'param': about})


def specs(cls: type, prefix: str = '') -> dict[str, ParameterSpec]:
    """The parameters among a dataclass's fields, by full name; `prefix` is their group."""
    found = {}
    for each in dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ():
        if about := each.metadata.get('param'):
            about = dict(about)
            name = about.pop('name') or '.'.join(filter(None, (prefix, each.name)))
            choices = about.pop('choices')
            kind = TYPES[each.type] if isinstance(each.type, str) else each.type
            chosen = tuple(choices() if callable(choices) else choices)
            found[name] = ParameterSpec(name, each.name, kind, each.default, choices=chosen, **about)
    return found


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` when something is spelt nearly so, or ends so; else nothing."""
    known = list(known)
    same = [each for each in known if each.rsplit('.', 1)[-1] == name or each == f'{name}.method']
    found = same or difflib.get_close_matches(name, known, 3)
    return f' (did you mean {" or ".join(found)}?)' if found else ''
