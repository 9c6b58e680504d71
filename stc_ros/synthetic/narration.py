"""Narration: what is to be seen at a frame, and what happened since an earlier one, in a fixed grammar.

    tell(clip, t=15, since=7)
    # "a large red circle at the top left moves right , a small blue square in the center stays . the green star left ."
    tell_moment(world.truth())      # one frame alone; `join` makes one story of those of several
    parse(text)          # -> clauses
    score(said, truth)   # -> Score: object F1 and clause F1; scores add up

Objects that show at least half are named from left to right. Events follow in the order of time: left, entered,
turned another colour; after a cut, "the scene changed" and only what happened since. Nothing to see is "nothing .".
"""

import re
from collections import Counter
from dataclasses import dataclass

from stc_ros.synthetic.forms import COLOUR, SHAPE, SIZE
from stc_ros.synthetic.truth import CLEAR_SHARE, DIRECTIONS, PLACES, Clip, Event, Seen, Truth, at_place

PROMPT = 'what do you see , and what changed in the last {frames} frames ?'
MOST_EVENTS = 6  # the latest ones
NOTHING = 'nothing'
SCENE_CHANGED = 'the scene changed'
EVENT = rf'the \w+ \w+ (left|entered|turned \w+)|{SCENE_CHANGED}'  # what the next narration need not tell again


@dataclass(frozen=True)
class Clause:
    """One statement. `kind`: "object", "left", "entered", "turned", "scene", or "unreadable"."""

    kind: str
    colour: str = ''  # before the change where the object turned another colour
    shape: str = ''
    size: str = ''
    place: str = ''
    detail: str = ''  # of an object "stays" or where it moves; the new colour after "turned"

    def text(self) -> str:
        """The clause in words."""
        if self.kind == 'object':
            motion = 'stays' if self.detail == 'stays' else f'moves {self.detail}'
            return f'a {self.size} {self.colour} {self.shape} {at_place(self.place)} {motion}'
        if self.kind == 'scene':
            return SCENE_CHANGED
        return f'the {self.colour} {self.shape} {self.kind}' + (f' {self.detail}' if self.detail else '')


@dataclass(frozen=True)
class Fact:
    """A clause, the object that it is about (0 for the scene) and the frame that shows it."""

    clause: Clause
    id: int
    frame: int


def facts(clip: Clip, t: int, since: int) -> list[Fact]:
    """What is true at frame t, of events those of frames since+1..t, in the order of the telling."""
    return _facts(clip.truths[t], [e for e in clip.events if since < e.frame <= t])


def _facts(truth: Truth, events: list[Event]) -> list[Fact]:
    shown = [o for o in truth.objects if o.share >= CLEAR_SHARE]
    shown.sort(key=lambda o: (o.x, o.y))
    happened = [Fact(c, e.id, e.frame) for e in events if (c := _event(e))]
    return [Fact(_about(o), o.id, truth.frame) for o in shown] + _latest(happened)


def _about(o: Seen) -> Clause:
    return Clause('object', o.colour, o.shape, o.size, o.place, 'stays' if o.moves == 'still' else o.moves)


def _latest(happened: list[Fact]) -> list[Fact]:
    cut = max((i for i, f in enumerate(happened) if f.clause.kind == 'scene'), default=-1)
    return happened[cut : cut + 1] + happened[cut + 1 :][-MOST_EVENTS:]


def _event(e: Event) -> Clause | None:
    if e.kind == 'cut':
        return Clause('scene')
    if e.kind == 'changed colour':
        return Clause('turned', e.detail, e.shape, detail=e.colour)
    return Clause(e.kind, e.colour, e.shape) if e.kind in ('left', 'entered') else None


def tell(clip: Clip, t: int, since: int) -> str:
    """What frame t shows and what happened in frames since+1..t. Raises IndexError for a frame that the clip lacks."""
    if not 0 <= t < len(clip):
        raise IndexError(f'frame {t} is not in a clip of {len(clip)} frames')
    return _write([f.clause for f in facts(clip, t, since)])


