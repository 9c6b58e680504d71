"""Changes single questions in the text of a question file; whatever else stands there stays as it is, to the byte.

The places are those that PyYAML names. ruamel.yaml, which writes the whole file anew, was tried and not taken: it
rounds a stamp of 19 digits, indents lists its own way, and loses the comment behind a field that is removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml


class EditError(ValueError):
    """The text is laid out so that it has to be changed by hand."""


class Plain(str):
    """A text that is written without quotes: a number, yes or no."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _plain(dumper: _Dumper, text: Plain) -> yaml.ScalarNode:
    tag = dumper.resolve(yaml.ScalarNode, str(text), (True, False))
    return dumper.represent_scalar(tag, str(text))


_Dumper.add_representer(Plain, _plain)


def seconds(ns: int) -> Plain:
    """ns as s with all their digits: 12.3, 12.000000001."""
    return Plain(f'{ns // 10**9}.{ns % 10**9:09d}'.rstrip('0').rstrip('.'))


def inline(value: Any) -> str:
    """A value in one line, as it may stand anywhere in YAML."""
    text = yaml.dump([value], Dumper=_Dumper, default_flow_style=True, width=10**9, allow_unicode=True, sort_keys=False)
    return text.strip()[1:-1]


def entry(fields: Mapping[str, Any], column: int = 2) -> str:
    """A question as an item of a list, whose dash stands in that column."""
    lines = [f'{key}: {inline(value)}' for key, value in fields.items()]
    return ''.join(f'{" " * column}{"  " if place else "- "}{line}\n' for place, line in enumerate(lines))


def change(text: str, place: int, fields: Mapping[str, Any]) -> str:
    """Give fields of the question at `place` other values. `expect` takes the place of `proposed`."""
    item = _item(text, place)
    spans = {key.value: (key, value) for key, value in item.value}
    if 'expect' not in spans:
        spans['expect'] = spans.get('proposed')
    edits, added = [], []
    for name, value in fields.items():
        written = f'{name}: {inline(value)}'
        if spans.get(name):
            key, old = spans[name]
            edits.append((key.start_mark.index, _end(text, old), written))
        else:
            added.append(written)
    if added:
        key, last = item.value[-1]
        end = _end(text, last)
        if item.flow_style:
            edits.append((end, end, ''.join(f', {each}' for each in added)))
        else:
            end = _line_end(text, end)
            edits.append((end, end, ''.join(f'\n{" " * key.start_mark.column}{each}' for each in added)))
    for start, end, written in sorted(edits, reverse=True):
        text = text[:start] + written + text[end:]
    return text


def remove(text: str, place: int) -> str:
    """Without the question at `place`."""
    item = _item(text, place)
    start = text.rfind('\n', 0, _dash(text, item)) + 1
    return text[:start] + text[_line_end(text, _end(text, item)) + 1 :]


def insert(text: str, place: int, fields: Mapping[str, Any]) -> str:
    """With a new question, which then stands at `place`."""
    top = yaml.compose(text, Loader=yaml.SafeLoader)
    found = {} if top is None else {key.value: (key, value) for key, value in top.value}
    key, listed = found.get('questions', (None, None))
    if key is None:
        return f'{text}{"" if not text or text.endswith(chr(10)) else chr(10)}questions:\n{entry(fields)}'
    if not listed.value:  # `questions:` or `questions: []`
        end = _line_end(text, listed.end_mark.index)
        return f'{text[: key.end_mark.index]}:\n{entry(fields)}{text[end + 1 :]}'
    first = _item(text, 0)
    dash = _dash(text, first)
    column = dash - text.rfind('\n', 0, dash) - 1
    if place == 0:
        start = dash - column
        return text[:start] + entry(fields, column) + text[start:]
    end = _line_end(text, _end(text, _item(text, place - 1)))  # what is said above the next one stays there
    return f'{text[:end]}\n{entry(fields, column)}{text[end + 1 :]}'


def written(text: str, place: int, field: str) -> str:
    """A scalar of the question at `place`, as it is written."""
    return next(value.value for key, value in _item(text, place).value if key.value == field)


def _item(text: str, place: int) -> yaml.MappingNode:
    listed = next(v for k, v in yaml.compose(text, Loader=yaml.SafeLoader).value if k.value == 'questions')
    if listed.flow_style or not isinstance(listed, yaml.SequenceNode):
        raise EditError('the questions stand in one line, or in brackets: give each an own line that begins with "- "')
    return listed.value[place]


def _dash(text: str, item: yaml.Node) -> int:
    return text.rindex('-', 0, item.start_mark.index)


def _end(text: str, node: yaml.Node) -> int:
    """Where a value ends, without what follows it: a block ends for YAML only where the next one begins."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(text, last[1] if isinstance(node, yaml.MappingNode) else last)
    start, end = node.start_mark.index, node.end_mark.index
    return start + len(text[start:end].rstrip())


def _line_end(text: str, place: int) -> int:
    """Of the newline behind `place`, or of the text's end."""
    found = text.find('\n', place)
    return len(text) if found < 0 else found
