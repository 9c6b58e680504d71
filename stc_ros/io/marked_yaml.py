"""YAML whose every entry knows its line, so that what is wrong in a file can be named by file and line.

Scalars stay text unless `typed`: `no` is an answer and no truth value, and 1700000000.123456789 keeps all its digits.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from stc_ros.parameter_spec import nearest


class FileError(ValueError):
    """A file is not what it has to be. The message begins with file and line, as a compiler's does."""


class Section(dict):
    """A mapping: `lines[key]` is the line of an entry, `line` its own."""

    line: int
    lines: dict[str, int]


class Items(list):
    """A sequence: `lines[i]` is the line of an item, `line` its own."""

    line: int
    lines: list[int]


class MarkedFile:
    """What a file holds, in `content`, and how its errors are told."""

    def __init__(self, file: Path, typed: bool = False):
        self.file, self._typed = file, typed
        try:
            node = yaml.compose(file.read_text(encoding='utf-8'), Loader=yaml.SafeLoader)
        except OSError as error:
            raise FileError(f'{file}: cannot be read: {error.strerror}') from None
        except UnicodeDecodeError:
            raise FileError(f'{file}: is no text in UTF-8') from None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise FileError(f'{file}:{line}: no YAML: {error.problem or error.context}') from None
        except yaml.YAMLError as error:
            raise FileError(f'{file}:1: no YAML: {str(error).splitlines()[0]}') from None
        self.content = None if node is None else self._read(node)

    def error(self, line: int, message: str) -> FileError:
        return FileError(f'{self.file}:{line}: {message}')

    def section(self, value: Any, line: int, what: str, known: Iterable[str], needed: Iterable[str] = ()) -> Section:
        """`value`, which has to be a mapping with no other keys than `known` and with all that are `needed`."""
        known = list(known)
        if not isinstance(value, Section):
            raise self.error(line, f'{what} has to be a mapping with {", ".join(known)}')
        for key in value:
            if key not in known:
                raise self.error(
                    value.lines[key], f'{what} has no field {key!r}{nearest(key, known)}; fields: {", ".join(known)}'
                )
        if missing := [key for key in needed if key not in value]:
            raise self.error(line, f'{what} lacks {" and ".join(missing)}')
        return value

    def items(self, section: Section, key: str) -> list[tuple[int, Any]]:
        """The items of a list with their lines; none where the key is missing, one where it is no list."""
        value = section.get(key)
        if isinstance(value, Items):
            return list(zip(value.lines, value))
        return [] if key not in section or value == '' else [(section.lines[key], value)]

    def texts(self, section: Section, key: str) -> tuple[str, ...]:
        """A text or a list of texts."""
        found = self.items(section, key)
        for line, value in found:
            if not isinstance(value, str) or not value.strip():
                raise self.error(line, f'{key} has to be a text or a list of texts')
        return tuple(value for _, value in found)

    def text(self, section: Section, key: str, default: str = '') -> str:
        value = section.get(key, default)
        if not isinstance(value, str):
            raise self.error(section.lines[key], f'{key} has to be a text')
        return value

    def number(self, section: Section, key: str, default: float = 0.0) -> float:
        """A finite number that is not negative."""
        value = section.get(key)
        if value is None:
            return default
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = -1.0
        if not 0 <= number < float('inf'):
            raise self.error(section.lines[key], f'{key} has to be a number, 0 or more, not {value!r}')
        return number

    def _read(self, node: yaml.Node, above: tuple[int, ...] = ()) -> Any:
        if id(node) in above:
            raise self.error(node.start_mark.line + 1, 'an anchor that holds itself')
        above = (*above, id(node))
        if isinstance(node, yaml.MappingNode):
            section = Section()
            section.line, section.lines = node.start_mark.line + 1, {}
            for key_node, value in node.value:
                key, line = key_node.value, key_node.start_mark.line + 1
                if not isinstance(key, str):
                    raise self.error(line, 'a key has to be a text')
                if key in section:
                    raise self.error(line, f'{key!r} stands here twice, first on line {section.lines[key]}')
                section[key], section.lines[key] = self._read(value, above), line
            return section
        if isinstance(node, yaml.SequenceNode):
            items = Items(self._read(item, above) for item in node.value)
            items.line, items.lines = node.start_mark.line + 1, [item.start_mark.line + 1 for item in node.value]
            return items
        if self._typed:
            return yaml.SafeLoader('').construct_object(node)
        return '' if node.tag == 'tag:yaml.org,2002:null' and node.style is None else node.value
