"""Forms about what is there: appearance, count, place, existence."""

from stc_ros.synthetic.forms.form import (
    COLOUR,
    NAMED,
    NUMBERS,
    PLURALS,
    SHAPE,
    SIZE,
    YES_NO,
    alone,
    colour_of,
    form,
    name_of,
    one_moves,
    only,
    shape_of,
    slots_of,
)
from stc_ros.synthetic.truth import EDGES, PLACES, at_place

# ---- appearance


@form('appearance', 'what colour is the {shape} ?', COLOUR)
def colour_of_shape(v):
    for o in only(v.present, shape_of):
        if o.id in v.now:
            yield slots_of(o), o.colour, (o.id,), v.t


@form('appearance', 'what shape is the {colour} object ?', SHAPE)
def shape_of_colour(v):
    for o in only(v.present, colour_of):
        if o.id in v.now:
            yield slots_of(o), o.shape, (o.id,), v.t


@form('appearance', 'how big is the {colour} {shape} ?', SIZE)
def size_of(v):
    for o in v.seen:
        yield slots_of(o), o.size, (o.id,), v.t


@form('appearance', 'what colour is the moving {shape} ?', COLOUR, temporal=True)
def colour_of_moving_shape(v):
    for o in one_moves(v, shape_of):
        yield slots_of(o), o.colour, (o.id,), v.t


@form('appearance', 'what shape is the moving {colour} object ?', SHAPE, temporal=True)
def shape_of_moving_colour(v):
    for o in one_moves(v, colour_of):
        yield slots_of(o), o.shape, (o.id,), v.t


@form('appearance', 'what colour is the moving object ?', COLOUR, temporal=True)
def colour_of_moving(v):
    for o in one_moves(v, lambda o: 0):
        yield {}, o.colour, (o.id,), v.t


@form('appearance', 'how big is the moving object ?', SIZE, temporal=True)
def size_of_moving(v):
    for o in one_moves(v, lambda o: 0):
        yield {}, o.size, (o.id,), v.t


@form('appearance', 'what colour was the {shape} at first ?', COLOUR, temporal=True)
def colour_at_first(v):
    for e in v.changed:
        first = v.history[e.id][0][1]
        if e.id in v.now and len(v.shapes_of[e.shape]) == 1 and v.whole and first.colour != v.now[e.id].colour:
            yield slots_of(e), first.colour, (e.id,), v.history[e.id][0][0]


# ---- count


def _number(n: int) -> str:
    return NUMBERS[n] if n < len(NUMBERS) else ''


@form('count', 'how many objects are there ?', NUMBERS)
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
            yield {'kind': slot(word)}, _number(len(ids)), tuple(ids), v.t


@form('count', 'how many {kind} objects are there ?', NUMBERS)
def count_colour(v):
    yield from _count_by(v, COLOUR, 'colour')


@form('count', 'how many {kind} are there ?', NUMBERS)
def count_shape(v):
    yield from _count_by(v, SHAPE, 'shape', PLURALS.get)


@form('count', 'how many {kind} objects are there ?', NUMBERS)
def count_size(v):
    yield from _count_by(v, SIZE, 'size')


@form('count', 'how many objects are moving ?', NUMBERS, temporal=True)
def count_moving(v):
    if v.motion_clear:
        yield {}, _number(len(v.moving)), tuple(o.id for o in v.moving), v.t


def _count_events(v, events):
    if v.whole and not v.murky and v.t > v.start:
        ids = tuple(dict.fromkeys(e.id for e in events))
        yield {}, _number(len(ids)), ids, events[-1].frame if events else v.t


@form('count', 'how many objects left ?', NUMBERS, temporal=True)
def count_left(v):
    yield from _count_events(v, v.left)


@form('count', 'how many objects entered ?', NUMBERS, temporal=True)
def count_entered(v):
    yield from _count_events(v, v.entered)


@form('count', 'how many objects changed colour ?', NUMBERS, temporal=True)
def count_changed(v):
    yield from _count_events(v, v.changed)


# ---- place


@form('place', 'where is the {colour} {shape} ?', PLACES)
def place_of_name(v):
    for o in v.seen:
        if o.place_clear:
            yield slots_of(o), o.place, (o.id,), v.t


