"""A camera's picture as it came: resized first, its colours put right on the few pixels that are left."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


class Picture:
    """Pixels that interleave their channels, whichever these are.

    pixels: uint8 [H, W, C], rows may be padded; channels: which of the C is red, green, blue. rgb: gives the whole
    picture, uint8 [H, W, 3]. Nothing is copied before it is needed.
    """

    def __init__(self, pixels: np.ndarray, channels: tuple[int, int, int], rgb: Callable[[], np.ndarray]):
        self.pixels, self.channels, self.rgb = pixels, list(channels), rgb
        self.height, self.width = pixels.shape[:2]

    def resize(self, height: int, width: int, mode: str):
        """-> uint8 tensor [1, 3, height, width], just as if colours had come first: each channel is resized alone."""
        return resize(self.pixels, height, width, mode)[:, self.channels]

    def array(self, least: int | None = None) -> np.ndarray:
        """uint8 [H, W, 3]; smaller where that is cheaper, but no side shorter than `least`."""
        return self.rgb()


def resize(pixels: np.ndarray, height: int, width: int, mode: str):
    """uint8 [H, W, C] -> uint8 tensor [1, C, height, width] of its own, antialiased on uint8 as Pillow's is."""
    import torch

    if any(stride < 0 for stride in pixels.strides):
        pixels = pixels.copy()
    if not pixels.flags.writeable:  # torch warns of what nobody does: nothing here writes into a picture
        pixels = np.asarray(_Writeable(pixels))
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    if image.shape[2:] == (height, width):
        return image.clone()
    return torch.nn.functional.interpolate(image, (height, width), mode=mode, antialias=True)


class _Writeable:
    """The same memory, said to be writeable."""

    def __init__(self, pixels: np.ndarray):
        about = pixels.__array_interface__
        self.__array_interface__ = {**about, 'data': (about['data'][0], False)}
        self.owner = pixels  # the array made of this keeps it, and so the memory
