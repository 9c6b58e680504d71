"""Attention in pieces is attention over all of them, whichever kernel computes a piece."""

import pytest
import torch
import torch.nn.functional as F

from stc_ros.models.attention import Piece, attend, attend_plainly, attend_to

SCALE = 0.25


def make(keys, rows=6, groups=2, head=16, loud=1.0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(keys)
    query = loud * torch.randn(1, groups, rows, head, generator=generator)
    return tuple(t.to(dtype) for t in (query, *torch.randn(2, 1, groups, keys, head, generator=generator)))


@pytest.mark.parametrize('cuts', [(0, 40), (0, 7, 40), (0, 39, 40), (0, 1, 2, 30, 40)], ids=str)
@pytest.mark.parametrize('loud', [1.0, 30.0])
def test_pieces_equal_the_whole(cuts, loud):
    query, keys, values = make(40, loud=loud)
    seen = torch.rand(6, 40, generator=torch.Generator().manual_seed(1)) < 0.7
    seen[:, list(cuts[:-1])] = True  # each row sees a key of each piece
    mask = torch.zeros(6, 40).masked_fill_(~seen, -torch.inf)
    whole = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=SCALE)
    pieces = [Piece(keys[:, :, a:b], values[:, :, a:b], mask[:, a:b]) for a, b in zip(cuts, cuts[1:])]
    torch.testing.assert_close(attend(query, pieces, SCALE), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(('dtype', 'within'), [(torch.float32, 1e-5), (torch.bfloat16, 0.02), (torch.float16, 0.003)])
@pytest.mark.parametrize('masked', [False, True])
def test_the_plain_way_is_as_exact_as_the_kernel_where_scores_are_large(dtype, within, masked):
    """Scores of a hundred and more, as a question's own tokens have; half precision would round them by a half."""
    query, keys, values = make(50, loud=100.0, dtype=dtype)
    mask = torch.zeros(6, 50, dtype=dtype).masked_fill_(torch.ones(6, 50).triu(40) > 0, -torch.inf) if masked else None
    exact = F.scaled_dot_product_attention(
        query.double(), keys.double(), values.double(), scale=SCALE, attn_mask=None if mask is None else mask.double()
    )
    for way in (attend_to, attend_plainly):
        mixed, weight = way(query, Piece(keys, values, mask), SCALE)
        assert mixed.dtype == dtype and weight.dtype == torch.float32
        assert (mixed.double() - exact).abs().max() <= within * exact.abs().max()
    torch.testing.assert_close(weight, attend_to(query, Piece(keys, values, mask), SCALE)[1], atol=1e-3, rtol=1e-3)


def test_scores_beyond_half_precision_are_numbers():
    query, keys, values = make(20, loud=20_000.0, dtype=torch.float16)
    mixed, weight = attend_plainly(query, Piece(keys, values), SCALE)
    assert (query.float() @ keys.float().transpose(-1, -2)).abs().max() > 65504
    assert torch.isfinite(mixed).all() and torch.isfinite(weight).all()
