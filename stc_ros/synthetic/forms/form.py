"""What a form of question is, and what the rules of several forms share.

A rule yields cases `(slots, answer, ids, evidence)`: the words that fill the wording, the answer, the ids of the
objects that the answer rests on, and the frame that it rests on.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stc_ros.synthetic.render import COLOURS, RADII, SHAPES
from stc_ros.synthetic.view import View

TYPES = ('appearance', 'count', 'place', 'existence', 'motion', 'change', 'memory', 'order')
COLOUR, SHAPE, SIZE = tuple(COLOURS), tuple(SHAPES), tuple(RADII)
WAYS = ('still', 'left', 'right', 'up', 'down')
NAMED = COLOUR + SHAPE  # the words of an answer that names an object: colour, shape
YES_NO = ('no', 'yes')
NUMBERS = ('zero', 'one', 'two', 'three', 'four', 'five', 'six')
PLURALS = {s: s + ('es' if s.endswith('s') else 's') for s in SHAPES}
APART = 2  # frames between two events whose order can be asked about

Case = tuple[dict, str, tuple[int, ...], int]


@dataclass(frozen=True)
class Form:
    """One wording and its rule."""

    name: str
    type: str  # one of TYPES
    wording: str
    temporal: bool  # cannot be answered from the newest frame alone
    answers: tuple[str, ...]  # the words that its answers are made of
    cases: Callable[[View], Iterator[Case]]


FORMS: dict[str, Form] = {}


def form(type: str, wording: str, answers: tuple[str, ...], temporal: bool = False):
    """Makes a rule the form of that wording; the form takes the name of the rule."""

    def add(rule):
        FORMS[rule.__name__] = Form(rule.__name__, type, wording, temporal, answers, rule)
        return rule

    return add


def name_of(o) -> str:
    """Colour and shape of an object or an event."""
    return f'{o.colour} {o.shape}'


def slots_of(o) -> dict:
    """What fills {colour} and {shape}."""
    return {'colour': o.colour, 'shape': o.shape}


def shape_of(o) -> str:
    return o.shape


def colour_of(o) -> str:
    return o.colour


def only(objects, key) -> list:
    """The objects whose `key` no other of them has."""
    counts = Counter(key(o) for o in objects)
    return [o for o in objects if counts[key(o)] == 1]


def one_moves(view: View, key):
    """The single mover of each group of two or more objects that share `key`."""
    if view.motion_clear:
        groups = Counter(key(o) for o in view.seen)
        for o in only(view.moving, key):
            if groups[key(o)] > 1:
                yield o


def alone(objects):
    """Objects that are alone in their cell; none when any stands near a border."""
    if all(o.place_clear for o in objects):
        yield from only(objects, lambda o: o.place)