@form('place', 'where is the {shape} ?', PLACES)
def place_of_shape(v):
    for o in only(v.present, shape_of):
        if o.id in v.now and o.place_clear:
            yield slots_of(o), o.place, (o.id,), v.t


@form('place', 'what is {at_place} ?', NAMED)
def what_is_at(v):
    if v.clear:
        for o in alone(v.seen):
            yield {'at_place': at_place(o.place)}, name_of(o), (o.id,), v.t


@form('place', 'where is the moving {shape} ?', PLACES, temporal=True)
def place_of_moving_shape(v):
    for o in one_moves(v, shape_of):
        if o.place_clear:
            yield slots_of(o), o.place, (o.id,), v.t


@form('place', 'where is the moving object ?', PLACES, temporal=True)
def place_of_moving(v):
    for o in one_moves(v, lambda o: 0):
        if o.place_clear:
            yield {}, o.place, (o.id,), v.t


@form('place', 'where was the {colour} {shape} at first ?', PLACES, temporal=True)
def place_at_first(v):
    for o in v.seen:
        if o.id not in v.recoloured:
            first = v.first_seen(o.id)
            if first and first.place != o.place:
                yield slots_of(o), first.place, (o.id,), v.history[o.id][0][0]


@form('place', 'where did the {colour} {shape} leave ?', tuple(EDGES.values()), temporal=True)
def where_left(v):
    for e in v.left:
        yield slots_of(e), e.detail, (e.id,), e.frame


@form('place', 'where did the {colour} {shape} enter ?', tuple(EDGES.values()), temporal=True)
def where_entered(v):
    for e in v.entered:
        if e.id in v.now and e.id not in v.recoloured:
            yield slots_of(e), e.detail, (e.id,), e.frame


# ---- existence


def _absent(v, taken, around):
    """Names that are not `taken`, those that share the colour or the shape of `around` first."""
    near = {(a.colour, b.shape) for a in around for b in around}
    near |= {(c, o.shape) for o in around for c in COLOUR[:2]} | {(o.colour, s) for o in around for s in SHAPE[:2]}
    return [n for n in sorted(near) if n not in taken]


@form('existence', 'is there a {colour} {shape} ?', YES_NO)
def is_there(v):
    for o in v.seen:
        yield slots_of(o), 'yes', (o.id,), v.t
    taken = {(o.colour, o.shape) for o in v.present}
    for colour, shape in _absent(v, taken, v.seen):
        yield {'colour': colour, 'shape': shape}, 'no', (), v.t


@form('existence', 'is there a {shape} ?', YES_NO)
def is_there_shape(v):
    taken = {o.shape for o in v.present}
    for o in v.seen:
        yield {'shape': o.shape}, 'yes', (o.id,), v.t
    for shape in SHAPE:
        if shape not in taken:
            yield {'shape': shape}, 'no', (), v.t


@form('existence', 'was there a {colour} {shape} before ?', YES_NO, temporal=True)
def was_there(v):
    taken = {(o.colour, o.shape) for o in v.present}
    found = False
    for id, shown in v.history.items():
        for colour in dict.fromkeys(o.colour for _, o in shown):
            o = shown[0][1]
            if (colour, o.shape) not in taken and v.whole:
                found = True
                last = max(frame for frame, seen in shown if seen.colour == colour)
                yield {'colour': colour, 'shape': o.shape}, 'yes', (id,), last
    if found or v.t - v.start > 6:
        for colour, shape in _absent(v, v.touched, [shown[0][1] for shown in v.history.values()]):
            yield {'colour': colour, 'shape': shape}, 'no', (), v.t


@form('existence', 'did a {colour} {shape} leave ?', YES_NO, temporal=True)
def did_leave(v):
    if v.whole and not v.murky:
        for e in v.left:
            yield slots_of(e), 'yes', (e.id,), e.frame
        for colour, shape in _absent(v, v.touched, [shown[0][1] for shown in v.history.values()]):
            yield {'colour': colour, 'shape': shape}, 'no', (), v.t


@form('existence', 'is the {colour} {shape} moving ?', YES_NO, temporal=True)
def is_moving(v):
    for o in v.moving:
        yield slots_of(o), 'yes', (o.id,), v.t
    for o in v.still:
        yield slots_of(o), 'no', (o.id,), v.t
