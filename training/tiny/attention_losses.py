"""Losses on where attention falls, which exist in training only: minus the log of the share that falls on the target.

look     from the word before an answer onto the object asked about; of two in order, one with each head
match    from colour words and shape words onto the tokens that show that colour or shape
number   from the word before a number evenly onto the objects counted
name     from the second word of a name in a question or a narration ("red circle") onto that object
tell     from each word of the narration onto the object that the next word is about
choose   from the words before a name in an answer to a question of order onto that name in the question

Where there is nothing to look at, the target is the first token of all.
"""

import torch
import torch.nn.functional as F

from stc_ros.synthetic.forms import TYPES
from training.tiny.batches import Batch

HEADS = (0, 3)
LOOK_LAYERS, NAME_LAYERS, TELL_LAYERS, CHOOSE_LAYER = (3, 4, 6), (2, 4), (4, 5, 6), 5
MATCH_LAYER, MATCH_HEADS = 1, (1, 2)
LAYERS = {MATCH_LAYER, CHOOSE_LAYER, *LOOK_LAYERS, *NAME_LAYERS, *TELL_LAYERS}  # all that any of them watches
WIDE_TYPES = tuple(TYPES.index(t) for t in ('motion', 'change', 'memory', 'order'))  # these look at two frames
COUNT, ORDER = TYPES.index('count'), TYPES.index('order')
EMBEDDED = 1e-4
MOST_ODDS = 3.0


def find_objects(batch: Batch, rows: torch.Tensor, until: torch.Tensor, wide: torch.Tensor) -> torch.Tensor:
    """Tokens bool [B, M, N] of objects `rows` [B, M] in the last frame up to `until` [B, M] that shows them.

    Where `wide` [B, M], also in the frame before that one.
    """
    n = batch.index.shape[1]
    covered = batch.covered.gather(1, rows[..., None].expand(-1, -1, n))
    frame = batch.frame[:, None]
    before = covered & (frame <= until[..., None])
    last = torch.where(before, frame, -9).amax(2, keepdim=True)
    return before & (frame >= last - wide.long()[..., None])


