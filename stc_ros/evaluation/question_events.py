"""Questions that are asked when something happens: when a message of another topic in the bag meets a condition.

    on: {topic: /door/open, field: data, equals: true, which: each, after: 0.5}

field: a path, `status.0.level`; equals, above, below, contains: what it has to be, all of them where there are several;
which: each (by default), first, last, or 3 for the third; edge: true counts only messages that meet the condition while
the one before did not; after: s from the message until the question is asked. Without field every message counts.

A message's time is its header.stamp; where it has none, when it was recorded. All of the topic's messages are read: it
may be of any type that the bag defines.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stc_ros.io.marked_yaml import MarkedFile
from stc_ros.parameter_spec import nearest

if TYPE_CHECKING:
    from stc_ros.io.bags import Bag

TESTS = ('equals', 'above', 'below', 'contains')
FIELDS = ('topic', 'field', *TESTS, 'edge', 'which', 'after')
EACH, LAST = 0, -1
TRUTH = {'true': True, 'yes': True, 'false': False, 'no': False}


class Unfit(ValueError):
    """A condition does not fit the messages."""


@dataclass(frozen=True, slots=True)
class Event:
    """Which messages of which topic."""

    line: int
    topic: str
    field: str = ''  # '': every message
    tests: tuple[tuple[str, str], ...] = ()  # (one of TESTS, what it is compared with)
    edge: bool = False
    which: int = EACH  # or LAST, or 1 for the first, ...
    after: int = 0  # ns


def read_event(marked: MarkedFile, line: int, value: Any) -> Event:
    """What stands behind `on:`. Raises `FileError`."""
    section = marked.section(value, line, 'on', FIELDS, needed=('topic',))
    topic, field = marked.text(section, 'topic').strip(), marked.text(section, 'field').strip()
    tests = tuple((name, marked.text(section, name)) for name in TESTS if name in section)
    if not topic:
        raise marked.error(section.lines['topic'], 'topic is empty')
    if tests and not field:
        raise marked.error(line, f'on has {tests[0][0]} but no field: field: data, say')
    if field and not tests:
        raise marked.error(section.lines['field'], f'a field needs one of {", ".join(TESTS)} beside it')
    for name, wanted in tests:
        if name in ('above', 'below') and _number(wanted) is None:
            raise marked.error(section.lines[name], f'{name} has to be a number, not {wanted!r}')
    edge = marked.text(section, 'edge', 'false').lower()
    if edge not in TRUTH:
        raise marked.error(section.lines['edge'], f'edge has to be true or false, not {edge!r}')
    if TRUTH[edge] and not tests:
        raise marked.error(section.lines['edge'], 'edge belongs to a condition: field and equals, say')
    which = marked.text(section, 'which', 'each')
    number = {'each': EACH, 'first': 1, 'last': LAST}.get(which, int(which) if which.isdecimal() else 0)
    if number == EACH and which != 'each':
        raise marked.error(section.lines['which'], f'which has to be each, first, last or a number, not {which!r}')
    after = round(marked.number(section, 'after') * 1e9)
    return Event(line, topic, field, tests, TRUTH[edge], number, after)


def stamps_of(bag: Bag, events: Iterable[Event]) -> tuple[dict[Event, list[int] | str], list[str]]:
    """When each event's question is asked, in ns and in order of time, or a text why that cannot be said; and what of
    the bag cannot be read: what came before it counts."""
    if not (events := list(events)):
        return {}, []
    names = {name.strip('/'): name for name, _, _ in bag.topics()}
    found: dict[Event, list[int] | str] = {}
    watched: dict[str, list[_Watched]] = {}
    for event in events:
        topic = names.get(event.topic.strip('/'))
        if topic is None:
            found[event] = f'the bag has no topic {event.topic}{nearest(event.topic, names.values())}'
        else:
            watched.setdefault(topic, []).append(_Watched(event))
    problems = []
    if watched:
        try:
            for message in bag.messages(list(watched)):
                for each in watched[message.topic]:
                    each.take(message.message, message.stamp)
        except ValueError as error:  # a BagError
            problems.append(f'{error}; of events, what came before it was evaluated')
    return found | {each.event: each.result() for of in watched.values() for each in of}, problems


class _Watched:
    """An event, and when it has happened so far."""

    def __init__(self, event: Event):
        self.event, self.stamps = event, []
        self._wrong, self._messages = '', 0
        self._met = True  # before the first message nothing is known: it cannot become true with that

    def take(self, message: Any, recorded: int) -> None:
        self._messages += 1
        if self._wrong:
            return
        try:
            met = not self.event.field or _meets(value_of(message, self.event.field), self.event.tests)
        except Unfit as error:
            self._wrong = str(error)
            return
        if met and not (self.event.edge and self._met):
            self.stamps.append(_stamp(message, recorded) + self.event.after)
        self._met = met

    def result(self) -> list[int] | str:
        stamps, which = sorted(self.stamps), self.event.which
        if self._wrong:
            return self._wrong
        if not stamps:
            said = 'meets the condition' + (' anew' if self.event.edge else '') if self.event.field else 'is there'
            return f'none of the {self._messages} messages on {self.event.topic} {said}'
        if which > len(stamps):
            return f'there are {len(stamps)} such messages on {self.event.topic}, not {which}'
        return stamps if which == EACH else [stamps[which - (which > 0)]]


def value_of(message: Any, path: str) -> Any:
    """A field's value; None for an item that a list does not have. Raises `Unfit`, which names the fields."""
    value = message
    for name in path.split('.'):
        if isinstance(value, (list, tuple, np.ndarray)):
            if not name.isdecimal():
                raise Unfit(f'{path}: a list has items 0, 1, ..., not {name!r}')
            if int(name) >= len(value):
                return None
            value = value[int(name)]
        else:
            fields = [each for each in getattr(value, '__dataclass_fields__', ()) if each != '__msgtype__']
            if name not in fields:
                there = f'there is {", ".join(fields)}' if fields else 'it has none'
                raise Unfit(f'field {path}: there is no {name!r}{nearest(name, fields)}; {there}')
            value = getattr(value, name)
    return value


