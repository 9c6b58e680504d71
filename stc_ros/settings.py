"""A checked set of values of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stc_ros.parameter_spec import SettingError, nearest, specs
from stc_ros.parameters import SHORT, parameters

__all__ = ['SettingError', 'Settings']


class Settings(Mapping[str, Any]):
    """A checked value for every parameter, by its full name; those not given have their defaults.

    Immutable: `settings | {'prune_ratio': 0.5}` is another one, checked again. Raises `SettingError` for a name that is
    no parameter's and for a value that is not allowed.
    """

    __slots__ = ('_values',)

    def __init__(self, values: Mapping[str, Any] | Iterable = (), /):
        table, given = parameters(), full_names(dict(values))
        for name in given:
            if name not in table:
                raise SettingError(f'there is no parameter {name!r}{nearest(name, table)}')
        self._values = {name: spec.check(given.get(name, spec.default)) for name, spec in table.items()}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __or__(self, changes: Mapping[str, Any]) -> Settings:
        return Settings({**self._values, **full_names(changes)})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self._values == other._values

    def __hash__(self) -> int:
        return hash(tuple(self._values.items()))

    def __repr__(self) -> str:
        return f'Settings({self.changed()})'

    def changed(self) -> dict[str, Any]:
        """What differs from the defaults."""
        return {name: self[name] for name, spec in parameters().items() if self[name] != spec.default}

    def fill(self, cls: type, prefix: str = '') -> Any:
        """A dataclass of parameters with the values that stand here."""
        return cls(**{spec.field: self[name] for name, spec in specs(cls, prefix).items()})

    def fixed_changes(self, other: Settings) -> list[str]:
        """Names of the parameters that differ from `other` and cannot change while it runs."""
        return [name for name, spec in parameters().items() if not spec.live and self[name] != other[name]]


def full_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` by the full names of their parameters, where short ones are given."""
    return {SHORT.get(name, name): value for name, value in values.items()}
