"""From a picture to the language model's visual tokens, as cheaply as the cacher in use allows."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch

from stc_ros.compression.cacher import CacherState, encode
from stc_ros.compression.compact import CompactState, encode_compact
from stc_ros.models.base import VideoModel
from stc_ros.settings import Settings


@dataclass(slots=True)
class VisionState:
    """What the cachers remember of one stream. A new value forgets everything."""

    layers: CacherState = field(default_factory=CacherState)        # paper, similarity
    compact: CompactState | None = None
    hidden: torch.Tensor | None = None                              # compact: [1, T', D], the projector's half-way


class Sight:
    """A frame as the pruner may look at it; what costs something is computed when it is asked for, once.

    hidden: [n, D], pooled but before the projector's last layer. tokens: [n, D], what the language model would read.
    changed: float32 [n] in [0, 1], the share of each token's patches that the cacher recomputed.
    """

    def __init__(self, model: VideoModel, features: torch.Tensor, recomputed: torch.Tensor, hidden=None, plain=False):
        self.model, self.features, self.recomputed = model, features, recomputed
        self._hidden, self._plain = hidden, plain

    @cached_property
    def hidden(self) -> torch.Tensor:
        hidden = self.model.project_in(self.features) if self._hidden is None else self._hidden
        return self.model.pool(hidden)[0]

    @cached_property
    def tokens(self) -> torch.Tensor:
        if self._plain:
            return self.model.pool(self.model.project_out(self.model.project_in(self.features)))[0]
        return self.model.project_out(self.hidden)

    @cached_property
    def changed(self) -> torch.Tensor:
        return self.model.pool(self.recomputed.view(1, -1, 1))[0, :, 0]

    def read(self, kept: torch.Tensor) -> torch.Tensor:
        """The tokens `kept` [b] as the language model reads them, [b, D]; the others are not projected."""
        if 'tokens' in self.__dict__ or self._plain:
            return self.tokens[kept]
        return self.model.project_out(self.hidden[kept])


def look(model: VideoModel, state: VisionState, image: torch.Tensor, settings: Settings, refresh: bool) -> Sight | None:
    """See one picture, uint8 [1, 3, h, w] -> its `Sight`, or None when it shows nothing new (cacher: compact).

    `refresh` recomputes everything. Updates `state`.
    """
    tower = model.tower

    def embed() -> torch.Tensor:
        return tower.embed(model.pixels.normalise(image, model.device, model.dtype))

    if settings.cacher != 'compact':
        state.compact = state.hidden = None
        features, recomputed = encode(tower, state.layers, embed(), settings, refresh)
        plain = settings.cacher == 'off' and settings.pruner == 'off'       # in transformers' order, bit for bit
        return Sight(model, tower.finish(features), recomputed[0, tower.class_tokens:], plain=plain)
    state.layers.references.clear()
    image = image.to(model.device)
    state.compact, recomputed = encode_compact(tower, state.compact, image, embed, settings, refresh)
    rows = recomputed.nonzero()[:, 0]
    if len(rows) == 0:
        return None
    features = tower.finish(state.compact.features)
    first = features.shape[1] - len(recomputed)                             # a class token that is not dropped
    if state.hidden is None or len(rows) == len(recomputed) or first:
        state.hidden = model.project_in(features)
    else:
        state.hidden.index_copy_(1, rows, model.project_in(features[:, rows]))
    return Sight(model, features, recomputed.float(), hidden=state.hidden)
