"""Puts together a model whose visual tokens are squares of patches, of what is its family's own: all but LLaVA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from stc_ros.models.base import ModelError, Reference, VideoModel
from stc_ros.models.checkpoint_check import choose_positions
from stc_ros.models.decoder import Decoder
from stc_ros.models.frame_text import FrameText
from stc_ros.models.load_checkpoint import Loaded, chat_of
from stc_ros.models.narration_style import read_style
from stc_ros.models.places import Places
from stc_ros.models.side_by_side import SideBySide
from stc_ros.models.stock import StockForward
from stc_ros.models.tower import Tower


def assemble(
    name: str,
    loaded: Loaded,
    *,
    tower: Tower,
    side: tuple[int, str],
    body: Any,
    chat: dict,
    around: tuple[str, str],
    project_in: Callable[[torch.Tensor], torch.Tensor],
    project_out: Callable[[torch.Tensor], torch.Tensor],
    batched: bool = False,
    reference: Reference | None = None,
    axes: torch.Tensor | None = None,
    per_second: float = 0.0,
) -> VideoModel:
    """side: of a square, in patches, and what config.json calls it. body: the language model without its head.

    chat: the family's usual format. around: text before and behind a frame. project_in: joined patches
    [F, n, side * side * d] -> [F, n, D'], all but the projector's last layer, of as many layers as the tower reads.
    batched: as of `StockForward`. reference: in place of one. axes: which of time, row and column turns each frequency,
    where positions have three; per_second: as of `Places`. Raises `ModelError` for what does not fit together.
    """
    weights, own = loaded.weights, loaded.own
    config, head = weights.config, weights.lm_head
    try:
        units = SideBySide.of(tower.grid, side[0], head.weight.device)
    except ValueError as error:
        raise ModelError(f'{name}: image_size and {side[1]} in config.json: {error}') from None
    tower.pooled = units.pooled(tower.grid[0] * tower.grid[1])
    template = chat_of(name, loaded.tokenizer, weights, own, loaded.template, chat)
    if written := own.get('frame_text'):
        around, per_second = (written['before'], written['behind']), 0.0
    text = FrameText(*around, template.encode)
    decoder = Decoder(body, head)
    decoder.added = len(tower.taps)
    if axes is not None:
        decoder.axis_of = axes.to(decoder.device)
        decoder.places = Places(units.token_grid, len(template.encode(around[1])), per_second)
    decoder.max_positions = choose_positions(
        name,
        config.text_config.max_position_embeddings,
        own.get('max_positions'),
        2 * (len(template.prefix()) + len(units.units) + text.most),
    )
    weights.requires_grad_(False)
    return VideoModel(
        name=name,
        pixels=loaded.pixels,
        tower=tower,
        project_in=lambda x: project_in(units.join(x)),
        project_out=project_out,
        pool=units.average,
        token_grid=units.token_grid,
        newline=head.weight.new_empty(0, (1 + len(tower.taps)) * config.text_config.hidden_size),
        decoder=decoder,
        chat=template,
        frame_text=text,
        narration=read_style(own),
        notes=loaded.notes,
        weights=weights,
        reference=reference or StockForward(weights, config.image_token_id, len(units.units), batched=batched),
    )
