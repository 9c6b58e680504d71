"""A scene: its objects, and what happens to them.

All lengths are in units of a 112-pixel frame, in the coordinates of the scene (the picture shows 0 to 112 of both
while the camera looks at the middle). Something happens every few frames: an object enters, leaves, starts to move,
or changes its colour. Names (colour and shape) are unique among the objects of the last REMEMBERED frames.
"""

import random

from stc_ros.synthetic.camera import Camera
from stc_ros.synthetic.profiles import LONG_PAUSE, Profile
from stc_ros.synthetic.render import COLOURS, MARGIN, RADII, SHAPES, UNIT, place_stamp, reach
from stc_ros.synthetic.truth import CLEAR_SHARE, DIRECTIONS, EDGES

GONE_SHARE = 0.1  # up to this share in the picture an object has left
REMEMBERED = 40  # frames for which the name of an object that left is not given to another
SWIFT = 5.0  # objects enter and leave at least this fast: half an object is hard to name
ROOM = 4.0  # objects come to rest at least this far from the borders between cells
SIZE_WEIGHTS = {'small': 27, 'medium': 33, 'large': 40}  # large ones find room less often
OPPOSITE = {'left': 'right', 'right': 'left', 'up': 'down', 'down': 'up'}


class Thing:
    """An object of the world. Position in units of the world; `steps` still to go in its motion."""

    __slots__ = (
        'id',
        'colour',
        'shape',
        'size',
        'radius',
        'reach',
        'x',
        'y',
        'direction',
        'speed',
        'steps',
        'leaving',
        'entered',
        'moves',
        'moved_for',
    )

    def __init__(self, id, colour, shape, size, radius):
        self.id, self.colour, self.shape, self.size, self.radius = id, colour, shape, size, radius
        self.reach = reach(shape, radius)
        self.x = self.y = 0.0
        self.direction, self.speed, self.steps = 'still', 0.0, 0
        self.leaving, self.entered = False, False
        self.moves, self.moved_for = 'still', 0

    @property
    def target(self):
        dx, dy = DIRECTIONS.get(self.direction, (0, 0))
        return self.x + dx * self.speed * self.steps, self.y + dy * self.speed * self.steps

    def go(self, direction, speed, steps, leaving=False):
        self.direction, self.speed, self.steps, self.leaving = direction, speed, steps, leaving

    def advance(self) -> str:
        """One step; returns "started" or "stopped" when that is what it did."""
        before = self.moves
        self.moves = self.direction if self.steps else 'still'
        if self.steps:
            dx, dy = DIRECTIONS[self.direction]
            self.x += dx * self.speed
            self.y += dy * self.speed
            self.steps -= 1
        self.moved_for = self.moved_for + 1 if self.moves == before else 1
        if self.moves == before:
            return ''
        return 'stopped' if self.moves == 'still' else 'started'


