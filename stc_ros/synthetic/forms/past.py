"""Forms about what happens: motion, change, memory, order. None can be answered from one frame."""

from stc_ros.synthetic.forms.form import (
    APART,
    COLOUR,
    NAMED,
    SHAPE,
    SIZE,
    WAYS,
    YES_NO,
    alone,
    colour_of,
    form,
    name_of,
    only,
    shape_of,
    slots_of,
)
from stc_ros.synthetic.truth import PLACES, at_place

# ---- motion


@form('motion', 'which way does the {colour} {shape} move ?', WAYS, temporal=True)
def which_way(v):
    for o in v.moving + v.still:
        yield slots_of(o), o.moves, (o.id,), v.t


@form('motion', 'which way does the {shape} move ?', WAYS, temporal=True)
def which_way_shape(v):
    sure = {o.id for o in v.moving + v.still}
    for o in only(v.present, shape_of):
        if o.id in sure:
            yield slots_of(o), o.moves, (o.id,), v.t


@form('motion', 'what is moving ?', (*NAMED, 'nothing'), temporal=True)
def what_moves(v):
    if v.motion_clear and len(v.seen) > 1 and len(v.moving) < 2:
        yield {}, name_of(v.moving[0]) if v.moving else 'nothing', tuple(o.id for o in v.moving), v.t


@form('motion', 'what is not moving ?', (*NAMED, 'nothing'), temporal=True)
def what_rests(v):
    if v.motion_clear and len(v.seen) > 1 and len(v.still) < 2:
        yield {}, name_of(v.still[0]) if v.still else 'nothing', tuple(o.id for o in v.still), v.t


def _latest(v, events):
    """The last of the events, when it is well after the one before and its object still shows under that name."""
    if events and v.whole and (len(events) == 1 or events[-1].frame - events[-2].frame >= APART):
        e = events[-1]
        o = v.now.get(e.id)
        if o and o.colour == e.colour:
            yield e


@form('motion', 'what stopped last ?', NAMED, temporal=True)
def stopped_last(v):
    for e in _latest(v, v.stopped):
        if v.now[e.id].moves == 'still' and v.t > e.frame:
            yield {}, name_of(e), (e.id,), e.frame


@form('motion', 'what started last ?', NAMED, temporal=True)
def started_last(v):
    for e in _latest(v, v.started):
        if v.t > e.frame:
            yield {}, name_of(e), (e.id,), e.frame


# ---- change


@form('change', 'what left ?', (*NAMED, 'nothing'), temporal=True)
def what_left(v):
    if v.whole and not v.murky and len(v.left) < 2 and v.t > v.start:
        e = v.left[0] if v.left else None
        yield {}, name_of(e) if e else 'nothing', (e.id,) if e else (), e.frame if e else v.t


@form('change', 'what left last ?', NAMED, temporal=True)
def left_last(v):
    if len(v.left) > 1 and v.whole and not v.murky and v.left[-1].frame - v.left[-2].frame >= APART:
        e = v.left[-1]
        yield {}, name_of(e), (e.id,), e.frame


@form('change', 'what entered last ?', NAMED, temporal=True)
def entered_last(v):
    if not v.murky:
        for e in _latest(v, v.entered):
            yield {}, name_of(e), (e.id,), e.frame


@form('change', 'what changed colour ?', (*NAMED, 'nothing'), temporal=True)
def what_changed(v):
    if v.whole and not v.murky and len(v.changed) < 2 and v.t > v.start:
        e = v.changed[0] if v.changed else None
        if e is None or e.id in v.now:
            yield {}, name_of(e) if e else 'nothing', (e.id,) if e else (), e.frame if e else v.t


def _last_changes(v):
    return {e.id: e for e in v.changed}.values()


@form('change', 'which colour did the {shape} have before ?', COLOUR, temporal=True)
def colour_before(v):
    for e in _last_changes(v):
        if e.id in v.now and len(v.shapes_of[e.shape]) == 1:
            yield slots_of(e), e.detail, (e.id,), e.frame


@form('change', 'which colour did the {old} {shape} change to ?', COLOUR, temporal=True)
def colour_after(v):
    for e in _last_changes(v):
        if e.id in v.now:
            yield {'old': e.detail, 'shape': e.shape}, e.colour, (e.id,), e.frame


