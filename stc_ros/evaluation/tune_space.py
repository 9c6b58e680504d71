"""What `stc_ros tune` searches over: methods, and the parameters that they and the stream declare, in their ranges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stc_ros.parameter_spec import NONE, ParameterSpec, SettingError, nearest
from stc_ros.parameters import METHODS, in_use, parameters
from stc_ros.settings import Settings, full_names

ALWAYS = {'cache_similarity': 'cacher', 'prune_ratio': 'pruner'}  # of a stream, and the kind of method that reads it
NEAR_ONE = ('cache_similarity',)  # what matters is the distance from 1, over several orders: it is drawn as a log
LEAST = 1e-4  # such distance
WIDE = 100  # a range from a number above 0 to so many times it is drawn as a log, too
DIGITS = 4  # of a float, so that a file of settings can be read


@dataclass(frozen=True, slots=True)
class Range:
    """Where a parameter is searched: from low to high, or among choices."""

    spec: ParameterSpec
    low: float = 0.0
    high: float = 0.0
    choices: tuple[Any, ...] = ()

    @property
    def key(self) -> str:
        """What the optimizer calls it."""
        return f'1 - {self.spec.name}' if self.near_one else self.spec.name

    @property
    def near_one(self) -> bool:
        return self.spec.name in NEAR_ONE and not self.choices

    def distribution(self) -> Any:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices:
            return CategoricalDistribution(self.choices)
        if self.near_one:
            return FloatDistribution(max(1 - self.high, LEAST), max(1 - self.low, 2 * LEAST), log=True)
        log = self.low > 0 and self.high / self.low >= WIDE
        if self.spec.type is int:
            return IntDistribution(int(self.low), int(self.high), log=log)
        return FloatDistribution(self.low, self.high, log=log)

    def suggest(self, trial: Any) -> Any:
        """What the optimizer draws."""
        where = self.distribution()
        if self.choices:
            return self.outer(trial.suggest_categorical(self.key, where.choices))
        draw = trial.suggest_int if self.spec.type is int else trial.suggest_float
        return self.outer(draw(self.key, where.low, where.high, log=where.log))

    def inner(self, value: Any) -> Any:
        """A parameter's value as the optimizer knows it."""
        return round(1 - value, 12) if self.near_one else value

    def outer(self, drawn: Any) -> Any:
        """And back, to a number that one can write."""
        if self.choices or self.spec.type is not float:
            return drawn
        value = float(f'{drawn:.{DIGITS}g}')
        return min(max(round(1 - value, 12) if self.near_one else value, self.low), self.high)

    def describe(self) -> str:
        if self.choices:
            return ','.join(map(str, self.choices))
        return f'{self.low:g}..{self.high:g}' + ' (the distance from 1 as a logarithm)' * self.near_one


