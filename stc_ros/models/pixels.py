"""From a camera frame to the tower's input: resize and normalise (transformers' video processors need torchvision)."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch

from stc_ros.io.picture import Picture, resize
from stc_ros.transfer import upload

RESAMPLE = {2: 'bilinear', 3: 'bicubic'}  # Pillow's numbers, as processors' configurations write them
SIGLIP = {'image_mean': (0.5, 0.5, 0.5), 'image_std': (0.5, 0.5, 0.5)}
CLIP = {'image_mean': (0.48145466, 0.4578275, 0.40821073), 'image_std': (0.26862954, 0.26130258, 0.27577711)}


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
    divisor: float = 255.0  # comes before mean and std

    @classmethod
    def from_config(cls, config: dict | None, image_size: int, clip: bool = False) -> Pixels:
        """From the configuration of a transformers image or video processor, to square frames of side `image_size`.

        None stands for what SigLIP towers, or with `clip` CLIP towers, were trained with. Raises `ValueError`, with the
        remedy, for what would show the tower something else than its processor would.
        """
        if config is None:
            config = CLIP if clip else SIGLIP
        sides = _sides('size', config.get('size', image_size))
        if sides != (image_size, image_size):
            raise ValueError(
                f'size is {sides[0]} x {sides[1]}, but the tower takes {image_size} x {image_size} '
                '(image_size in config.json): correct the wrong one'
            )
        if not _flag(config, 'do_resize', True):
            raise ValueError('do_resize is false, but frames of any size come: set it to true')
        if _flag(config, 'do_center_crop', False) and _sides('crop_size', config.get('crop_size')) != sides:
            raise ValueError(
                'do_center_crop would cut the frames, which are shown whole: set it to false, or crop_size to size'
            )
        resample = config.get('resample')
        if resample is not None and (type(resample) is not int or resample not in RESAMPLE):
            raise ValueError(f'resample {resample!r} is not supported: choose 2 (bilinear) or 3 (bicubic)')
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        if _flag(config, 'do_normalize', True):
            mean, std = (_channels(config, key) for key in ('image_mean', 'image_std'))
            if min(std) <= 0:
                raise ValueError(f'image_std is {std}, which cannot be divided by: correct it')
        divisor = 1.0
        if _flag(config, 'do_rescale', True):
            factor = config.get('rescale_factor')
            factor = 1 / 255 if factor is None else factor
            if not _is_number(factor) or factor <= 0:
                raise ValueError(f'rescale_factor is {factor!r}, not a number above 0: correct it')
            divisor = 1 / factor
        return cls(*sides, mean, std, RESAMPLE[3 if resample is None else resample], divisor)

    def resize(self, frame: np.ndarray | Picture) -> torch.Tensor:
        """uint8 [H, W, 3] or `Picture` -> uint8 [1, 3, height, width] on the CPU, with memory of its own.

        Raises `ValueError` for another shape or type, and what the picture raises.
        """
        if isinstance(frame, Picture):
            return frame.resize(self.height, self.width, self.resample)
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
            raise ValueError(f'a frame must be uint8 [H, W, 3], not {frame.dtype} {list(frame.shape)}')
        return resize(frame, self.height, self.width, self.resample)

    def normalise(self, image: torch.Tensor, device, dtype) -> torch.Tensor:
        """uint8 [F, 3, h, w] -> `dtype` [F, 3, h, w] on `device`."""
        image = upload(image, torch.device(device)).to(torch.float32)  # as bytes: a quarter of the way
        mean, std = _columns(self.mean, device), _columns(self.std, device)
        return ((image / self.divisor - mean) / std).to(dtype)


@functools.lru_cache(8)
def _columns(values: tuple[float, ...], device) -> torch.Tensor:
    """One value a channel, [1, 3, 1, 1]; a GPU is sent them once, since it waits for every such copy."""
    with torch.inference_mode(False):  # usable in any mode, whoever asks first
        return torch.tensor(values, device=device).view(1, 3, 1, 1)


def _sides(key: str, value) -> tuple[int, int]:
    """(height, width) of a processor's size; a plain number, as older ones have it, is both."""
    if isinstance(value, dict) and value.get('height') is not None and value.get('width') is not None:
        value = [value['height'], value['width']]
    sides = value if isinstance(value, list) and len(value) == 2 else [value, value]
    if not all(type(side) is int and side > 0 for side in sides):
        raise ValueError(
            f'{key} is {value!r}; frames are resized to a height and a width, whatever their aspect: '
            'write {"height": .., "width": ..}'
        )
    return sides[0], sides[1]


def _flag(config: dict, key: str, default: bool) -> bool:
    value = config.get(key)
    if value not in (True, False, None):
        raise ValueError(f'{key} is {value!r}: set it to true or false')
    return default if value is None else bool(value)


def _channels(config: dict, key: str) -> tuple[float, float, float]:
    values = config.get(key)
    if not isinstance(values, (list, tuple)) or len(values) != 3 or not all(map(_is_number, values)):
        raise ValueError(f'{key} is {values!r}, not the three numbers that the tower was trained with: write them')
    return tuple(values)


def _is_number(value) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
