"""Endless seeded scenes with the truth about every moment.

    world = World(profile="busy", seed=7)
    frame = world.render(112)        # uint8 [112, 112, 3], any other size looks alike
    truth = world.truth()            # what is visible now, and what has happened
    world.step()                     # about an eighth of a second later
    clip = record("busy", 7, frames=16)

An object *moves* when its own position in the world changed in the step that led to this frame; the motion of
the camera does not count. Movers are at least twice as fast as the camera pans. Directions are left, right, up, down.
An object has *entered* once half of it is in the picture and has *left* once a tenth of it or less is; hidden
behind another it is still there.
"""

import random
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from stc_ros.synthetic.profiles import profile_named
from stc_ros.synthetic.render import (
    COLOURS,
    MARGIN,
    RADII,
    SHAPES,
    UNIT,
    crop_background,
    expose,
    place_stamp,
    reach,
)

DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
EDGES = {"left": "left", "right": "right", "up": "top", "down": "bottom"}  # where a mover leaves
OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}
PLACES = ("top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right")
KINDS = ("entered", "left", "changed colour", "started", "stopped", "cut")

CLEAR_SHARE = 0.5  # from this visible share on an object counts as visible
GONE_SHARE = 0.1  # up to this share in the picture it has left
BORDER = 3.0 / UNIT  # nearer than this to a border between cells, a place is not clear
REMEMBERED = 40  # frames for which the name of an object that left is not given to another
HISTORY = 64  # frames for which `Truth.events` reaches back


@dataclass(frozen=True)
class Event:
    """Something that happened to an object at a frame: the first frame that shows it done."""

    frame: int
    kind: str  # one of KINDS
    id: int = 0  # 0 for a cut
    colour: str = ""  # as it is after the event
    shape: str = ""
    detail: str = ""  # the edge (entered, left), the colour before (changed colour), the direction (started, stopped)


@dataclass(frozen=True)
class Seen:
    """An object in the picture. x, y in [0, 1] are image coordinates of its centre; `share` is how much of it shows."""

    id: int
    colour: str
    shape: str
    size: str
    x: float
    y: float
    share: float
    moves: str  # "still", "left", "right", "up", "down": what it did in the last step
    moved_for: int  # steps for which `moves` has been true without a change
    place: str  # one of PLACES
    place_clear: bool  # the centre is well away from the borders between cells, and in the picture

    @property
    def visible(self) -> bool:
        return self.share >= CLEAR_SHARE


@dataclass(frozen=True)
class Truth:
    """What is the case at one frame."""

    frame: int
    scene: int  # counts the cuts
    objects: tuple[Seen, ...]  # every object in the picture, also one that is partly or wholly hidden, by id
    events: tuple[Event, ...]  # so far, oldest first (the last HISTORY frames)
    camera: tuple[float, float]  # where the camera looks, in frame widths from the middle

    @property
    def visible(self) -> tuple[Seen, ...]:
        return tuple(o for o in self.objects if o.visible)

    @property
    def clear(self) -> bool:
        """True when every object either shows well or is out of the picture."""
        return all(o.visible for o in self.objects)


@dataclass(frozen=True)
class Clip:
    """A recorded stream. frames uint8 [T, S, S, 3]; ids uint8 [T, S, S], the object at every pixel, 0 for background."""

    profile: str
    seed: int
    frames: np.ndarray
    ids: np.ndarray
    truths: tuple[Truth, ...]

    def __len__(self) -> int:
        return len(self.truths)

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """Every event of the clip, oldest first."""
        return tuple(e for truth in self.truths for e in truth.events if e.frame == truth.frame)


