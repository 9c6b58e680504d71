"""Parts that are chosen by name: cachers, pruners, memories, data sets, model families. One file each.

A part is a class that registers itself where it is defined; a registry finds all of a kind by importing every module
of one package, once, and what other packages offer under the entry point group of that package's name. The class is a
dataclass whose `param` fields (see settings.py) become parameters called `kind.name.field`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from stc_ros.parameter_spec import ParameterSpec, SettingError, nearest, specs


@dataclass(frozen=True, slots=True)
class Part:
    """A registered class. source: where its method was published; scope: what it goes by, in a word or two."""

    name: str
    cls: type
    source: str
    scope: str
    parameters: dict[str, ParameterSpec]  # by full name

    @property
    def text(self) -> str:
        """The first line of the class's docstring."""
        return (self.cls.__doc__ or '').strip().split('\n')[0]


class Registry:
    """All parts of one `kind`, found in `package` when they are first asked for."""

    def __init__(self, kind: str, package: str):
        self.kind, self.package = kind, package
        self._parts: dict[str, Part] = {}
        self._walked = False

    def register(self, name: str, *, source: str = '', scope: str = '') -> Callable[[type], type]:
        """A class decorator. Raises `ValueError` when the name is taken or is none that YAML reads as a text."""

        def add(cls: type) -> type:
            taken = self._parts.get(name)
            if taken and (taken.cls.__module__, taken.cls.__qualname__) != (cls.__module__, cls.__qualname__):
                raise ValueError(f'two {self.kind}s are called {name}: {taken.cls.__module__} and {cls.__module__}')
            if not name.isidentifier() or name.lower() in ('on', 'off', 'yes', 'no', 'true', 'false', 'null'):
                raise ValueError(f'{name!r} cannot name a {self.kind}: YAML or a parameter file would misread it')
            self._parts[name] = Part(name, cls, source, scope, specs(cls, f'{self.kind}.{name}'))
            return cls

        return add

    def walk(self) -> Registry:
        """Import every module of the package, once."""
        if not self._walked:
            self._walked = True
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__, self.package + '.'):
                importlib.import_module(module.name)
            for point in entry_points(group=self.package):
                point.load()
        return self

    def names(self) -> tuple[str, ...]:
        """All names, `none` first, the rest in order."""
        return tuple(sorted(self.walk()._parts, key=lambda name: (name != 'none', name)))

    def __iter__(self) -> Iterator[Part]:
        return (self._parts[name] for name in self.names())

    def __contains__(self, name: str) -> bool:
        return name in self.walk()._parts

    def __getitem__(self, name: str) -> Part:
        """Raises `SettingError` for a name that nothing is registered under."""
        if name not in self:
            raise SettingError(f'there is no {self.kind} {name!r}{nearest(name, self.names())}: '
                               f'choose one of {", ".join(self.names())}')  # fmt: skip
        return self._parts[name]

    def create(self, name: str, values: Mapping[str, Any] = {}) -> Any:  # noqa: B006 - never written to
        """The part called `name`, its parameters taken from `values` (by full name) where they are given."""
        part = self[name]
        return part.cls(**{spec.field: values.get(full, spec.default) for full, spec in part.parameters.items()})
