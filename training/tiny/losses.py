"""The losses of the language stage: answers, and others that exist in training only.

answer   cross-entropy of the answers and of the narration
history  from the visual tokens' own states: what the object there does, where it came from, what it was before
times    from there too: in which frame it stands, and the frame of the last event of each kind of the object there
mark     from there too: whether it is the middle of an object, so that objects can be counted, and whether that leaves
census   from there too: the how-manieth object it is, of all and of its kind, and how many events there were

Those on where attention falls are in `attention_losses.py`.
"""

import torch
import torch.nn.functional as F
from torch import nn

from training.tiny import forward
from training.tiny.architecture import TOKENS
from training.tiny.batches import Batch
from training.tiny.clips import CENSUS, HISTORY, MARKS, MOST_COUNTED, TIMES

# The layers whose states tell the time, what is, what was, and how many.
WHEN_AFTER, MOVES_AFTER, HISTORY_AFTER, CENSUS_AFTER = 1, 2, 3, 5
SCALE = 32.0  # frames that count as 1 in a time
NEVER = -0.25  # the time of what did not happen
END_WEIGHT = 0.2  # of the token that ends an answer
STILL_WEIGHT = 0.3  # of objects that do not move, which are most


class HistoryHeads(nn.Module):
    """Linear readings of the visual tokens' states; thrown away after training.

    They begin as zeros: noise, read from states as large as these, would throw back a model that is trained already.
    """

    def __init__(self, width: int):
        super().__init__()
        self.moves = nn.Linear(width, HISTORY['moves'])
        self.past = nn.Linear(width, sum(HISTORY.values()) - HISTORY['moves'])
        self.when = nn.Linear(width, 1)
        self.times = nn.Linear(width, len(TIMES))
        self.marks = nn.Linear(width, len(MARKS))
        self.census = nn.Linear(width, len(CENSUS) * (MOST_COUNTED + 1))
        for parameter in self.parameters():
            nn.init.zeros_(parameter)


def read_batch(w: dict, batch: Batch, head: torch.Tensor):
    """Reads the chat's head and the kept visual tokens. Returns caches and states, with head's tokens first."""
    b, h = batch.index.shape[0], len(head)
    x = torch.cat([forward.embed(w, head).expand(b, -1, -1), batch.features], 1)
    positions = torch.cat([torch.arange(h, device=head.device).expand(b, -1), h + batch.index], 1)
    return forward.read_prefix(w, x, positions)


def visible_from(frame: torch.Tensor, moment: torch.Tensor, head: int) -> torch.Tensor:
    """Which of head and visual tokens a piece asked at a moment sees: bool [B, K, head + N]."""
    return F.pad(frame[:, None] <= moment[..., None], (head, 0), value=True)


def answer_pieces(w: dict, caches, batch: Batch, pieces: dict, head: int, watch=()):
    """Logits float32 [B, K, L, vocabulary] for the ids of the pieces, and the attention of the layers in `watch`."""
    ids, moment = pieces['ids'], pieces['moment']
    newline = w[forward.NEWLINE].expand(*ids.shape[:2], 1, -1)
    x = torch.cat([newline, forward.embed(w, ids[..., :-1])], 2)
    start = head + TOKENS * (moment + 1)
    positions = start[..., None] + torch.arange(x.shape[2], device=x.device)
    states, seen = forward.read_pieces(w, caches, x, positions, visible_from(batch.frame, moment, head), watch)
    return forward.name_words(w, states), seen


def score_answers(logits: torch.Tensor, pieces: dict):
    """Cross-entropy over the answers' tokens, and whether each answer is exactly right, bool [B, K]."""
    at = torch.arange(logits.shape[2], device=logits.device)
    inside = (at >= pieces['start'][..., None]) & (at < pieces['length'][..., None])
    weight = inside.float() - (1 - END_WEIGHT) * (at == pieces['length'][..., None] - 1).float() * inside
    ids = pieces['ids']
    loss = F.cross_entropy(logits[inside], ids[inside], reduction='none')
    right = ((logits.argmax(-1) == ids) | ~inside).all(-1)
    return (loss * weight[inside]).sum() / weight.sum(), right


def score_history(heads: HistoryHeads, states, batch: Batch, head: int):
    """Cross-entropies of the history heads, and the accuracy on moving objects."""
    known = batch.history[:, 0] >= 0
    truth = batch.history.transpose(1, 2)[known].long()  # [n, 4]
    moves = heads.moves(states[MOVES_AFTER][:, head:][known].float())
    parts = heads.past(states[HISTORY_AFTER][:, head:][known].float()).split(list(HISTORY.values())[1:], 1)
    rare = torch.ones(HISTORY['moves'], device=moves.device)
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


def score_census(heads: HistoryHeads, states, batch: Batch, head: int) -> torch.Tensor:
    """Cross-entropy of the numbers, mean over CENSUS."""
    known = batch.census[:, 0] >= 0
    truth = batch.census.transpose(1, 2)[known].long()  # [n, len(CENSUS)]
    said = heads.census(states[CENSUS_AFTER][:, head:][known].float()).unflatten(1, (len(CENSUS), -1))
    return F.cross_entropy(said.flatten(0, 1), truth.flatten(), reduction='sum') / max(truth.numel(), 1)