def tell_moment(truth: Truth) -> str:
    """What a frame shows, and what happened between the one before and this one."""
    return _write([f.clause for f in _facts(truth, [e for e in truth.events if e.frame == truth.frame])])


def join(moments: list[str]) -> str:
    """What `tell` would say of frames that follow each other, from what `tell_moment` says of each (one or more)."""
    clauses = [parse(moment) for moment in moments]
    happened = [Fact(c, 0, t) for t, each in enumerate(clauses) for c in each if c.kind != 'object']
    return _write([c for c in clauses[-1] if c.kind == 'object'] + [f.clause for f in _latest(happened)])


def _write(clauses: list[Clause]) -> str:
    seen = ' , '.join(c.text() for c in clauses if c.kind == 'object') or NOTHING
    happened = ' , '.join(c.text() for c in clauses if c.kind != 'object')
    return f'{seen} . {happened} .' if happened else f'{seen} .'


def _any(words) -> str:
    return '(' + '|'.join(sorted(words, key=len, reverse=True)) + ')'


_OBJECT = re.compile(
    rf'a {_any(SIZE)} {_any(COLOUR)} {_any(SHAPE)} (?:at|in) the {_any(PLACES)} (?:(stays)|moves {_any(DIRECTIONS)})'
)
_EVENT = re.compile(rf'the {_any(COLOUR)} {_any(SHAPE)} (?:(left|entered)|(turned) {_any(COLOUR)})')


def parse(text: str) -> list[Clause]:
    """The clauses of a text, spaces before punctuation or not; what does not fit the grammar is "unreadable"."""
    clauses = []
    for piece in re.split(r'[,.]', text.lower()):
        piece = ' '.join(piece.split())
        if not piece or piece == NOTHING:
            continue
        if piece == SCENE_CHANGED:
            clauses.append(Clause('scene'))
        elif found := _OBJECT.fullmatch(piece):
            size, colour, shape, place, stays, way = found.groups()
            clauses.append(Clause('object', colour, shape, size, place, stays or way))
        elif found := _EVENT.fullmatch(piece):
            colour, shape, kind, turned, after = found.groups()
            clauses.append(Clause(kind or turned, colour, shape, detail=after or ''))
        else:
            clauses.append(Clause('unreadable'))
    return clauses


@dataclass(frozen=True)
class Score:
    """Counts of objects (colour and shape) and of clauses (an object with its place and motion, or an event)."""

    objects_right: int = 0
    objects_said: int = 0
    objects_true: int = 0
    clauses_right: int = 0
    clauses_said: int = 0
    clauses_true: int = 0

    def __add__(self, other: 'Score') -> 'Score':
        return Score(*(a + b for a, b in zip(self._counts(), other._counts(), strict=True)))

    def _counts(self):
        return (
            self.objects_right,
            self.objects_said,
            self.objects_true,
            self.clauses_right,
            self.clauses_said,
            self.clauses_true,
        )

    @property
    def object_f1(self) -> float:
        return _f1(self.objects_right, self.objects_said, self.objects_true)

    @property
    def clause_f1(self) -> float:
        return _f1(self.clauses_right, self.clauses_said, self.clauses_true)

    @property
    def clause_precision(self) -> float:
        """The share of the clauses said that are right; 1 when none is."""
        return self.clauses_right / self.clauses_said if self.clauses_said else 1.0


def _f1(right: int, said: int, true: int) -> float:
    return 2 * right / (said + true) if said + true else 1.0


def score(said: str, truth: str) -> Score:
    """Compares what was said with what `tell` says; the order of the clauses does not count, nor does the size."""
    counts = []
    for keys in (_object_keys, _clause_keys):
        ours, theirs = Counter(keys(parse(said))), Counter(keys(parse(truth)))
        counts += [sum((ours & theirs).values()), sum(ours.values()), sum(theirs.values())]
    return Score(*counts)


def _object_keys(clauses: list[Clause]):
    return [(c.colour, c.shape) for c in clauses if c.kind == 'object']


def _clause_keys(clauses: list[Clause]):
    return [(c.kind, c.colour, c.shape, c.place, c.detail) for c in clauses]
