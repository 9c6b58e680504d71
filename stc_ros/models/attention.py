"""Attention over keys that lie in several pieces, each with or without a mask, as if they were one.

A window's old keys are seen by every new token, so they need no mask, and a dense one over all of them costs a part of
a frame's prefill. Only what is new, and what leaves while several frames are prefilled in one pass, is masked. Each
piece is attended to by itself; the results are put together by the share that each piece has of the softmax.

Source: online softmax, Milakov and Gimelshein, arXiv 1805.02867; as flash decoding splits keys (arXiv 2205.14135).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F


class Piece(NamedTuple):
    """Keys, rotated, and values, [1, G, S, head] each. mask: added to the scores, [rows, S]; None: all are seen."""

    keys: torch.Tensor
    values: torch.Tensor
    mask: torch.Tensor | None = None


def attend(query: torch.Tensor, pieces: list[Piece], scale: float) -> torch.Tensor:
    """Attention of `query` [1, G, rows, head] over all keys of all pieces -> [1, G, rows, head].

    Every row sees at least one key of every piece.
    """
    first, *others = pieces
    if not others:
        return F.scaled_dot_product_attention(query, first.keys, first.values, attn_mask=first.mask, scale=scale)
    mixed, weight = attend_to(query, first, scale)
    for piece in others:
        more, its = attend_to(query, piece, scale)
        mixed = torch.lerp(mixed.float(), more.float(), torch.sigmoid(its - weight)[..., None])
        weight = torch.logaddexp(weight, its)
    return mixed.to(query.dtype)


def attend_to(query: torch.Tensor, piece: Piece, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention over one piece, [1, G, rows, head], and the log of its softmax's sum, float32 [1, G, rows]."""
    keys, values, mask = piece
    kernels = torch.ops.aten
    if query.device.type == 'cpu':
        return kernels._scaled_dot_product_flash_attention_for_cpu(query, keys, values, attn_mask=mask, scale=scale)[:2]
    if query.device.type != 'cuda' or mask is not None:
        return attend_plainly(query, piece, scale)
    half, ampere = query.dtype != torch.float32, torch.cuda.get_device_capability(query.device) >= (8, 0)
    if half and ampere and query.shape[-1] % 8 == 0 and torch.backends.cuda.is_flash_attention_available():
        mixed, weight = kernels._scaled_dot_product_flash_attention(query, keys, values, scale=scale)[:2]
    elif query.dtype != torch.bfloat16 or ampere:
        efficient = kernels._scaled_dot_product_efficient_attention
        mixed, weight = efficient(query, keys, values, None, True, scale=scale)[:2]
    else:  # no kernel computes it
        return attend_plainly(query, piece, scale)
    return mixed, weight[..., : query.shape[2]].float()  # the kernel pads its rows


def attend_plainly(query: torch.Tensor, piece: Piece, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """`attend_to` on any device, all scores at once, in float32: for small pieces."""
    scores = query.float() @ piece.keys.float().transpose(-1, -2) * scale
    if piece.mask is not None:
        scores = scores + piece.mask
    weight = scores.logsumexp(-1)
    return ((scores - weight[..., None]).exp() @ piece.values.float()).to(query.dtype), weight
