"""Parameters as config/stream.yaml, as a table for the documentation, and as command line options."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import yaml

from stc_ros.parameter_spec import ParameterSpec, SettingError
from stc_ros.parameters import METHODS, SHORT, in_use, parameters
from stc_ros.settings import Settings

HEADER = """\
# Parameters of the stc_stream node. Generated: ./dev run python -m stc_ros.parameters --yaml > config/stream.yaml
/**:
  ros__parameters:
"""
WIDTH = 110
METAVAR = {float: 'X', int: 'N', str: 'TEXT', bool: '{true,false}'}


def to_yaml() -> str:
    """Every parameter that has a say by default, in its group, commented with its text, range and unit."""
    lines, open_groups = [], []
    for name, spec in in_use(Settings()).items():
        *groups, leaf = name.split('.')
        while open_groups != groups[: len(open_groups)]:
            open_groups.pop()
        for group in groups[len(open_groups) :]:
            lines.append(f'{_indent(len(open_groups))}{group}:')
            open_groups.append(group)
        indent = _indent(len(groups))
        lines += textwrap.wrap(_about(spec), WIDTH, initial_indent=indent + '# ', subsequent_indent=indent + '# ')
        lines.append(f'{indent}{leaf}: {_yaml(spec.default)}')
    return HEADER + '\n'.join(lines) + '\n'


def to_markdown() -> str:
    """The parameters as a table, and the methods as one for each kind."""
    rows = ['| parameter | default | range | live | meaning |', '|---|---|---|---|---|']
    for name, spec in parameters().items():
        default = f'`{_yaml(spec.default)}` {spec.unit}'.strip()
        rows.append(f'| `{name}` | {default} | {spec.range} | {"yes" if spec.live else "no"} | {spec.text} |')
    for kind, registry in METHODS.items():
        rows += ['', f'## `{kind}.method`', '', '| name | what it does | goes by | source |', '|---|---|---|---|']
        rows += [f'| `{p.name}` | {p.text} | {p.scope} | {p.source} |' for p in registry]
    return '\n'.join(rows) + '\n'


def add_arguments(parser, names: Iterable[str] | None = None) -> None:
    """Add an option for each of `names` (all, by default): --prune-ratio, --cacher.method, ..."""
    add_options(parser, (parameters()[name] for name in names or parameters()))


def add_options(parser, specs: Iterable[ParameterSpec]) -> None:
    """Add an option for each parameter, a stream's or another part's."""
    short = {full: name for name, full in SHORT.items()}
    for spec in specs:
        names = [_option(short[spec.name])] if spec.name in short else []
        parser.add_argument(
            *names,
            _option(spec.name),
            dest=spec.name,
            default=spec.default,
            type=_reader(spec),
            metavar='NAME' if spec.choices else METAVAR[spec.type],
            help=spec.describe().replace('%', '%%'),
        )


def from_arguments(arguments: argparse.Namespace) -> Settings:
    """`Settings` from parsed arguments; names that were not added keep their defaults. Raises `SettingError`."""
    given = vars(arguments)
    return Settings({name: given[name] for name in parameters() if name in given})


def to_arguments(values: Mapping[str, Any]) -> list[str]:
    """The options that give these values of parameters."""
    text = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
    return [word for name, value in text.items() for word in (_option(name), value)]


def _option(name: str) -> str:
    return '--' + name.replace('_', '-')


def _reader(spec: ParameterSpec) -> Callable[[str], Any]:
    """What reads a parameter from the command line."""

    def read(text: str) -> Any:
        value = {'true': True, 'false': False}.get(text.lower(), text) if spec.type is bool else text
        try:
            return spec.check(spec.type(value) if spec.type in (int, float) else value)
        except ValueError as error:
            said = str(error) if isinstance(error, SettingError) else f'{text!r} is no {spec.type.__name__}'
            raise argparse.ArgumentTypeError(said) from None

    return read


def _indent(depth: int) -> str:
    return '  ' * (depth + 2)


def _about(spec: ParameterSpec) -> str:
    notes = [n for n in (spec.range, spec.unit, '' if spec.live else 'fixed while it runs') if n]
    return spec.text + (f' ({"; ".join(notes)})' if notes else '')


def _yaml(value) -> str:
    return yaml.safe_dump(value, default_style='"' if isinstance(value, str) else None).split('\n')[0]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog='python -m stc_ros.parameters', description=__doc__)
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument('--yaml', action='store_true', help='config/stream.yaml')
    form.add_argument('--markdown', action='store_true', help='the tables of docs/parameters.md')
    print(to_yaml() if parser.parse_args(argv).yaml else to_markdown(), end='')