class Scene:
    """The objects before a camera, back to front in `things`. `frame` counts the frames of the whole stream."""

    def __init__(self, profile: Profile, rng: random.Random, frame: int, next_id: int):
        self._profile, self._rng = profile, rng
        self.frame, self.next_id = frame, next_id
        self.texture = rng.getrandbits(40)
        self.age = 0
        self.happened: list[tuple] = []  # in the newest frame: (kind, thing, detail)
        self.camera = Camera(profile, rng)
        self.things: list[Thing] = []
        self._names: dict[tuple[str, str], int] = {}  # when an object of this name was last in the scene
        fewest, most = profile.objects
        for _ in range(rng.randint(fewest, most)):
            thing = self._make()
            spot = self._free_spot(thing)
            if spot:
                thing.x, thing.y = spot
                thing.entered, thing.moved_for = True, 9
                self.things.append(thing)
        rng.shuffle(self.things)
        self._wait = rng.randint(1, 4)
        for thing in self.things[: rng.randint(0, (profile.movers + 1) // 2)]:
            self._start(thing)

    def advance(self, frame: int) -> None:
        """One step, to that frame of the stream."""
        self.frame = frame
        self.happened = []
        self.camera.advance()
        for thing in list(self.things):
            self._advance(thing)
        self._wait -= 1
        if self._wait <= 0:
            long = self._rng.random() < self._profile.rest
            self._wait = self._rng.randint(*(LONG_PAUSE if long else self._profile.pause))
            self._happen()

    def in_picture(self, thing: Thing) -> tuple[float, float]:
        """The position of an object in the picture."""
        return thing.x - self.camera.x, thing.y - self.camera.y

    def _advance(self, thing: Thing) -> None:
        edge = EDGES.get(OPPOSITE.get(thing.direction, ''), '')
        change = thing.advance()
        inside = self._inside(thing)
        if not thing.entered:
            if inside >= CLEAR_SHARE:
                thing.entered = True
                self.happened.append(('entered', thing, edge))
            return
        if inside <= GONE_SHARE:
            self.things.remove(thing)
            self._names[thing.colour, thing.shape] = self.frame
            self.happened.append(('left', thing, self._edge_of(thing)))
        elif change:
            self.happened.append((change, thing, thing.direction))

    def _inside(self, thing: Thing) -> float:
        """The share of an object that is in the picture, hidden or not."""
        x, y = self.in_picture(thing)
        if thing.reach < min(x, y) and max(x, y) < UNIT - thing.reach:
            return 1.0
        *_, solid, area = place_stamp(thing.shape, thing.radius, x, y, UNIT)
        return solid.sum() / area

    def _edge_of(self, thing: Thing) -> str:
        x, y = self.in_picture(thing)
        return min(('left', x), ('right', UNIT - x), ('top', y), ('bottom', UNIT - y), key=lambda e: e[1])[0]

    def _happen(self) -> None:
        """Lets one thing happen, of those that can."""
        habits = dict(self._profile.habits)
        fewest, most = self._profile.objects
        if len(self.things) >= most:
            habits.pop('enter')
        if sum(not t.leaving for t in self.things) <= fewest:
            habits.pop('leave')
        if sum(t.steps > 0 for t in self.things) >= self._profile.movers:
            habits = {'recolour': 1.0} if self._rng.random() < 0.25 else {}
        while habits:
            kind = self._rng.choices(list(habits), list(habits.values()))[0]
            if getattr(self, '_try_' + kind)():
                return
            habits.pop(kind)

    def _resting(self) -> list[Thing]:
        found = [t for t in self.things if t.entered and not t.steps and t.moves == 'still' and t.moved_for >= 3]
        self._rng.shuffle(found)
        return found

    def _try_start(self) -> bool:
        return any(self._start(t) for t in self._resting())

    def _try_leave(self) -> bool:
        for thing in self._resting():
            direction = self._rng.choice(list(DIRECTIONS))
            speed = max(self._speed(), SWIFT)
            thing.go(direction, speed, 1 + int((UNIT + 2 * MARGIN + 40) / speed), leaving=True)
            return True
        return False

    def _try_recolour(self) -> bool:
        for thing in self.things:
            if thing.entered and self._inside(thing) > 0.9 and self._rng.random() < 0.5:
                free = [c for c in COLOURS if self._free_name(c, thing.shape)]
                if free:
                    old = thing.colour
                    self._names[old, thing.shape] = self.frame
                    thing.colour = self._rng.choice(free)
                    self.happened.append(('changed colour', thing, old))
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
        speed = max(self._speed(), SWIFT)
        camera_x, camera_y = self.camera.x, self.camera.y
        out = thing.reach + 1.0
        start_x, start_y = {
            'right': (camera_x - out, spot[1]),
            'left': (camera_x + UNIT + out, spot[1]),
            'down': (spot[0], camera_y - out),
            'up': (spot[0], camera_y + UNIT + out),
        }[direction]
        far = abs(spot[0] - start_x) + abs(spot[1] - start_y)
        steps = max(round(far / speed), 1)
        if rng.random() < 0.2:  # right through
            thing.x, thing.y = start_x, start_y
            thing.go(direction, speed, 1 + int((UNIT + 2 * MARGIN + 60) / speed), leaving=True)
        else:
            thing.x, thing.y = spot[0] - dx * speed * steps, spot[1] - dy * speed * steps
            thing.go(direction, speed, steps)
        self.things.insert(rng.randint(0, len(self.things)), thing)
        return True

    def _start(self, thing: Thing) -> bool:
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
        return self._rng.uniform(*self._profile.speed)

    def _free_name(self, colour: str, shape: str) -> bool:
        if any(t.colour == colour and t.shape == shape for t in self.things):
            return False
        return self.frame - self._names.get((colour, shape), -REMEMBERED) >= REMEMBERED

    def _make(self) -> Thing:
        """A new object with a name of its own; half the time it shares the colour or the shape of another."""
        rng = self._rng
        names = [(c, s) for c in COLOURS for s in SHAPES if self._free_name(c, s)]
        if self.things and rng.random() < 0.6:
            like = rng.choice(self.things)
            if rng.random() < 0.6:
                names = [n for n in names if n[1] == like.shape] or names
            else:
                names = [n for n in names if n[0] == like.colour] or names
        colour, shape = rng.choice(names)
        size = rng.choices(list(SIZE_WEIGHTS), list(SIZE_WEIGHTS.values()))[0]
        thing = Thing(self.next_id, colour, shape, size, RADII[size] * rng.choice((0.95, 1.0, 1.05)))
        taken = {t.id for t in self.things}
        while True:
            self.next_id = self.next_id % 255 + 1
            if self.next_id not in taken:
                return thing

    def _free_spot(self, thing: Thing):
        rng = self._rng
        for _ in range(24):
            x, y = rng.uniform(0, UNIT), rng.uniform(0, UNIT)
            if self._is_free(thing, x, y):
                return x, y
        return None

    def _is_free(self, thing: Thing, x: float, y: float) -> bool:
        """Whether an object can rest there: in view however the camera pans, apart from others, well inside a cell."""
        across, down = self._profile.sway
        r = thing.reach + 1.0
        if not (r + across <= x <= UNIT - r - across and r + down <= y <= UNIT - r - down):
            return False
        if any(abs(v - border) < ROOM for v in (x, y) for border in (UNIT / 3, 2 * UNIT / 3)):
            return False
        for other in self.things:
            if other is not thing and not other.leaving:
                other_x, other_y = other.target
                apart = 1.05 * (other.reach + thing.reach)
                if (x - other_x) ** 2 + (y - other_y) ** 2 < apart * apart:
                    return False
        return True
