"""The losses of the language stage: answers, and others that exist in training only.

answer   cross-entropy of the answers and of the narration
history  from the visual tokens' own states: what the object there does, where it came from, what it was before
times    from there too: in which frame it stands, and the frame of the last event of each kind of the object there
mark     from there too: whether it is the middle of an object, so that objects can be counted, and whether that leaves
look     the answer's attention falls on the tokens of the object that the question is about, or on the first
         token of all when there is none
match    the attention of a colour word or shape word falls on the tokens of that colour or shape
"""

import torch
import torch.nn.functional as F
from torch import nn

from stc_ros.models.tiny import lean
from stc_ros.models.tiny.architecture import TOKENS
from stc_ros.models.tiny.batches import Batch
from stc_ros.models.tiny.clips import HISTORY, MARKS, TIMES
from stc_ros.synthetic.forms import TYPES

WHEN_AFTER, MOVES_AFTER, HISTORY_AFTER = 1, 2, 3  # the layers whose states tell the time, what is, and what was
SCALE = 32.0  # frames that count as 1 in a time
NEVER = -0.25  # the time of what did not happen
LOOK_LAYERS, LOOK_HEADS = (3, 4), (0, 3)
MATCH_LAYER, MATCH_HEADS = 1, (1, 2)
END_WEIGHT = 0.2  # of the token that ends an answer
WIDE_TYPES = tuple(TYPES.index(t) for t in ("motion", "change", "memory", "order"))  # these look at two frames
COUNT, ORDER = TYPES.index("count"), TYPES.index("order")
STILL_WEIGHT = 0.3  # of objects that do not move, which are most
TINY = 1e-4


class HistoryHeads(nn.Module):
    """Linear readings of the visual tokens' states; thrown away after training."""

    def __init__(self, width: int):
        super().__init__()
        self.moves = nn.Linear(width, HISTORY["moves"])
        self.past = nn.Linear(width, sum(HISTORY.values()) - HISTORY["moves"])
        self.when = nn.Linear(width, 1)
        self.times = nn.Linear(width, len(TIMES))
        self.marks = nn.Linear(width, len(MARKS))


def read_batch(w: dict, batch: Batch, head: torch.Tensor):
    """Reads the chat's head and the kept visual tokens. Returns caches and states, with head's tokens first."""
    b, h = batch.index.shape[0], len(head)
    x = torch.cat([lean.embed(w, head).expand(b, -1, -1), batch.features], 1)
    positions = torch.cat([torch.arange(h, device=head.device).expand(b, -1), h + batch.index], 1)
    return lean.read_prefix(w, x, positions)


def visible_from(frame: torch.Tensor, moment: torch.Tensor, head: int) -> torch.Tensor:
    """Which of head and visual tokens a piece asked at a moment sees: bool [B, K, head + N]."""
    return F.pad(frame[:, None] <= moment[..., None], (head, 0), value=True)


def answer_pieces(w: dict, caches, batch: Batch, pieces: dict, head: int, watch=()):
    """Logits float32 [B, K, L, vocabulary] for the ids of the pieces, and the attention of the layers in `watch`."""
    ids, moment = pieces["ids"], pieces["moment"]
    newline = w[lean.NEWLINE].expand(*ids.shape[:2], 1, -1)
    x = torch.cat([newline, lean.embed(w, ids[..., :-1])], 2)
    start = head + TOKENS * (moment + 1)
    positions = start[..., None] + torch.arange(x.shape[2], device=x.device)
    states, seen = lean.read_pieces(w, caches, x, positions, visible_from(batch.frame, moment, head), watch)
    return lean.name_words(w, states), seen


def score_answers(logits: torch.Tensor, pieces: dict):
    """Cross-entropy over the answers' tokens, and whether each answer is exactly right, bool [B, K]."""
    at = torch.arange(logits.shape[2], device=logits.device)
    inside = (at >= pieces["start"][..., None]) & (at < pieces["length"][..., None])
    weight = inside.float() - (1 - END_WEIGHT) * (at == pieces["length"][..., None] - 1).float() * inside
    ids = pieces["ids"]
    loss = F.cross_entropy(logits[inside], ids[inside], reduction="none")
    right = ((logits.argmax(-1) == ids) | ~inside).all(-1)
    return (loss * weight[inside]).sum() / weight.sum(), right


