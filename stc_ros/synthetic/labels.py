"""Labels for every patch of a clip, for losses that only training has.

ids, cover = patch_labels(clip, grid=14)      # which object each patch belongs to, and how much of it
codes = object_codes(clip)                    # attributes by [frame, id]
colour_of_patch = codes["colour"][np.arange(len(clip))[:, None, None], ids]     # -1 for background
"""

import numpy as np

from stc_ros.synthetic.forms import COLOUR, SHAPE, SIZE, WAYS
from stc_ros.synthetic.truth import PLACES, Clip

_WORDS = {'colour': COLOUR, 'shape': SHAPE, 'size': SIZE, 'moves': WAYS, 'place': PLACES}


def patch_labels(clip: Clip, grid: int) -> tuple[np.ndarray, np.ndarray]:
    """The object that covers most of each patch, and how much of the patch it covers.

    Returns ids uint8 [T, grid, grid], 0 where no object has a pixel, and cover float32 [T, grid, grid] in 0..1.
    Raises ValueError when the grid does not divide the frame.
    """
    frames, size, _ = clip.ids.shape
    if grid < 1 or size % grid:
        raise ValueError(f'a grid of {grid} does not divide a frame of {size} pixels; choose a divisor of {size}')
    side = size // grid
    where = np.flatnonzero(clip.ids)
    owner = clip.ids.ravel()[where]
    known = np.unique(owner)
    number = np.zeros(256, np.int64)
    number[known] = np.arange(len(known))
    axis = np.arange(size) // side
    patch_of_pixel = (axis[:, None] * grid + axis).ravel()
    patch = where // (size * size) * (grid * grid) + patch_of_pixel[where % (size * size)]
    places = frames * grid * grid
    kinds = max(len(known), 1)
    count = np.bincount(patch * kinds + number[owner], minlength=places * kinds).reshape(places, kinds)
    best = count.argmax(axis=1)
    most = count[np.arange(places), best]
    ids = np.where(most > 0, known[best], 0).astype(np.uint8) if len(known) else np.zeros(places, np.uint8)
    cover = (most / (side * side)).astype(np.float32)
    return ids.reshape(frames, grid, grid), cover.reshape(frames, grid, grid)


def object_codes(clip: Clip) -> dict[str, np.ndarray]:
    """What is known of each object at each frame, by [frame, id].

    "colour", "shape", "size", "moves", "place": int8 [T, 256], the index in COLOUR, SHAPE, SIZE, WAYS (forms.py)
    and PLACES (world.py), -1 where the object is not in the picture; "x", "y", "share": float32 [T, 256].
    """
    frames = len(clip)
    codes = {key: np.full((frames, 256), -1, np.int8) for key in _WORDS}
    numbers = {key: np.zeros((frames, 256), np.float32) for key in ('x', 'y', 'share')}
    index = {key: {word: i for i, word in enumerate(words)} for key, words in _WORDS.items()}
    for t, truth in enumerate(clip.truths):
        for o in truth.objects:
            for key, table in codes.items():
                table[t, o.id] = index[key][getattr(o, key)]
            for key, table in numbers.items():
                table[t, o.id] = getattr(o, key)
    return codes | numbers
