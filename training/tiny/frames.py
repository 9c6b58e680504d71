"""Frames and what is in them, patch by patch and token by token: what the tower learns from."""

import numpy as np

from stc_ros.synthetic import World
from stc_ros.synthetic.render import COLOURS, RADII, SHAPES
from training.tiny.architecture import GRID, IMAGE, PATCH

COLOUR_IDS = {name: i for i, name in enumerate(COLOURS)}
SHAPE_IDS = {name: i for i, name in enumerate(SHAPES)}
SIZE_IDS = {name: i for i, name in enumerate(RADII)}
EMPTY = len(COLOURS)  # the colour class of a place without an object
UNKNOWN = -100  # a class that is not scored
PATCH_PIXELS, TOKEN_PIXELS, SECOND_PIXELS = 10, 10, 14  # fewest pixels of an object for it to be named there


def watch(profile: str, seed: int, count: int, stride: int):
    """`count` frames of a world, `stride` steps apart: yields (frame uint8 [S, S, 3], ids uint8 [S, S], truth)."""
    world = World(profile, seed)
    for i in range(count):
        for _ in range(stride if i else seed % stride):
            world.step()
        yield world.render(IMAGE), world.ids(IMAGE), world.truth()


def cover(ids: np.ndarray, cell: int) -> tuple[np.ndarray, np.ndarray]:
    """How many pixels of each object lie in each cell: (object ids [n], pixels int [n, cells])."""
    found = np.unique(ids)
    found = found[found > 0]
    side = ids.shape[0] // cell
    counts = [(ids == i).reshape(side, cell, side, cell).sum((1, 3)).ravel() for i in found]
    return found, np.array(counts, np.int32).reshape(len(found), side * side)


def label_cells(ids: np.ndarray, truth, cell: int, least: int, rank: int = 0):
    """Classes int64 [cells, 3] (colour or EMPTY, shape, size) and offset float32 [cells, 2] of the object in each cell.

    The object is the one with the `rank`-th most pixels there, if these are at least `least`; the offset is from
    the middle of the cell to the object's centre, in frame widths. Cells with fewer pixels than `least` are UNKNOWN.
    """
    side = IMAGE // cell
    classes = np.full((side * side, 3), UNKNOWN, np.int64)
    offset = np.zeros((side * side, 2), np.float32)
    found, counts = cover(ids, cell)
    seen = {o.id: o for o in truth.objects}
    if rank >= len(found):
        classes[:, 0] = EMPTY
        return classes, offset
    order = np.argsort(-counts, axis=0, kind='stable')[rank]
    most = np.take_along_axis(counts, order[None], 0)[0]
    classes[most == 0, 0] = EMPTY
    for index, i in enumerate(found):
        o = seen.get(int(i))
        here = (order == index) & (most >= least)
        if o is None or not here.any():
            continue
        classes[here] = COLOUR_IDS[o.colour], SHAPE_IDS[o.shape], SIZE_IDS[o.size]
        rows, cols = np.divmod(np.flatnonzero(here), side)
        offset[here, 0] = o.x - (cols + 0.5) / side
        offset[here, 1] = o.y - (rows + 0.5) / side
    return classes, offset


def label_frame(ids: np.ndarray, truth) -> dict[str, np.ndarray]:
    """The labels of a frame: its patches, and of its tokens the first and the second object."""
    out = {}
    token = 2 * PATCH
    views = (('patch', PATCH, PATCH_PIXELS, 0), ('token', token, TOKEN_PIXELS, 0), ('second', token, SECOND_PIXELS, 1))
    for name, cell, least, rank in views:
        out[name + '_class'], out[name + '_offset'] = label_cells(ids, truth, cell, least, rank)
    return out


assert GRID * PATCH == IMAGE