def find_targets(batch: Batch, asked: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each question should look: bool [B, K, objects, N] per object that it names, bool [B, K]: it names none.

    Up to the frame of the evidence, of two frames where motion matters. Questions about order look at the last of both.
    """
    rows = asked['objects']  # [B, K, MOST_NAMED]
    until = torch.where(asked['type'] == ORDER, asked['moment'], asked['evidence'])
    wide = torch.isin(asked['type'], torch.tensor(WIDE_TYPES, device=rows.device))
    until, wide = (x[..., None].expand(rows.shape).flatten(1) for x in (until, wide))
    return find_objects(batch, rows.flatten(1), until, wide).unflatten(1, rows.shape[1:]), (rows == 0).all(2)


def _at_answer(seen: dict, layer: int, asked: dict, after: int = 0) -> torch.Tensor:
    """Attention of HEADS from the word before the answer, or `after` words later: float32 [HEADS, B, K, all]."""
    share = seen[layer][:, HEADS]  # [B, HEADS, K, L, all]
    row = (asked['start'] + after)[:, None, :, None, None].expand(-1, len(HEADS), -1, -1, share.shape[-1])
    return share.gather(3, row)[:, :, :, 0].float().transpose(0, 1)


def _fallen(share: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return -((share * target).sum(-1) + EMBEDDED).log()


def _odds(share: torch.Tensor) -> torch.Tensor:
    """Log of all that falls elsewhere over `share`: of n objects log n."""
    return ((1 - share).clamp(min=EMBEDDED) / share.clamp(min=EMBEDDED)).log().clamp(-MOST_ODDS, MOST_ODDS)


def _mean(x: torch.Tensor) -> torch.Tensor:
    """The mean; of nothing 0."""
    return x.sum() / max(x.numel(), 1)


def score_look(seen: dict, batch: Batch, asked: dict, head: int) -> tuple[torch.Tensor, torch.Tensor]:
    """From the word before the answer onto what the question is about: the losses `look` and `number`.

    For two objects in order, the first head looks at the one and the second at the other. To count n objects is to
    give each of them, on one token, and the first token of all the same share 1 / (n + 1); in the last layer to look
    at the last of them, which knows how many there are.
    """
    each, nothing = find_targets(batch, asked)
    order, count = (asked['type'] == ORDER)[..., None], asked['type'] == COUNT
    both = each.any(2)
    target = torch.stack([torch.where(order, each[:, :, i], both) for i in range(len(HEADS))])  # [HEADS, B, K, N]
    target = F.pad(target, (head, 0))
    target[..., 0] = nothing
    middle = each & batch.marks[:, None, None, 0]
    middle = torch.where(middle.any(3, keepdim=True), middle, each)
    share_each = middle / middle.sum(3, keepdim=True).clamp(min=1)  # one token's worth for every object
    wanted = F.pad(share_each.sum(2), (head, 0))
    wanted[..., 0] = 1.0
    wanted = wanted / wanted.sum(2, keepdim=True)
    counted = F.pad(middle.any(2), (head, 0))
    counted[..., 0] = True
    places = torch.arange(counted.shape[2], device=counted.device)
    last = F.one_hot((counted * places).amax(2), counted.shape[2]).to(wanted.dtype)
    wanted = torch.stack([last if layer == LOOK_LAYERS[-1] else wanted for layer in LOOK_LAYERS])[:, None]
    usable = target.any(3) & ~count
    shares = torch.stack([_at_answer(seen, layer, asked)[..., : target.shape[3]] for layer in LOOK_LAYERS])
    apart = (wanted * ((wanted + EMBEDDED).log() - (shares + EMBEDDED).log())).sum(4)
    # A divergence hardly sees two objects taken for three: how many they are lies in the odds of the first token alone.
    apart = apart + F.smooth_l1_loss(_odds(shares[..., 0]), _odds(wanted[..., 0]).expand_as(apart), reduction='none')
    number = apart[:, :, count].sum() / max(len(LOOK_LAYERS) * count.numel() / len(TYPES), 1.0)
    return _mean(_fallen(shares, target)[:, usable]), number


def score_match(seen: dict, batch: Batch, asked: dict, head: int) -> torch.Tensor:
    """From colour and shape words in the question onto the visible tokens that show them."""
    ids = asked['ids'][..., :-1]
    known = batch.words.unique()
    named = torch.isin(ids, known[known >= 0])
    at = torch.arange(ids.shape[2], device=ids.device)
    b, k, p = (named & (at < asked['start'][..., None])).nonzero(as_tuple=True)
    word = ids[b, k, p]
    target = (batch.words[b] == word[:, None, None]).any(1) & (batch.frame[b] <= asked['moment'][b, k][:, None])
    target = F.pad(target, (head, 0))
    target[:, 0] |= ~target.any(1)
    share = seen[MATCH_LAYER][..., : target.shape[1]][b, :, k, p + 1][:, MATCH_HEADS].float()
    return _mean(_fallen(share, target[:, None]))


def find_names(batch: Batch, pieces: dict) -> torch.Tensor:
    """Where a piece names an object: bool [B, K, L], true at the word for the shape right after one for the colour."""
    ids = pieces['ids']
    colours, shapes = (batch.words[:, i].unique() for i in range(2))
    is_colour, is_shape = torch.isin(ids, colours[colours >= 0]), torch.isin(ids, shapes[shapes >= 0])
    return is_shape & F.pad(is_colour, (1, 0))[..., :-1]


def score_names(seen: dict, batch: Batch, asked: dict, head: int) -> torch.Tensor:
    """From names in a question onto the object as it was last seen; the n-th name is that of its n-th object."""
    names = find_names(batch, asked)
    names &= torch.arange(names.shape[2], device=names.device) < asked['start'][..., None]
    usable = names.sum(2) == (asked['objects'] > 0).sum(2).clamp(min=1)  # else it is not plain which is which
    b, k, p = (names & usable[..., None]).nonzero(as_tuple=True)
    which = names.cumsum(2)[b, k, p] - 1
    rows = asked['objects']
    until = asked['moment'][..., None].expand(rows.shape)
    wide = torch.zeros_like(rows, dtype=torch.bool)
    found = find_objects(batch, *(x.flatten(1) for x in (rows, until, wide)))
    target = F.pad(found.unflatten(1, rows.shape[1:])[b, k, which], (head, 0))
    target[:, 0] |= ~target.any(1)
    shares = [seen[layer][..., : target.shape[1]][b, :, k, p + 1][:, HEADS].float() for layer in NAME_LAYERS]
    return sum(_mean(_fallen(share, target[:, None])) for share in shares) / len(NAME_LAYERS)


def score_tell(seen: dict, batch: Batch, narrated: dict, head: int) -> torch.Tensor:
    """From the words of a narration onto the object that the next word is about, and from its names onto theirs."""
    b, k, p = (narrated['object'] >= 0).nonzero(as_tuple=True)  # word p is predicted from place p
    rows, until = (narrated[key].flatten(1) for key in ('object', 'until'))
    found = find_objects(batch, rows.clamp(min=0), until, torch.ones_like(rows, dtype=torch.bool))
    found = found.unflatten(1, narrated['object'].shape[1:])[b, k, p]
    target = F.pad(found, (head, 0))
    target[:, 0] |= narrated['object'][b, k, p] == 0
    shares = [seen[layer][..., : target.shape[1]][b, :, k, p][:, HEADS].float() for layer in TELL_LAYERS]
    usable = target.any(1)
    loss = sum(_mean(_fallen(share, target[:, None])[usable]) for share in shares) / len(TELL_LAYERS)
    named = find_names(batch, narrated)[b, k, p] & usable
    share = seen[NAME_LAYERS[0]][..., : target.shape[1]][b, :, k, p + 1][:, HEADS].float()
    return loss + _mean(_fallen(share, target[:, None])[named]) * 0.5


def score_choose(seen: dict, batch: Batch, asked: dict) -> torch.Tensor:
    """From both words before the answer's name onto that name in the question, where the question offers two."""
    names = find_names(batch, asked)
    places = torch.arange(names.shape[2], device=names.device)
    start = asked['start'][..., None]
    offered = names & (places < start)
    answered = (names & (places == start + 1)).any(2) & (offered.sum(2) == 2)
    ids = asked['ids']
    before = F.pad(ids, (1, 0))[..., :-1]
    colour, shape = (ids.gather(2, start + i) for i in range(2))
    right = offered & (ids == shape) & (before == colour)
    right |= F.pad(right, (0, 1))[..., 1:]  # its colour too
    total = 0.0
    for after in range(2):
        own = _at_answer(seen, CHOOSE_LAYER, asked, after)[..., -(names.shape[2]) + 1 :]  # places 1.. hold words 0..
        total = total + _mean(_fallen(own, right[..., :-1])[:, answered])
    return total / 2
