"""The forms of question: fixed wordings, each with a rule that finds every case of it in a `View`.

A rule yields cases `(slots, answer, ids, evidence)`: the words that fill the wording, the answer, the ids of the
objects that the answer rests on, and the frame it rests on. `temporal` forms cannot be answered from the newest frame.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stc_ros.synthetic.render import COLOURS, RADII, SHAPES
from stc_ros.synthetic.view import View
from stc_ros.synthetic.truth import EDGES, PLACES, at_place

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six")
PLURALS = {s: s + ("es" if s.endswith("s") else "s") for s in SHAPES}
TYPES = ("appearance", "count", "place", "existence", "motion", "change", "memory", "order")
COLOUR, SHAPE, SIZE = tuple(COLOURS), tuple(SHAPES), tuple(RADII)
NAMED = COLOUR + SHAPE  # the words of an answer that names an object: colour, shape
YES_NO = ("no", "yes")
APART = 2  # frames between two events whose order can be asked about

Case = tuple[dict, str, tuple[int, ...], int]


@dataclass(frozen=True)
class Form:
    """One wording and its rule. `answers` are the words that its answers are made of."""

    name: str
    type: str
    wording: str
    temporal: bool
    answers: tuple[str, ...]
    cases: Callable[[View], Iterator[Case]]


FORMS: dict[str, Form] = {}


def _form(type: str, wording: str, answers: tuple[str, ...], temporal: bool = False):
    def add(rule):
        name = rule.__name__.strip("_")
        FORMS[name] = Form(name, type, wording, temporal, answers, rule)
        return rule

    return add


def _name(o) -> str:
    return f"{o.colour} {o.shape}"


def _slots(o) -> dict:
    return {"colour": o.colour, "shape": o.shape}


def _only(objects, key) -> list:
    """The objects whose `key` no other of them has."""
    counts = Counter(key(o) for o in objects)
    return [o for o in objects if counts[key(o)] == 1]


def _of_shape(o):
    return o.shape


def _of_colour(o):
    return o.colour


# ---- appearance


@_form("appearance", "what colour is the {shape} ?", COLOUR)
def colour_of_shape(v):
    for o in _only(v.present, _of_shape):
        if o.id in v.now:
            yield _slots(o), o.colour, (o.id,), v.t


@_form("appearance", "what shape is the {colour} object ?", SHAPE)
def shape_of_colour(v):
    for o in _only(v.present, _of_colour):
        if o.id in v.now:
            yield _slots(o), o.shape, (o.id,), v.t


@_form("appearance", "how big is the {colour} {shape} ?", SIZE)
def size_of(v):
    for o in v.seen:
        yield _slots(o), o.size, (o.id,), v.t


def _one_moves(v, key):
    """The single mover of each group of two or more objects that share `key`."""
    if v.motion_clear:
        groups = Counter(key(o) for o in v.seen)
        for o in _only(v.moving, key):
            if groups[key(o)] > 1:
                yield o


@_form("appearance", "what colour is the moving {shape} ?", COLOUR, temporal=True)
def colour_of_moving_shape(v):
    for o in _one_moves(v, _of_shape):
        yield _slots(o), o.colour, (o.id,), v.t


@_form("appearance", "what shape is the moving {colour} object ?", SHAPE, temporal=True)
def shape_of_moving_colour(v):
    for o in _one_moves(v, _of_colour):
        yield _slots(o), o.shape, (o.id,), v.t


@_form("appearance", "what colour is the moving object ?", COLOUR, temporal=True)
def colour_of_moving(v):
    for o in _one_moves(v, lambda o: 0):
        yield {}, o.colour, (o.id,), v.t


@_form("appearance", "how big is the moving object ?", SIZE, temporal=True)
def size_of_moving(v):
    for o in _one_moves(v, lambda o: 0):
        yield {}, o.size, (o.id,), v.t


@_form("appearance", "what colour was the {shape} at first ?", COLOUR, temporal=True)
def colour_at_first(v):
    for e in v.changed:
        first = v.history[e.id][0][1]
        if e.id in v.now and len(v.shapes_of[e.shape]) == 1 and v.whole and first.colour != v.now[e.id].colour:
            yield _slots(e), first.colour, (e.id,), v.history[e.id][0][0]


# ---- count


def _number(n: int) -> str:
    return NUMBERS[n] if n < len(NUMBERS) else ""


@_form("count", "how many objects are there ?", NUMBERS)
def count_all(v):
    if v.clear:
        yield {}, _number(len(v.seen)), tuple(v.now), v.t


def _count_by(v, words, attribute, slot=str):
    if v.clear:
        found = {}
        for o in v.seen:
            found.setdefault(getattr(o, attribute), []).append(o.id)
        for word in words:
            ids = found.get(word, ())
            yield {"kind": slot(word)}, _number(len(ids)), tuple(ids), v.t


@_form("count", "how many {kind} objects are there ?", NUMBERS)
def count_colour(v):
    yield from _count_by(v, COLOUR, "colour")


@_form("count", "how many {kind} are there ?", NUMBERS)
def count_shape(v):
    yield from _count_by(v, SHAPE, "shape", PLURALS.get)


@_form("count", "how many {kind} objects are there ?", NUMBERS)
def count_size(v):
    yield from _count_by(v, SIZE, "size")


@_form("count", "how many objects are moving ?", NUMBERS, temporal=True)
def count_moving(v):
    if v.motion_clear:
        yield {}, _number(len(v.moving)), tuple(o.id for o in v.moving), v.t


def _count_events(v, events):
    if v.whole and not v.murky and v.t > v.start:
        ids = tuple(dict.fromkeys(e.id for e in events))
        yield {}, _number(len(ids)), ids, events[-1].frame if events else v.t


@_form("count", "how many objects left ?", NUMBERS, temporal=True)
def count_left(v):
    yield from _count_events(v, v.left)


@_form("count", "how many objects entered ?", NUMBERS, temporal=True)
def count_entered(v):
    yield from _count_events(v, v.entered)


@_form("count", "how many objects changed colour ?", NUMBERS, temporal=True)
def count_changed(v):
    yield from _count_events(v, v.changed)


# ---- place


@_form("place", "where is the {colour} {shape} ?", PLACES)
def place_of_name(v):
    for o in v.seen:
        if o.place_clear:
            yield _slots(o), o.place, (o.id,), v.t


@_form("place", "where is the {shape} ?", PLACES)
def place_of_shape(v):
    for o in _only(v.present, _of_shape):
        if o.id in v.now and o.place_clear:
            yield _slots(o), o.place, (o.id,), v.t


def _alone(objects):
    """Objects that are alone in their cell; none when any stands near a border."""
    if all(o.place_clear for o in objects):
        yield from _only(objects, lambda o: o.place)


@_form("place", "what is {at_place} ?", NAMED)
def what_is_at(v):
    if v.clear:
        for o in _alone(v.seen):
            yield {"at_place": at_place(o.place)}, _name(o), (o.id,), v.t


@_form("place", "where is the moving {shape} ?", PLACES, temporal=True)
def place_of_moving_shape(v):
    for o in _one_moves(v, _of_shape):
        if o.place_clear:
            yield _slots(o), o.place, (o.id,), v.t


@_form("place", "where is the moving object ?", PLACES, temporal=True)
def place_of_moving(v):
    for o in _one_moves(v, lambda o: 0):
        if o.place_clear:
            yield {}, o.place, (o.id,), v.t


@_form("place", "where was the {colour} {shape} at first ?", PLACES, temporal=True)
def place_at_first(v):
    for o in v.seen:
        if o.id not in v.recoloured:
            first = v.first_seen(o.id)
            if first and first.place != o.place:
                yield _slots(o), first.place, (o.id,), v.history[o.id][0][0]


@_form("place", "where did the {colour} {shape} leave ?", tuple(EDGES.values()), temporal=True)
def where_left(v):
    for e in v.left:
        yield _slots(e), e.detail, (e.id,), e.frame


@_form("place", "where did the {colour} {shape} enter ?", tuple(EDGES.values()), temporal=True)
def where_entered(v):
    for e in v.entered:
        if e.id in v.now and e.id not in v.recoloured:
            yield _slots(e), e.detail, (e.id,), e.frame


# ---- existence


def _absent(v, taken, around):
    """Names that are not `taken`, those that share the colour or the shape of `around` first."""
    near = {(a.colour, b.shape) for a in around for b in around}
    near |= {(c, o.shape) for o in around for c in COLOUR[:2]} | {(o.colour, s) for o in around for s in SHAPE[:2]}
    return [n for n in sorted(near) if n not in taken]


@_form("existence", "is there a {colour} {shape} ?", YES_NO)
def is_there(v):
    for o in v.seen:
        yield _slots(o), "yes", (o.id,), v.t
    taken = {(o.colour, o.shape) for o in v.present}
    for colour, shape in _absent(v, taken, v.seen):
        yield {"colour": colour, "shape": shape}, "no", (), v.t


@_form("existence", "is there a {shape} ?", YES_NO)
def is_there_shape(v):
    taken = {o.shape for o in v.present}
    for o in v.seen:
        yield {"shape": o.shape}, "yes", (o.id,), v.t
    for shape in SHAPE:
        if shape not in taken:
            yield {"shape": shape}, "no", (), v.t


@_form("existence", "was there a {colour} {shape} before ?", YES_NO, temporal=True)
def was_there(v):
    taken = {(o.colour, o.shape) for o in v.present}
    found = False
    for id, shown in v.history.items():
        for colour in {o.colour for _, o in shown}:
            o = shown[0][1]
            if (colour, o.shape) not in taken and v.whole:
                found = True
                last = max(frame for frame, seen in shown if seen.colour == colour)
                yield {"colour": colour, "shape": o.shape}, "yes", (id,), last
    if found or v.t - v.start > 6:
        for colour, shape in _absent(v, v.touched, [shown[0][1] for shown in v.history.values()]):
            yield {"colour": colour, "shape": shape}, "no", (), v.t


@_form("existence", "did a {colour} {shape} leave ?", YES_NO, temporal=True)
def did_leave(v):
    if v.whole and not v.murky:
        for e in v.left:
            yield _slots(e), "yes", (e.id,), e.frame
        for colour, shape in _absent(v, v.touched, [shown[0][1] for shown in v.history.values()]):
            yield {"colour": colour, "shape": shape}, "no", (), v.t


@_form("existence", "is the {colour} {shape} moving ?", YES_NO, temporal=True)
def is_moving(v):
    for o in v.moving:
        yield _slots(o), "yes", (o.id,), v.t
    for o in v.still:
        yield _slots(o), "no", (o.id,), v.t


# ---- motion

WAYS = ("still", "left", "right", "up", "down")


@_form("motion", "which way does the {colour} {shape} move ?", WAYS, temporal=True)
def which_way(v):
    for o in v.moving + v.still:
        yield _slots(o), o.moves, (o.id,), v.t


@_form("motion", "which way does the {shape} move ?", WAYS, temporal=True)
def which_way_shape(v):
    sure = {o.id for o in v.moving + v.still}
    for o in _only(v.present, _of_shape):
        if o.id in sure:
            yield _slots(o), o.moves, (o.id,), v.t


@_form("motion", "what is moving ?", (*NAMED, "nothing"), temporal=True)
def what_moves(v):
    if v.motion_clear and len(v.seen) > 1 and len(v.moving) < 2:
        yield {}, _name(v.moving[0]) if v.moving else "nothing", tuple(o.id for o in v.moving), v.t


@_form("motion", "what is not moving ?", (*NAMED, "nothing"), temporal=True)
def what_rests(v):
    if v.motion_clear and len(v.seen) > 1 and len(v.still) < 2:
        yield {}, _name(v.still[0]) if v.still else "nothing", tuple(o.id for o in v.still), v.t


def _latest(v, events):
    """The last of the events, when it is well after the one before and its object still shows under that name."""
    if events and v.whole and (len(events) == 1 or events[-1].frame - events[-2].frame >= APART):
        e = events[-1]
        o = v.now.get(e.id)
        if o and o.colour == e.colour:
            yield e


@_form("motion", "what stopped last ?", NAMED, temporal=True)
def stopped_last(v):
    for e in _latest(v, v.stopped):
        if v.now[e.id].moves == "still" and v.t > e.frame:
            yield {}, _name(e), (e.id,), e.frame


@_form("motion", "what started last ?", NAMED, temporal=True)
def started_last(v):
    for e in _latest(v, v.started):
        if v.t > e.frame:
            yield {}, _name(e), (e.id,), e.frame


# ---- change


@_form("change", "what left ?", (*NAMED, "nothing"), temporal=True)
def what_left(v):
    if v.whole and not v.murky and len(v.left) < 2 and v.t > v.start:
        e = v.left[0] if v.left else None
        yield {}, _name(e) if e else "nothing", (e.id,) if e else (), e.frame if e else v.t


@_form("change", "what left last ?", NAMED, temporal=True)
def left_last(v):
    if len(v.left) > 1 and v.whole and not v.murky and v.left[-1].frame - v.left[-2].frame >= APART:
        e = v.left[-1]
        yield {}, _name(e), (e.id,), e.frame


@_form("change", "what entered last ?", NAMED, temporal=True)
def entered_last(v):
    if v.clear and not v.murky:
        for e in _latest(v, v.entered):
            yield {}, _name(e), (e.id,), e.frame


@_form("change", "what changed colour ?", (*NAMED, "nothing"), temporal=True)
def what_changed(v):
    if v.whole and not v.murky and len(v.changed) < 2 and v.t > v.start:
        e = v.changed[0] if v.changed else None
        if e is None or e.id in v.now:
            yield {}, _name(e) if e else "nothing", (e.id,) if e else (), e.frame if e else v.t


def _last_changes(v):
    return {e.id: e for e in v.changed}.values()


@_form("change", "which colour did the {shape} have before ?", COLOUR, temporal=True)
def colour_before(v):
    for e in _last_changes(v):
        if e.id in v.now and len(v.shapes_of[e.shape]) == 1:
            yield _slots(e), e.detail, (e.id,), e.frame


@_form("change", "which colour did the {old} {shape} change to ?", COLOUR, temporal=True)
def colour_after(v):
    for e in _last_changes(v):
        if e.id in v.now:
            yield {"old": e.detail, "shape": e.shape}, e.colour, (e.id,), e.frame


# ---- memory


@_form("memory", "what colour was the {shape} that left ?", COLOUR, temporal=True)
def colour_of_left(v):
    if not v.murky and v.whole:
        for e in _only(v.left, _of_shape):
            yield _slots(e), e.colour, (e.id,), e.frame


@_form("memory", "what shape was the {colour} object that left ?", SHAPE, temporal=True)
def shape_of_left(v):
    if not v.murky and v.whole:
        for e in _only(v.left, _of_colour):
            yield _slots(e), e.shape, (e.id,), e.frame


@_form("memory", "how big was the {colour} {shape} that left ?", SIZE, temporal=True)
def size_of_left(v):
    for e in v.left:
        yield _slots(e), v.history[e.id][0][1].size, (e.id,), e.frame


@_form("memory", "where was the {colour} {shape} that left at first ?", PLACES, temporal=True)
def place_of_left(v):
    for e in v.left:
        first = v.first_seen(e.id)
        if first:
            yield _slots(e), first.place, (e.id,), v.history[e.id][0][0]


@_form("memory", "what was {at_place} at first ?", NAMED, temporal=True)
def what_was_at(v):
    if v.whole and all(o.visible for o in v.first):
        for o in _alone(v.first):
            now = v.now.get(o.id)
            if now is None and o.id not in v.gone:
                continue
            if now is None or now.place != o.place or now.colour != o.colour:
                yield {"at_place": at_place(o.place)}, _name(o), (o.id,), v.start


# ---- order


def _pairs(v, events):
    """Every two events of different objects, well apart in time, in both orders of naming: (a, b, the earlier one)."""
    usable = [e for e in events if e.id not in v.recoloured and (e.id in v.now or e.id in v.gone)]
    if v.whole and not v.murky:
        for i, first in enumerate(usable):
            for second in usable[i + 1 :]:
                if second.frame - first.frame >= APART and first.id != second.id:
                    yield first, second, first
                    yield second, first, first


def _once(events):
    """The events of objects that have just one of them."""
    return _only(events, lambda e: e.id)


def _two(a, b) -> dict:
    return {"a": _name(a), "b": _name(b)}


def _other(a, b, e):
    return b if e is a else a


@_form("order", "which left first , the {a} or the {b} ?", NAMED, temporal=True)
def left_first(v):
    for a, b, first in _pairs(v, v.left):
        yield _two(a, b), _name(first), (a.id, b.id), first.frame


@_form("order", "which entered first , the {a} or the {b} ?", NAMED, temporal=True)
def entered_first(v):
    for a, b, first in _pairs(v, v.entered):
        yield _two(a, b), _name(first), (a.id, b.id), first.frame


@_form("order", "which entered last , the {a} or the {b} ?", NAMED, temporal=True)
def entered_later(v):
    for a, b, first in _pairs(v, v.entered):
        yield _two(a, b), _name(_other(a, b, first)), (a.id, b.id), _other(a, b, first).frame


@_form("order", "which stopped first , the {a} or the {b} ?", NAMED, temporal=True)
def stopped_first(v):
    for a, b, first in _pairs(v, _once(v.stopped)):
        yield _two(a, b), _name(first), (a.id, b.id), first.frame


@_form("order", "did the {a} enter before the {b} ?", YES_NO, temporal=True)
def entered_before(v):
    for a, b, first in _pairs(v, v.entered):
        yield _two(a, b), "yes" if first is a else "no", (a.id, b.id), first.frame


@_form("order", "did the {a} leave before the {b} entered ?", YES_NO, temporal=True)
def left_before_entered(v):
    events = sorted(v.left + v.entered, key=lambda e: e.frame)
    for a, b, first in _pairs(v, events):
        if a.kind == "left" and b.kind == "entered":
            yield _two(a, b), "yes" if first is a else "no", (a.id, b.id), first.frame


@_form("order", "which changed colour first , the {a} or the {b} ?", NAMED, temporal=True)
def changed_first(v):
    once = [e for e in _once(v.changed) if e.id in v.now]
    if v.whole and not v.murky:
        for i, first in enumerate(once):
            for second in once[i + 1 :]:
                if second.frame - first.frame >= APART:
                    for a, b in ((first, second), (second, first)):
                        yield _two(a, b), _name(first), (a.id, b.id), first.frame