# ---- memory


@form('memory', 'what colour was the {shape} that left ?', COLOUR, temporal=True)
def colour_of_left(v):
    if not v.murky and v.whole:
        for e in only(v.left, shape_of):
            yield slots_of(e), e.colour, (e.id,), e.frame


@form('memory', 'what shape was the {colour} object that left ?', SHAPE, temporal=True)
def shape_of_left(v):
    if not v.murky and v.whole:
        for e in only(v.left, colour_of):
            yield slots_of(e), e.shape, (e.id,), e.frame


@form('memory', 'how big was the {colour} {shape} that left ?', SIZE, temporal=True)
def size_of_left(v):
    for e in v.left:
        yield slots_of(e), v.history[e.id][0][1].size, (e.id,), e.frame


@form('memory', 'where was the {colour} {shape} that left at first ?', PLACES, temporal=True)
def place_of_left(v):
    for e in v.left:
        first = v.first_seen(e.id)
        if first:
            yield slots_of(e), first.place, (e.id,), v.history[e.id][0][0]


@form('memory', 'what was {at_place} at first ?', NAMED, temporal=True)
def what_was_at(v):
    if v.whole and all(o.visible for o in v.first):
        for o in alone(v.first):
            now = v.now.get(o.id)
            if now is None and o.id not in v.gone:
                continue
            if now is None or now.place != o.place or now.colour != o.colour:
                yield {'at_place': at_place(o.place)}, name_of(o), (o.id,), v.start


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
    return only(events, lambda e: e.id)


def _two(a, b) -> dict:
    return {'a': name_of(a), 'b': name_of(b)}


def _other(a, b, e):
    return b if e is a else a


@form('order', 'which left first , the {a} or the {b} ?', NAMED, temporal=True)
def left_first(v):
    for a, b, first in _pairs(v, v.left):
        yield _two(a, b), name_of(first), (a.id, b.id), first.frame


@form('order', 'which entered first , the {a} or the {b} ?', NAMED, temporal=True)
def entered_first(v):
    for a, b, first in _pairs(v, v.entered):
        yield _two(a, b), name_of(first), (a.id, b.id), first.frame


@form('order', 'which entered last , the {a} or the {b} ?', NAMED, temporal=True)
def entered_later(v):
    for a, b, first in _pairs(v, v.entered):
        yield _two(a, b), name_of(_other(a, b, first)), (a.id, b.id), _other(a, b, first).frame


@form('order', 'which stopped first , the {a} or the {b} ?', NAMED, temporal=True)
def stopped_first(v):
    for a, b, first in _pairs(v, _once(v.stopped)):
        yield _two(a, b), name_of(first), (a.id, b.id), first.frame


@form('order', 'which started first , the {a} or the {b} ?', NAMED, temporal=True)
def started_first(v):
    for a, b, first in _pairs(v, _once(v.started)):
        yield _two(a, b), name_of(first), (a.id, b.id), first.frame


@form('order', 'did the {a} enter before the {b} ?', YES_NO, temporal=True)
def entered_before(v):
    for a, b, first in _pairs(v, v.entered):
        yield _two(a, b), 'yes' if first is a else 'no', (a.id, b.id), first.frame


@form('order', 'did the {a} leave before the {b} entered ?', YES_NO, temporal=True)
def left_before_entered(v):
    events = sorted(v.left + v.entered, key=lambda e: e.frame)
    for a, b, first in _pairs(v, events):
        if a.kind == 'left' and b.kind == 'entered':
            yield _two(a, b), 'yes' if first is a else 'no', (a.id, b.id), first.frame


@form('order', 'which changed colour first , the {a} or the {b} ?', NAMED, temporal=True)
def changed_first(v):
    once = [e for e in _once(v.changed) if e.id in v.now]
    if v.whole and not v.murky:
        for i, first in enumerate(once):
            for second in once[i + 1 :]:
                if second.frame - first.frame >= APART:
                    for a, b in ((first, second), (second, first)):
                        yield _two(a, b), name_of(first), (a.id, b.id), first.frame