class _Thing:
    """An object of the world. Position in units of the world; `steps` still to go in its motion."""

    __slots__ = ("id", "colour", "shape", "size", "radius", "reach", "x", "y", "direction", "speed", "steps",
                 "leaving", "entered", "moves", "moved_for")

    def __init__(self, id, colour, shape, size, radius):
        self.id, self.colour, self.shape, self.size, self.radius = id, colour, shape, size, radius
        self.reach = reach(shape, radius)
        self.x = self.y = 0.0
        self.direction, self.speed, self.steps = "still", 0.0, 0
        self.leaving, self.entered = False, False
        self.moves, self.moved_for = "still", 0

    @property
    def target(self):
        dx, dy = DIRECTIONS.get(self.direction, (0, 0))
        return self.x + dx * self.speed * self.steps, self.y + dy * self.speed * self.steps

    def go(self, direction, speed, steps, leaving=False):
        self.direction, self.speed, self.steps, self.leaving = direction, speed, steps, leaving

    def advance(self) -> str:
        """One step; returns "started" or "stopped" when that is what it did."""
        before = self.moves
        self.moves = self.direction if self.steps else "still"
        if self.steps:
            dx, dy = DIRECTIONS[self.direction]
            self.x += dx * self.speed
            self.y += dy * self.speed
            self.steps -= 1
        self.moved_for = self.moved_for + 1 if self.moves == before else 1
        if self.moves == before:
            return ""
        return "stopped" if self.moves == "still" else "started"


