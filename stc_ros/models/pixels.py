"""From a camera frame to the tower's input: resize and normalise (transformers' video processors need torchvision)."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

RESAMPLE = {2: 'bilinear', 3: 'bicubic'}    # Pillow's numbers, as preprocessor_config.json writes them


@dataclass(frozen=True, slots=True)
class Pixels:
    """Turns uint8 RGB frames [H, W, 3] into normalised pixels [1, 3, height, width]; the aspect is not kept.

    The resize is antialiased on uint8, as Pillow's is, so that a model sees what its processor showed it.
    """

    height: int
    width: int
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    resample: str = 'bicubic'

    @classmethod
    def from_config(cls, config: dict, image_size: int) -> Pixels:
        """From a preprocessor_config.json's content; what it does not say is SigLIP's."""
        size = config.get('size') or {}
        side = size.get('shortest_edge', image_size)
        half = (0.5, 0.5, 0.5)
        return cls(size.get('height', side), size.get('width', side), tuple(config.get('image_mean', half)),
                   tuple(config.get('image_std', half)), RESAMPLE.get(config.get('resample', 3), 'bicubic'))

    def resize(self, frame: np.ndarray) -> torch.Tensor:
        """uint8 [H, W, 3] -> uint8 [1, 3, height, width] on the CPU. Raises `ValueError` for another shape or type."""
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
            raise ValueError(f'a frame must be uint8 [H, W, 3], not {frame.dtype} {list(frame.shape)}')
        if not frame.flags.writeable or any(s < 0 for s in frame.strides):
            frame = frame.copy()
        image = torch.from_numpy(frame).permute(2, 0, 1)[None]
        if image.shape[2:] == (self.height, self.width):
            return image.clone()        # the caller may write into its frame
        return F.interpolate(image, (self.height, self.width), mode=self.resample, antialias=True)

    def normalise(self, image: torch.Tensor, device, dtype) -> torch.Tensor:
        """uint8 [F, 3, h, w] -> `dtype` [F, 3, h, w] on `device`."""
        image = image.to(device=device, dtype=torch.float32)
        mean, std = _columns(self.mean, device), _columns(self.std, device)
        return ((image / 255 - mean) / std).to(dtype)


@functools.lru_cache(8)
def _columns(values: tuple[float, ...], device) -> torch.Tensor:
    """One value a channel, [1, 3, 1, 1]; a GPU is sent them once, since it waits for every such copy."""
    with torch.inference_mode(False):       # usable in any mode, whoever asks first
        return torch.tensor(values, device=device).view(1, 3, 1, 1)