def find_targets(batch: Batch, asked: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each question should look: bool [B, K, objects, N] per object that it names, bool [B, K]: it names none.

    The tokens are those of the last frame until the evidence that shows the object, and of the frame before it where
    motion matters. Questions about order look at the last of both objects.
    """
    rows = asked["objects"]  # [B, K, MOST_NAMED]
    b, k, n_objects = rows.shape
    n = batch.index.shape[1]
    covered = batch.covered.gather(1, rows.flatten(1)[..., None].expand(-1, -1, n)).view(b, k, n_objects, n)
    until = torch.where(asked["type"] == ORDER, asked["moment"], asked["evidence"])[..., None, None]
    frame = batch.frame[:, None, None]
    before = covered & (frame <= until)
    last = torch.where(before, frame, -9).amax(3, keepdim=True)
    wide = torch.isin(asked["type"], torch.tensor(WIDE_TYPES, device=rows.device)).long()[..., None, None]
    return before & (frame >= last - wide), (rows == 0).all(2)


def score_look(seen: dict, batch: Batch, asked: dict, head: int) -> torch.Tensor:
    """Minus log of the attention from the token before the answer onto what the question is about.

    For two objects in order, the first head looks at the one and the second at the other. To count n objects is to
    give each of them, on one token, and the first token of all the same share 1 / (n + 1).
    """
    each, nothing = find_targets(batch, asked)
    order, count = (asked["type"] == ORDER)[..., None], asked["type"] == COUNT
    both = each.any(2)
    target = torch.stack([torch.where(order, each[:, :, i], both) for i in range(len(LOOK_HEADS))])  # [heads, B, K, N]
    target = F.pad(target, (head, 0))
    target[..., 0] = nothing
    middle = each & batch.marks[:, None, None, 0]
    middle = torch.where(middle.any(3, keepdim=True), middle, each)
    share_each = middle / middle.sum(3, keepdim=True).clamp(min=1)  # one token's worth for every object
    wanted = F.pad(share_each.sum(2), (head, 0))
    wanted[..., 0] = 1.0
    wanted = wanted / wanted.sum(2, keepdim=True)
    n = target.shape[3]
    usable = target.any(3) & ~count
    row = asked["start"][:, None, :, None, None]
    total = 0.0
    for layer in LOOK_LAYERS:
        share = seen[layer][:, LOOK_HEADS, :, :, :n]  # [B, heads, K, L, N]
        share = share.gather(3, row.expand(-1, share.shape[1], -1, -1, n))[:, :, :, 0].float().transpose(0, 1)
        fallen = -((share * target).sum(3) + TINY).log()
        apart = -(wanted * (share + TINY).log()).sum(3) + (wanted * (wanted + TINY).log()).sum(2)
        total = total + torch.cat([fallen[usable], apart[:, count].flatten()]).mean()
    return total / len(LOOK_LAYERS)


def score_match(seen: dict, batch: Batch, asked: dict, head: int) -> torch.Tensor:
    """Minus log of the attention from colour and shape words onto visible tokens that show them, or the first token."""
    ids = asked["ids"][..., :-1]
    known = batch.words.unique()
    named = torch.isin(ids, known[known >= 0])
    at = torch.arange(ids.shape[2], device=ids.device)
    b, k, p = (named & (at < asked["start"][..., None])).nonzero(as_tuple=True)
    word = ids[b, k, p]
    target = (batch.words[b] == word[:, None, None]).any(1) & (batch.frame[b] <= asked["moment"][b, k][:, None])
    target = F.pad(target, (head, 0))
    target[:, 0] |= ~target.any(1)
    share = seen[MATCH_LAYER][..., : target.shape[1]][b, :, k, p + 1][:, MATCH_HEADS].float()
    return -((share * target[:, None]).sum(2) + TINY).log().mean()


def score_history(heads: HistoryHeads, states, batch: Batch, head: int):
    """Cross-entropies of the history heads, and the accuracy on moving objects."""
    known = batch.history[:, 0] >= 0
    truth = batch.history.transpose(1, 2)[known].long()  # [n, 4]
    moves = heads.moves(states[MOVES_AFTER][:, head:][known].float())
    parts = heads.past(states[HISTORY_AFTER][:, head:][known].float()).split(list(HISTORY.values())[1:], 1)
    rare = torch.ones(HISTORY["moves"], device=moves.device)
    rare[0] = STILL_WEIGHT
    loss_moves = F.cross_entropy(moves, truth[:, 0], rare)
    loss_past = sum(F.cross_entropy(part, truth[:, 1 + i]) for i, part in enumerate(parts)) / len(parts)
    going = truth[:, 0] > 0
    right = (moves.argmax(1) == truth[:, 0])[going].float().mean()
    return loss_moves, loss_past, right


def score_times(heads: HistoryHeads, states, batch: Batch, head: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Errors of the times, and cross-entropy of the marks."""
    when = heads.when(states[WHEN_AFTER][:, head:].float())[..., 0]
    known = batch.history[:, 0] >= 0
    truth = batch.times.transpose(1, 2)[known].float()
    truth = torch.where(truth < 0, NEVER, truth / SCALE)
    times = heads.times(states[HISTORY_AFTER][:, head:][known].float())
    error = F.smooth_l1_loss(when, batch.frame / SCALE, beta=0.05) + F.smooth_l1_loss(times, truth, beta=0.05)
    marks = heads.marks(states[MOVES_AFTER][:, head:].float())
    return error, F.binary_cross_entropy_with_logits(marks, batch.marks.transpose(1, 2).float())