@dataclass(frozen=True, slots=True)
class Space:
    """base: the settings that everything else comes from. methods: names by kind, those of several are searched."""

    base: Settings
    methods: Mapping[str, tuple[str, ...]]
    ranges: Mapping[str, Range]

    def suggest(self, trial: Any) -> Settings:
        """Settings that the optimizer chooses. What the chosen methods do not read is not asked for."""
        chosen = {
            f'{kind}.method': trial.suggest_categorical(f'{kind}.method', names) if len(names) > 1 else names[0]
            for kind, names in self.methods.items()
        }
        settings = self.base | chosen
        for name, each in self.ranges.items():
            if has_a_say(name, settings):
                settings |= {name: each.suggest(trial)}
        return settings

    def position(self, settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
        """Where settings lie in the space, as far as they do: values and distributions for the optimizer."""
        from optuna.distributions import CategoricalDistribution

        values, distributions = {}, {}
        for kind, names in self.methods.items():
            name = f'{kind}.method'
            if len(names) > 1 and settings[name] in names:
                values[name], distributions[name] = settings[name], CategoricalDistribution(names)
        for name, each in self.ranges.items():
            value, distribution = each.inner(settings[name]), each.distribution()
            inside = value in each.choices if each.choices else distribution.low <= value <= distribution.high
            if has_a_say(name, settings) and inside:
                values[each.key], distributions[each.key] = value, distribution
        return values, distributions

    def names(self, settings: Settings) -> list[str]:
        """The parameters that were searched and have a say in these settings."""
        methods = [f'{kind}.method' for kind in self.methods]
        return [*methods, *(name for name in self.ranges if has_a_say(name, settings))]

    def describe(self) -> list[str]:
        """A line for each thing that is searched."""
        methods = [f'{kind}.method: {", ".join(names)}' for kind, names in self.methods.items() if len(names) > 1]
        return methods + [f'{name}: {each.describe()}' for name, each in self.ranges.items()]


def make_space(
    base: Settings,
    methods: Mapping[str, Sequence[str]],
    only: Iterable[str] = (),
    given: Iterable[str] = (),
    fixed: Iterable[str] = (),
) -> Space:
    """The space. methods: names by kind, where more than the base's are searched.

    only: names of the parameters, where it is not all. given: `NAME=LOW..HIGH` or `NAME=A,B`, for other ranges and for
    more parameters. fixed: `NAME=VALUE`, which holds for the first trial, too. Raises `SettingError`.
    """
    for text in fixed:
        name, value = _split(text, 'NAME=VALUE')
        base |= {name: _value(parameters()[name], value)}
    chosen = {kind: tuple(dict.fromkeys(methods.get(kind) or (base[f'{kind}.method'],))) for kind in METHODS}
    for kind, names in chosen.items():
        for name in names:
            METHODS[kind][name]  # raises
    ranges = {}
    for name in ALWAYS:
        if any(method != NONE for method in chosen[ALWAYS[name]]):
            ranges[name] = declared(parameters()[name])
    for kind, names in chosen.items():
        for method in names:
            for name, spec in METHODS[kind][method].parameters.items():
                if spec.type is not str or spec.choices:
                    ranges[name] = declared(spec)
    for text in given:
        name, value = _split(text, 'NAME=LOW..HIGH or NAME=A,B')
        ranges[name] = _range(parameters()[name], value)
    held = {_split(text, '')[0] for text in fixed}
    wanted = [_known(name) for name in only]
    for name in wanted:
        if name not in ranges:
            raise SettingError(
                f'{name} is not searched{nearest(name, ranges)}: name its range with --parameters {name}=LOW..HIGH'
            )
    ranges = {name: each for name, each in ranges.items() if name not in held and (not wanted or name in wanted)}
    space = Space(base, chosen, ranges)
    if not space.describe():
        raise SettingError('there is nothing to search: all is held by --fix, or the methods have no parameter')
    return space


def declared(spec: ParameterSpec) -> Range:
    """The whole range that a parameter declares."""
    if spec.choices or spec.type is bool:
        return Range(spec, choices=spec.choices or (False, True))
    return Range(spec, spec.low, spec.high)


def has_a_say(name: str, settings: Settings) -> bool:
    """Whether a parameter changes anything under these settings."""
    return name in in_use(settings) and (name not in ALWAYS or settings[f'{ALWAYS[name]}.method'] != NONE)


def _range(spec: ParameterSpec, text: str) -> Range:
    if '..' not in text:
        return Range(spec, choices=tuple(_value(spec, each.strip()) for each in text.split(',')))
    low, high = (_value(spec, each.strip()) for each in text.split('..', 1))
    if spec.type not in (int, float) or low >= high:
        raise SettingError(f'{spec.name}={text} is no range: the lower number first, or choices with commas')
    return Range(spec, low, high)


def _value(spec: ParameterSpec, text: str) -> Any:
    if spec.type is bool:
        return spec.check({'true': True, 'false': False}.get(text.lower(), text))
    if spec.type not in (int, float):
        return spec.check(text)
    try:
        return spec.check(spec.type(text))
    except ValueError as error:
        said = error if isinstance(error, SettingError) else f'{text!r} is no {spec.type.__name__}'
        raise SettingError(str(said) if spec.name in str(said) else f'{spec.name}: {said}') from None


def _split(text: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition('=')
    if not equals or not value:
        raise SettingError(f'{text!r} has to be {form}')
    return _known(name.strip()), value.strip()


def _known(name: str) -> str:
    (full,) = full_names({name: None})
    if full not in parameters():
        raise SettingError(f'there is no parameter {name!r}{nearest(name, parameters())}')
    return full
