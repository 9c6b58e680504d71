"""Write the settings as `config/stream.yaml` or as the README's table: `python -m stc_ros.settings --yaml`."""

from __future__ import annotations

import argparse

from stc_ros.settings import KNOBS, Knob

HEADER = """\
# Parameters of the stc_stream node. Generated: python -m stc_ros.settings --yaml > config/stream.yaml
/**:
  ros__parameters:
"""


def to_yaml() -> str:
    """Every setting with its default, commented with its text, range and unit."""
    return HEADER + ''.join(f'    # {_about(k)}\n    {k.name}: {_yaml(k.default)}\n' for k in KNOBS.values())


def to_markdown() -> str:
    """The parameters as a table."""
    rows = ['| parameter | default | range | live | meaning |', '|---|---|---|---|---|']
    for k in KNOBS.values():
        unit = f' {k.unit}' if k.unit else ''
        default = f'`{_yaml(k.default)}`{unit}'
        rows.append(f'| `{k.name}` | {default} | {_range(k)} | {"yes" if k.live else "no"} | {k.text} |')
    return '\n'.join(rows) + '\n'


def _range(k: Knob) -> str:
    if k.choices:
        return ', '.join(k.choices)
    return '' if k.low is None else f'{k.low:g} to {k.high:g}'


def _about(k: Knob) -> str:
    notes = [n for n in (_range(k), k.unit, '' if k.live else 'fixed while it runs') if n]
    return k.text + (f' ({"; ".join(notes)})' if notes else '')


def _yaml(value) -> str:
    return (
        {True: 'true', False: 'false'}[value]
        if isinstance(value, bool)
        else (f'"{value}"' if isinstance(value, str) else repr(value))
    )


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(prog='python -m stc_ros.settings', description=__doc__)
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument('--yaml', action='store_true', help='config/stream.yaml')
    form.add_argument('--markdown', action='store_true', help="the README's table")
    print(to_yaml() if parser.parse_args(argv).yaml else to_markdown(), end='')
