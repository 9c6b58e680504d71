"""Small things that tests share: frames with something moving in them."""

import numpy as np

from stc_ros.synthetic import World


def moving_square(count: int, size: int = 48, seed: int = 0, step: int = 3) -> list[np.ndarray]:
    """uint8 RGB frames: a bright square moves over a fixed textured background."""
    rng = np.random.default_rng(seed)
    background = rng.integers(0, 160, (size, size, 3), dtype=np.uint8)
    frames = []
    for t in range(count):
        frame = background.copy()
        x = (t * step) % (size - 12)
        frame[16:28, x : x + 12] = (250, 220, 30)
        frames.append(frame)
    return frames


def drifting_light(count: int, size: int, seed: int = 5) -> list[np.ndarray]:
    """uint8 RGB frames: things move, and light and its colour drift, from frame to frame by less than a camera's noise.

    Over the whole it is a third more and a third less light: far from what any patch looked like when it was computed.
    """
    world, rng, frames = World('busy', seed), np.random.default_rng(seed), []
    for t in range(count):
        gain, warm = 1 + 0.2 * np.sin(2 * np.pi * t / 150), 0.06 * np.sin(2 * np.pi * t / 210 + 1)
        light = world.render(size) * (gain * np.array((1 + warm, 1, 1 - warm)))
        frames.append(np.clip(light + rng.normal(0, 1.5, light.shape), 0, 255).round().astype(np.uint8))
        world.step()
    return frames