def _meets(value: Any, tests: tuple[tuple[str, str], ...]) -> bool:
    return value is not None and all(_test(value, name, wanted) for name, wanted in tests)


def _test(value: Any, name: str, wanted: str) -> bool:
    if name == 'contains':
        if isinstance(value, str):
            return wanted in value
        if isinstance(value, (list, tuple, np.ndarray)):
            return any(_test(each, 'equals', wanted) for each in value)
        raise Unfit(f'contains: {wanted} needs a text or a list, and the field is {value!r}')
    if isinstance(value, str):
        if name == 'equals':
            return value == wanted
        raise Unfit(f'{name}: {wanted} needs a number, and the field is the text {value!r}')
    if isinstance(value, (bool, np.bool_)):
        if name == 'equals' and wanted.lower() in TRUTH:
            return bool(value) is TRUTH[wanted.lower()]
        raise Unfit(f'{name}: {wanted} does not fit a field that is true or false')
    number = _number(wanted)
    if not isinstance(value, (int, float, np.integer, np.floating)) or number is None:
        raise Unfit(f'{name}: {wanted} does not fit the field, which is {_kind(value)}')
    if name == 'equals':  # a float32 is compared as what it makes of the number
        return value == number or (isinstance(value, (float, np.floating)) and value == np.float32(number))
    return bool(value > number if name == 'above' else value < number)


def _number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return None


def _kind(value: Any) -> str:
    return 'a number' if isinstance(value, (int, float, np.number)) else f'a {type(value).__name__.split("__")[-1]}'


def _stamp(message: Any, recorded: int) -> int:
    stamp = getattr(getattr(message, 'header', None), 'stamp', None)
    ns = stamp.sec * 1_000_000_000 + stamp.nanosec if stamp is not None else 0
    return ns if ns > 0 else recorded
