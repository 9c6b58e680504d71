"""Small things that tests share: frames with something moving in them."""

import numpy as np


def moving_square(count: int, size: int = 48, seed: int = 0, step: int = 3) -> list[np.ndarray]:
    """uint8 RGB frames: a bright square moves over a fixed textured background."""
    rng = np.random.default_rng(seed)
    background = rng.integers(0, 160, (size, size, 3), dtype=np.uint8)
    frames = []
    for t in range(count):
        frame = background.copy()
        x = (t * step) % (size - 12)
        frame[16:28, x:x + 12] = (250, 220, 30)
        frames.append(frame)
    return frames
