"""From a picture to the language model's visual tokens, as cheaply as the cacher in use allows."""

from __future__ import annotations

from functools import cached_property, partial

import torch

from stc_ros.models.base import VideoModel
from stc_ros.vision.cachers.base import Cacher, Encoded


class FrameFeatures:
    """A frame as a pruner sees it: a value, whose parts are computed when they are asked for, once.

    hidden: [n, D'], before the projector's last layer. tokens: [n, D], what the language model would read, with what is
    added in its layers (deepstack). From the tower's last layer: keys, [n, head], their mean over the heads, without
    rotation; saliency, float32 [n], the attention that a token receives, mean over heads and queries. Both are pooled
    as the tokens are. static_frames: how many frames in a
    row, up to this one, have shown nothing new by their pixels; None when the cacher does not compare them.
    """

    def __init__(self, model: VideoModel, encoded: Encoded, plain: bool = False):
        self.model, self.encoded, self.plain = model, encoded, plain
        self.token_grid = model.token_grid
        self.static_frames = encoded.static_frames
        self.features = model.tower.finish(encoded.features)  # [1, T', d]

    @cached_property
    def hidden(self) -> torch.Tensor:
        return self.model.project_in(self.features)[0]

    @cached_property
    def tokens(self) -> torch.Tensor:
        if self.plain and self.model.project:  # bit for bit
            return self.model.project(self.features)[0]
        return self.model.project_out(self.hidden)

    @cached_property
    def keys(self) -> torch.Tensor:
        return self._pool_patches(self._attended[1].mean(0))

    @cached_property
    def saliency(self) -> torch.Tensor:
        query, key = (self.model.tower.blocks[-1].turned(x) for x in self._attended)
        received = (query.float() @ key.float().transpose(1, 2) / key.shape[-1] ** 0.5).softmax(-1).mean((0, 1))
        return self._pool_patches(received[:, None])[:, 0]

    @cached_property
    def _attended(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries and keys of the tower's last layer, [heads, T, head] each, computed anew."""
        block = self.model.tower.blocks[-1]
        h = block.norm1(self.encoded.entry)[0]
        return tuple(linear(h).unflatten(-1, (block.heads, -1)).transpose(0, 1) for linear in (block.q, block.k))

    def _pool_patches(self, x: torch.Tensor) -> torch.Tensor:
        return self.model.pool(x[None, self.model.tower.class_tokens :])[0]

    def read(self, kept: torch.Tensor) -> torch.Tensor:
        """The tokens `kept` [b], as the language model reads them, [b, D]; the others are not projected."""
        return self.tokens[kept] if self.plain else self.model.project_out(self.hidden[kept])

    def mix(self, share: torch.Tensor) -> torch.Tensor:
        """Means of tokens, [b, D]: `share` [b, n] says how much of each; its rows sum to one."""
        if self.plain:
            return share.to(self.tokens.dtype) @ self.tokens
        return self.model.project_out(share.to(self.hidden.dtype) @ self.hidden)


def encode_frame(
    model: VideoModel, cacher: Cacher, image: torch.Tensor, cache_similarity: float, refresh: bool = False
) -> FrameFeatures | None:
    """One picture, uint8 [1, 3, h, w] -> its features, or None when it shows nothing new and was skipped.

    `refresh` recomputes everything.
    """
    encoded = cacher.encode(model.tower, image, partial(_embed, model, image), cache_similarity, refresh)
    return None if encoded is None else FrameFeatures(model, encoded, cacher.plain)


def _embed(model: VideoModel, image: torch.Tensor) -> torch.Tensor:
    """uint8 [1, 3, h, w] -> the tower's embedded tokens [1, T, d]."""
    return model.tower.embed(model.pixels.normalise(image, model.device, model.dtype))
