"""Endless seeded scenes with the truth about every moment.

    world = World(profile="busy", seed=7)
    frame = world.render(112)        # uint8 [112, 112, 3], any other size looks alike
    truth = world.truth()            # what is visible now, and what has happened
    world.step()                     # about an eighth of a second later
    clip = record("busy", 7, frames=16)

An object *moves* when its own position in the scene changed in the step that led to this frame; the motion of the
camera does not count, and movers are at least twice as fast as the camera pans. It *entered* once half of it is in
the picture and *left* once a tenth of it or less is; hidden behind another it is still there.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from stc_ros.synthetic.profiles import profile_named
from stc_ros.synthetic.render import COLOURS, UNIT, crop_background, expose, place_stamp
from stc_ros.synthetic.scene import Scene
from stc_ros.synthetic.truth import Clip, Event, Seen, Truth, place_of

if TYPE_CHECKING:  # a world without one needs no video reader
    from stc_ros.synthetic.backdrop import Backdrop

HISTORY = 64  # frames for which `Truth.events` reaches back
FIRST_CUT = 12  # frames that a scene lasts at least
_PAINT = {name: np.array(rgb, np.float32) for name, rgb in COLOURS.items()}


class World:
    """An endless stream. The same profile and seed give the same stream, whatever is rendered of it.

    backdrop: real video to show behind the objects instead of a texture; nothing else depends on it.
    Raises ValueError for an unknown profile.
    """

    def __init__(self, profile: str = 'busy', seed: int = 0, backdrop: Backdrop | None = None):
        self.profile, self.seed, self.backdrop = profile, int(seed), backdrop
        self._profile = profile_named(profile)
        self._rng = random.Random(f'{profile}/{self.seed}')
        self.frame = 0
        self.scene = 0
        self._events: list[Event] = []
        self._drift = self._rng.gauss(0, self._profile.drift)
        self._layouts: dict[int, tuple] = {}
        self._scene = Scene(self._profile, self._rng, frame=0, next_id=1)

    def step(self) -> None:
        """Advances by one frame."""
        self.frame += 1
        self._layouts = {}
        rng, scene = self._rng, self._scene
        self._drift = 0.96 * self._drift + 0.28 * rng.gauss(0, self._profile.drift)
        scene.age += 1
        if scene.age >= FIRST_CUT and rng.random() < self._profile.cut:
            self.scene += 1
            self._events.append(Event(self.frame, 'cut'))
            self._scene = Scene(self._profile, rng, self.frame, scene.next_id)
            return
        scene.advance(self.frame)
        for kind, thing, detail in scene.happened:
            self._events.append(Event(self.frame, kind, thing.id, thing.colour, thing.shape, detail))
        self._events = [e for e in self._events if e.frame > self.frame - HISTORY]

    def _layout(self, size: int):
        """ids uint8 [size, size] and, per object from back to front, (thing, rows, columns, let_through, ink, area)."""
        if size not in self._layouts:
            ids = np.zeros((size, size), np.uint8)
            laid = []
            for thing in self._scene.things:
                x, y = self._scene.in_picture(thing)
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
        camera = self._scene.camera
        if self.backdrop is None:
            light = crop_background(self._scene.texture, camera.x, camera.y, size)
        else:
            light = self.backdrop.crop(self._scene.texture, self.frame, camera.x, camera.y, size)
        for thing, rows, cols, let_through, ink, _ in self._layout(size)[1]:
            box = light[rows, cols]
            box *= let_through
            box += ink * _PAINT[thing.colour]
        gain = self._profile.gain * (1.0 + min(max(self._drift, -0.25), 0.35))
        return expose(light, gain, self._profile.noise, self.seed * 8191 + self.frame * 31 + 1)

    def truth(self) -> Truth:
        """What is the case now."""
        ids, laid = self._layout(UNIT)
        counts = np.bincount(ids.ravel(), minlength=256)
        seen = []
        for thing, _, _, _, _, area in laid:
            if not thing.entered and not counts[thing.id]:
                continue
            x, y = self._scene.in_picture(thing)
            x, y = x / UNIT, y / UNIT
            place, clear = place_of(x, y)
            share = float(counts[thing.id] / area)
            seen.append(
                Seen(
                    thing.id,
                    thing.colour,
                    thing.shape,
                    thing.size,
                    x,
                    y,
                    share,
                    thing.moves,
                    thing.moved_for,
                    place,
                    clear,
                )
            )
        seen.sort(key=lambda o: o.id)
        camera = (self._scene.camera.x / UNIT, self._scene.camera.y / UNIT)
        return Truth(self.frame, self.scene, tuple(seen), tuple(self._events), camera)


def record(
    profile: str, seed: int, frames: int = 16, size: int = UNIT, skip: int = 0, backdrop: Backdrop | None = None
) -> Clip:
    """`frames` frames of a stream after the first `skip`; in the clip, frames are counted from 0 again.

    A stream begins at rest with every object in full view; with `skip` a clip begins in the middle of things.
    Raises ValueError for an unknown profile, no frames or a negative skip.
    """
    if frames < 1 or skip < 0:
        raise ValueError(f'ask for at least one frame and a skip of 0 or more, not {frames} frames after {skip}')
    world = World(profile, seed, backdrop)
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
        truths.append(counted_from(truth, skip) if skip else truth)
    return Clip(profile, int(seed), pixels, ids, tuple(truths))


def counted_from(truth: Truth, skip: int) -> Truth:
    """The same, with frames counted from the `skip`-th, and without the events before it."""
    events = tuple(replace(e, frame=e.frame - skip) for e in truth.events if e.frame > skip)
    return replace(truth, frame=truth.frame - skip, events=events)
