"""What is the case: the record types of a world, and the words for places and directions."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

DIRECTIONS = {'left': (-1, 0), 'right': (1, 0), 'up': (0, -1), 'down': (0, 1)}
EDGES = {'left': 'left', 'right': 'right', 'up': 'top', 'down': 'bottom'}  # where a mover leaves
PLACES = ('top left', 'top', 'top right', 'left', 'center', 'right', 'bottom left', 'bottom', 'bottom right')
KINDS = ('entered', 'left', 'changed colour', 'started', 'stopped', 'cut')

CLEAR_SHARE = 0.5  # from this visible share on an object counts as visible
BORDER = 3.0 / 112  # nearer than this to a border between cells, a place is not clear


@dataclass(frozen=True)
class Event:
    """Something that happened to an object at a frame: the first frame that shows it done."""

    frame: int
    kind: str  # one of KINDS
    id: int = 0  # 0 for a cut
    colour: str = ''  # as it is after the event
    shape: str = ''
    detail: str = ''  # entered, left: the edge; changed colour: the colour before; started, stopped: the direction


@dataclass(frozen=True)
class Seen:
    """An object in the picture."""

    id: int  # 1 to 255
    colour: str
    shape: str
    size: str
    x: float  # image coordinates of its centre, in [0, 1] while the centre is in the picture
    y: float
    share: float  # how much of it shows, 0 to 1
    moves: str  # "still", "left", "right", "up", "down": what it did in the last step
    moved_for: int  # steps for which `moves` has been true without a change
    place: str  # one of PLACES
    place_clear: bool  # the centre is well away from the borders between cells, and in the picture

    @property
    def visible(self) -> bool:
        """Whether enough shows to name it."""
        return self.share >= CLEAR_SHARE


@dataclass(frozen=True)
class Truth:
    """What is the case at one frame."""

    frame: int
    scene: int  # counts the cuts
    objects: tuple[Seen, ...]  # every object in the picture, also one that is partly or wholly hidden, by id
    events: tuple[Event, ...]  # so far, oldest first; those long past are dropped
    camera: tuple[float, float]  # where the camera looks, in frame widths from the middle of the scene

    @property
    def visible(self) -> tuple[Seen, ...]:
        """The objects of which enough shows to name them."""
        return tuple(o for o in self.objects if o.visible)

    @property
    def clear(self) -> bool:
        """True when every object either shows well or is out of the picture."""
        return all(o.visible for o in self.objects)


@dataclass(frozen=True)
class Clip:
    """A recorded stream, with the object at every pixel (0 for background) and the truth about every frame."""

    profile: str
    seed: int
    frames: np.ndarray  # uint8 [T, S, S, 3], RGB
    ids: np.ndarray  # uint8 [T, S, S]
    truths: tuple[Truth, ...]

    def __len__(self) -> int:
        return len(self.truths)

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """Every event of the clip, oldest first."""
        return tuple(e for truth in self.truths for e in truth.events if e.frame == truth.frame)


def place_of(x: float, y: float) -> tuple[str, bool]:
    """The cell of a point in [0, 1] image coordinates, and whether the point is well inside the cell."""
    column, row = min(max(int(x * 3), 0), 2), min(max(int(y * 3), 0), 2)
    inside = 0.0 <= x <= 1.0 and 0.0 <= y <= 1.0
    clear = inside and all(abs(v - border) >= BORDER for v in (x, y) for border in (1 / 3, 2 / 3))
    return PLACES[3 * row + column], clear


def at_place(place: str) -> str:
    """A place with its preposition: "at the top left", "in the center"."""
    return 'in the center' if place == 'center' else f'at the {place}'