class World:
    """An endless stream. The same profile and seed give the same stream, whatever is rendered."""

    def __init__(self, profile: str = "busy", seed: int = 0):
        self.profile, self.seed = profile, int(seed)
        self._habits = profile_named(profile)
        self._rng = random.Random(f"{profile}/{self.seed}")
        self.frame = 0
        self.scene = 0
        self._events: list[Event] = []
        self._next_id = 1
        self._drift = self._rng.gauss(0, self._habits.drift)
        self._layouts: dict[int, tuple] = {}
        self._new_scene()

    # ---- time

    def step(self) -> None:
        """Advances by one frame."""
        self.frame += 1
        self._layouts = {}
        rng, habits = self._rng, self._habits
        self._drift = 0.96 * self._drift + 0.28 * rng.gauss(0, habits.drift)
        self._scene_age += 1
        if self._scene_age >= 12 and rng.random() < habits.cut:
            self.scene += 1
            self._log("cut")
            self._new_scene()
            return
        self._move_camera()
        for thing in list(self._things):
            self._advance(thing)
        self._wait -= 1
        if self._wait <= 0:
            self._wait = rng.randint(*habits.pause)
            self._happen()
        self._events = [e for e in self._events if e.frame > self.frame - HISTORY]

    def _advance(self, thing: _Thing) -> None:
        edge = EDGES.get(OPPOSITE.get(thing.direction, ""), "")
        change = thing.advance()
        inside = self._inside(thing)
        if not thing.entered:
            if inside >= 0.5:
                thing.entered = True
                self._log("entered", thing, edge)
            return
        if inside <= GONE_SHARE:
            self._things.remove(thing)
            self._names[thing.colour, thing.shape] = self.frame
            self._log("left", thing, self._edge_of(thing))
        elif change:
            self._log(change, thing, thing.direction)

    def _inside(self, thing: _Thing) -> float:
        """The share of the box of an object that is in the picture."""
        x, y, r = thing.x - self._camera[0], thing.y - self._camera[1], thing.reach
        wide = min(x + r, UNIT) - max(x - r, 0.0)
        high = min(y + r, UNIT) - max(y - r, 0.0)
        return max(wide, 0.0) * max(high, 0.0) / (4 * r * r)

    def _edge_of(self, thing: _Thing) -> str:
        x, y = thing.x - self._camera[0], thing.y - self._camera[1]
        return min(("left", x), ("right", UNIT - x), ("top", y), ("bottom", UNIT - y), key=lambda e: e[1])[0]

    def _log(self, kind: str, thing: _Thing | None = None, detail: str = "") -> None:
        if thing is None:
            self._events.append(Event(self.frame, kind))
        else:
            self._events.append(Event(self.frame, kind, thing.id, thing.colour, thing.shape, detail))

    # ---- camera

    def _move_camera(self) -> None:
        """Pans towards a point to look at, at its own pace, then chooses another; shakes around that."""
        rng, habits = self._rng, self._habits
        if habits.pan:
            dx, dy = self._look[0] - self._aim[0], self._look[1] - self._aim[1]
            far = (dx * dx + dy * dy) ** 0.5
            if far < habits.pan:
                self._choose_look()
            else:
                self._aim = (self._aim[0] + dx / far * self._pace, self._aim[1] + dy / far * self._pace)
        shake = habits.shake
        jolt = [min(max(rng.gauss(0, shake), -2 * shake), 2 * shake) for _ in "xy"] if shake else (0.0, 0.0)
        self._camera = (self._aim[0] + jolt[0], self._aim[1] + jolt[1])

    def _choose_look(self) -> None:
        rng, (across, down) = self._rng, self._habits.sway
        self._look = (rng.uniform(-across, across), rng.uniform(-down, down))
        self._pace = rng.uniform(0.5, 1.0) * self._habits.pan

    # ---- what happens

    def _new_scene(self) -> None:
        rng = self._rng
        self._texture = rng.getrandbits(40)
        self._scene_age = 0
        self._camera = self._aim = (0.0, 0.0)
        self._look, self._pace = (0.0, 0.0), 0.0
        if self._habits.pan:
            self._choose_look()
        self._things: list[_Thing] = []  # back to front
        self._names: dict[tuple[str, str], int] = {}  # when an object of this name was last in the scene
        fewest, most = self._habits.objects
        for _ in range(rng.randint(fewest, most)):
            thing = self._make()
            spot = self._free_spot(thing)
            if spot:
                thing.x, thing.y = spot
                thing.entered, thing.moved_for = True, 9
                self._things.append(thing)
        rng.shuffle(self._things)
        self._wait = rng.randint(1, 4)
        for thing in self._things[: rng.randint(0, (self._habits.movers + 1) // 2)]:
            self._start(thing)

    def _happen(self) -> None:
        """Lets one thing happen, of those that can."""
        habits = dict(self._habits.habits)
        fewest, most = self._habits.objects
        if len(self._things) >= most:
            habits.pop("enter")
        if sum(not t.leaving for t in self._things) <= fewest:
            habits.pop("leave")
        if sum(t.steps > 0 for t in self._things) >= self._habits.movers:
            habits = {"recolour": 1.0} if self._rng.random() < 0.25 else {}
        while habits:
            kind = self._rng.choices(list(habits), list(habits.values()))[0]
            if getattr(self, "_try_" + kind)():
                return
            habits.pop(kind)

    def _resting(self) -> list[_Thing]:
        found = [t for t in self._things if t.entered and not t.steps and t.moves == "still" and t.moved_for >= 3]
        self._rng.shuffle(found)
        return found

    def _try_start(self) -> bool:
        return any(self._start(t) for t in self._resting())

    def _try_leave(self) -> bool:
        for thing in self._resting():
            direction = self._rng.choice(list(DIRECTIONS))
            speed = max(self._speed(), 4.0)
            thing.go(direction, speed, 1 + int((UNIT + 2 * MARGIN + 40) / speed), leaving=True)
            return True
        return False

    def _try_recolour(self) -> bool:
        for thing in self._things:
            if thing.entered and self._inside(thing) > 0.9 and self._rng.random() < 0.5:
                free = [c for c in COLOURS if self._free_name(c, thing.shape)]
                if free:
                    old = thing.colour
                    self._names[old, thing.shape] = self.frame
                    thing.colour = self._rng.choice(free)
                    self._log("changed colour", thing, old)
                    return True
        return False

    def _try_enter(self) -> bool:
        rng = self._rng
        thing = self._make()
        direction = rng.choice(list(DIRECTIONS))
        dx, dy = DIRECTIONS[direction]
        spot = self._free_spot(thing)
        if spot is None:
            return False
        speed = max(self._speed(), 4.0)
        camera_x, camera_y = self._camera
        out = thing.reach + 1.0
        start_x, start_y = {
            "right": (camera_x - out, spot[1]),
            "left": (camera_x + UNIT + out, spot[1]),
            "down": (spot[0], camera_y - out),
            "up": (spot[0], camera_y + UNIT + out),
        }[direction]
        far = abs(spot[0] - start_x) + abs(spot[1] - start_y)
        steps = max(round(far / speed), 1)
        if rng.random() < 0.2:  # right through
            thing.x, thing.y = start_x, start_y
            thing.go(direction, speed, 1 + int((UNIT + 2 * MARGIN + 60) / speed), leaving=True)
        else:
            thing.x, thing.y = spot[0] - dx * speed * steps, spot[1] - dy * speed * steps
            thing.go(direction, speed, steps)
        self._things.insert(rng.randint(0, len(self._things)), thing)
        return True

    def _start(self, thing: _Thing) -> bool:
        """Sends an object to a free spot in a straight line, if one of a few tries finds any."""
        rng = self._rng
        for _ in range(8):
            direction = rng.choice(list(DIRECTIONS))
            speed = self._speed()
            steps = rng.randint(3, 14)
            dx, dy = DIRECTIONS[direction]
            spot = (thing.x + dx * speed * steps, thing.y + dy * speed * steps)
            if self._is_free(thing, *spot):
                thing.go(direction, speed, steps)
                return True
        return False

    def _speed(self) -> float:
        return self._rng.uniform(*self._habits.speed)

    def _free_name(self, colour: str, shape: str) -> bool:
        if any(t.colour == colour and t.shape == shape for t in self._things):
            return False
        return self.frame - self._names.get((colour, shape), -REMEMBERED) >= REMEMBERED

    def _make(self) -> _Thing:
        """A new object with a name of its own; half the time it shares the colour or the shape of another."""
        rng = self._rng
        names = [(c, s) for c in COLOURS for s in SHAPES if self._free_name(c, s)]
        if self._things and rng.random() < 0.6:
            like = rng.choice(self._things)
            if rng.random() < 0.6:
                names = [n for n in names if n[1] == like.shape] or names
            else:
                names = [n for n in names if n[0] == like.colour] or names
        colour, shape = rng.choice(names)
        size = rng.choices(("small", "medium", "large"), (27, 33, 40))[0]  # large ones find room less often
        thing = _Thing(self._next_id, colour, shape, size, RADII[size] * rng.choice((0.95, 1.0, 1.05)))
        taken = {t.id for t in self._things}
        while True:
            self._next_id = self._next_id % 255 + 1
            if self._next_id not in taken:
                return thing

    def _free_spot(self, thing: _Thing):
        rng = self._rng
        for _ in range(24):
            x, y = rng.uniform(0, UNIT), rng.uniform(0, UNIT)
            if self._is_free(thing, x, y):
                return x, y
        return None

    def _is_free(self, thing: _Thing, x: float, y: float) -> bool:
        """Whether an object can rest there: in view however the camera pans, apart from others, well inside a cell."""
        across, down = self._habits.sway
        r = thing.reach + 1.0
        if not (r + across <= x <= UNIT - r - across and r + down <= y <= UNIT - r - down):
            return False
        if any(abs(v - border) < 4.0 for v in (x, y) for border in (UNIT / 3, 2 * UNIT / 3)):
            return False
        for other in self._things:
            if other is not thing and not other.leaving:
                other_x, other_y = other.target
                apart = 1.05 * (other.reach + thing.reach)
                if (x - other_x) ** 2 + (y - other_y) ** 2 < apart * apart:
                    return False
        return True

    # ---- seeing

    def _layout(self, size: int):
        """ids uint8 [size, size] and, per object back to front, its (thing, rows, columns, let_through, ink, area)."""
        if size not in self._layouts:
            ids = np.zeros((size, size), np.uint8)
            laid = []
            for thing in self._things:
                x, y = thing.x - self._camera[0], thing.y - self._camera[1]
                rows, cols, let_through, ink, solid, area = place_stamp(thing.shape, thing.radius, x, y, size)
                ids[rows, cols][solid] = thing.id
                laid.append((thing, rows, cols, let_through, ink, area))
            self._layouts[size] = (ids, laid)
        return self._layouts[size]

    def ids(self, size: int = UNIT) -> np.ndarray:
        """The id of the object at every pixel, uint8 [size, size], 0 for background."""
        return self._layout(size)[0]

    def render(self, size: int = UNIT) -> np.ndarray:
        """The frame, uint8 [size, size, 3] RGB."""
        light = crop_background(self._texture, *self._camera, size)
        for thing, rows, cols, let_through, ink, _ in self._layout(size)[1]:
            box = light[rows, cols]
            box *= let_through
            box += ink * _PAINT[thing.colour]
        gain = self._habits.gain * (1.0 + min(max(self._drift, -0.25), 0.35))
        return expose(light, gain, self._habits.noise, self.seed * 8191 + self.frame * 31 + 1)

    def truth(self) -> Truth:
        """What is the case now."""
        ids, laid = self._layout(UNIT)
        counts = np.bincount(ids.ravel(), minlength=256)
        seen = []
        for thing, _, _, _, _, area in laid:
            if not thing.entered and not counts[thing.id]:
                continue
            x, y = (thing.x - self._camera[0]) / UNIT, (thing.y - self._camera[1]) / UNIT
            place, clear = place_of(x, y)
            seen.append(Seen(thing.id, thing.colour, thing.shape, thing.size, x, y, counts[thing.id] / area,
                             thing.moves, thing.moved_for, place, clear))
        seen.sort(key=lambda o: o.id)
        camera = (self._camera[0] / UNIT, self._camera[1] / UNIT)
        return Truth(self.frame, self.scene, tuple(seen), tuple(self._events), camera)


_PAINT = {name: np.array(rgb, np.float32) for name, rgb in COLOURS.items()}


def place_of(x: float, y: float) -> tuple[str, bool]:
    """The cell of a point in [0, 1] image coordinates, and whether the point is well inside the cell."""
    column, row = min(max(int(x * 3), 0), 2), min(max(int(y * 3), 0), 2)
    inside = 0.0 <= x <= 1.0 and 0.0 <= y <= 1.0
    clear = inside and all(abs(v - border) >= BORDER for v in (x, y) for border in (1 / 3, 2 / 3))
    return PLACES[3 * row + column], clear


def at_place(place: str) -> str:
    """A place with its preposition: "at the top left", "in the center"."""
    return "in the center" if place == "center" else f"at the {place}"


def record(profile: str, seed: int, frames: int = 16, size: int = UNIT, skip: int = 0) -> Clip:
    """`frames` frames of a stream after the first `skip`; in the clip, frames are counted from 0 again.

    A stream begins at rest with every object in full view; with `skip` a clip begins in the middle of things.
    Raises ValueError for an unknown profile, no frames or a negative skip.
    """
    if frames < 1 or skip < 0:
        raise ValueError(f"a clip needs at least one frame and no negative skip, not {frames} frames after {skip}")
    world = World(profile, seed)
    for _ in range(skip):
        world.step()
    pixels = np.empty((frames, size, size, 3), np.uint8)
    ids = np.empty((frames, size, size), np.uint8)
    truths = []
    for t in range(frames):
        if t:
            world.step()
        pixels[t] = world.render(size)
        ids[t] = world.ids(size)
        truth = world.truth()
        truths.append(_counted_from(truth, skip) if skip else truth)
    return Clip(profile, int(seed), pixels, ids, tuple(truths))


def _counted_from(truth: Truth, skip: int) -> Truth:
    events = tuple(replace(e, frame=e.frame - skip) for e in truth.events if e.frame > skip)
    return replace(truth, frame=truth.frame - skip, events=events)
