"""From a picture to the language model's visual tokens, as cheaply as the cacher in use allows."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property, partial

import torch

from stc_ros.compression.cacher import CacherState, encode
from stc_ros.compression.compact import CompactState, encode_compact
from stc_ros.models.base import VideoModel
from stc_ros.settings import Settings


@dataclass(slots=True)
class VisionState:
    """What the cachers remember of one stream. A new value forgets everything."""

    layers: CacherState = field(default_factory=CacherState)  # paper, similarity
    compact: CompactState | None = None

    @property
    def bytes(self) -> int:
        """Bytes of the features and the picture that are held."""
        if self.compact is not None:
            held = (self.compact.image, self.compact.held, self.compact.entry, self.compact.features)
        else:
            held = [getattr(r, f.name) for r in self.layers.references for f in fields(r)]
            held += [self.layers.entry] if self.layers.entry is not None else []
        return sum(tensor.nbytes for tensor in held)


def most_bytes(model: VideoModel) -> int:
    """`VisionState.bytes` at most, whichever the cacher: four things of each token in every layer, and its ends."""
    tokens, layers = model.tower.tokens, len(model.tower.blocks)
    width = model.tower.blocks[0].q.in_features
    return (4 * layers + 2) * tokens * width * model.dtype.itemsize + 3 * model.pixels.height * model.pixels.width


class Sight:
    """A frame as the pruner may look at it; what costs something is computed when it is asked for, once.

    hidden: [n, D], pooled but before the projector's last layer. tokens: [n, D], what the language model would read.
    changed: float32 [n] in [0, 1], the share of each token's patches that the cacher recomputed. From the tower's last
    layer, whose input [1, T, d] is `entry`: keys, [n, head], their mean over the heads; saliency, float32 [n], the
    attention that a token receives, mean over heads and queries. Both are pooled as the tokens are. quiet: how many
    frames in a row, up to this one, have shown nothing new by their pixels; None when nobody looked (not compact).
    """

    def __init__(
        self,
        model: VideoModel,
        features: torch.Tensor,
        recomputed: torch.Tensor,
        entry: torch.Tensor,
        plain=False,
        quiet: int | None = None,
    ):
        self.model, self.features, self.recomputed, self.entry = model, features, recomputed, entry
        self.token_grid = model.token_grid
        self._plain, self.quiet = plain, quiet

    @cached_property
    def hidden(self) -> torch.Tensor:
        return self.model.pool(self.model.project_in(self.features))[0]

    @cached_property
    def tokens(self) -> torch.Tensor:
        if self._plain:
            return self.model.pool(self.model.project_out(self.model.project_in(self.features)))[0]
        return self.model.project_out(self.hidden)

    @cached_property
    def changed(self) -> torch.Tensor:
        return self.model.pool(self.recomputed.view(1, -1, 1))[0, :, 0]

    @cached_property
    def keys(self) -> torch.Tensor:
        return self._pool_patches(self._attended[1].mean(0))

    @cached_property
    def saliency(self) -> torch.Tensor:
        query, key = self._attended
        received = (query.float() @ key.float().transpose(1, 2) / key.shape[-1] ** 0.5).softmax(-1).mean((0, 1))
        return self._pool_patches(received[:, None])[:, 0]

    @cached_property
    def _attended(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries and keys of the tower's last layer, [heads, T, head] each, computed anew."""
        block = self.model.tower.blocks[-1]
        h = block.norm1(self.entry)[0]
        return tuple(linear(h).unflatten(-1, (block.heads, -1)).transpose(0, 1) for linear in (block.q, block.k))

    def _pool_patches(self, x: torch.Tensor) -> torch.Tensor:
        return self.model.pool(x[None, self.model.tower.class_tokens :])[0]

    def read(self, kept: torch.Tensor) -> torch.Tensor:
        """The tokens `kept` [b] as the language model reads them, [b, D]; the others are not projected."""
        if 'tokens' in self.__dict__ or self._plain:
            return self.tokens[kept]
        return self.model.project_out(self.hidden[kept])

    def mix(self, share: torch.Tensor) -> torch.Tensor:
        """Means of tokens, [b, D]: `share` [b, n] says how much of each; its rows sum to one."""
        if 'tokens' in self.__dict__ or self._plain:
            return share.to(self.tokens.dtype) @ self.tokens
        return self.model.project_out(share.to(self.hidden.dtype) @ self.hidden)


def look(model: VideoModel, state: VisionState, image: torch.Tensor, settings: Settings, refresh: bool) -> Sight | None:
    """See one picture, uint8 [1, 3, h, w] -> its `Sight`, or None when it shows nothing new (cacher: compact).

    `refresh` recomputes everything. Updates `state`.
    """
    image = image.to(model.device)
    tower, embed = model.tower, partial(_embed, model, image)
    if settings.cacher != 'compact':
        state.compact = None
        features, recomputed = encode(tower, state.layers, embed(), settings, refresh)
        plain = settings.cacher == 'off' and settings.pruner == 'off'  # in transformers' order, bit for bit
        return Sight(
            model, tower.finish(features), recomputed[0, tower.class_tokens :], state.layers.entry, plain=plain
        )
    state.layers = CacherState()
    state.compact, recomputed = encode_compact(tower, state.compact, image, embed, settings, refresh)
    if not recomputed.any():
        return None
    seen = state.compact
    return Sight(model, tower.finish(seen.features), recomputed.float(), seen.entry, quiet=seen.quiet)


def _embed(model: VideoModel, image: torch.Tensor) -> torch.Tensor:
    """uint8 [1, 3, h, w] -> the tower's embedded tokens [1, T, d]."""
    return model.tower.embed(model.pixels.normalise(image, model.device, model.dtype))
