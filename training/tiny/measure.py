"""Accuracy per type of question on clips that training never saw, teacher-forced: only a wholly right answer counts."""

import torch

from stc_ros.synthetic.forms import TYPES
from training.tiny import forward, losses
from training.tiny.batches import draw_batch
from training.tiny.clips import PER_MOMENT

AT_ONCE = 8  # clips


@torch.no_grad()
def measure_shard(
    model,
    shard: dict,
    head: torch.Tensor,
    share: float = 1.0,
    differences: bool = False,
    dtype: torch.dtype = torch.bfloat16,
) -> dict[str, float]:
    """Accuracies by type, of "all", and of the narration's words and whole texts, at a share of the visual tokens."""
    w = forward.gather_weights(model, dtype, forward.TEXT) | {forward.NEWLINE: model.model.image_newline.to(dtype)}
    draw = torch.Generator().manual_seed(0)
    right, types, tokens, exact = [], [], [], []
    asked = PER_MOMENT if differences else shard['moment'].shape[1]
    for i in range(0, len(shard['moment']), AT_ONCE):
        clips = torch.arange(i, min(i + AT_ONCE, len(shard['moment'])))
        batch = draw_batch(shard, clips, asked, 1, share, draw, differences).to(head.device)
        caches, _ = losses.read_batch(w, batch, head)
        for group in batch.asked:
            logits, _ = losses.answer_pieces(w, caches, batch, group, len(head))
            right.append(losses.score_answers(logits, group)[1].flatten())
            types.append(group['type'].flatten())
        logits, _ = losses.answer_pieces(w, caches, batch, batch.narrated, len(head))
        exact.append(losses.score_answers(logits, batch.narrated)[1].flatten())
        at = torch.arange(logits.shape[2], device=head.device)
        inside = (at >= batch.narrated['start'][..., None]) & (at < batch.narrated['length'][..., None])
        tokens.append((logits.argmax(-1) == batch.narrated['ids'])[inside])
    right, types = torch.cat(right).float(), torch.cat(types)
    out = {name: right[types == i].mean().item() for i, name in enumerate(TYPES)}
    out |= {'all': right.mean().item(), 'n': float(len(right))}
    narrated = {'tell_tokens': torch.cat(tokens), 'tell_exact': torch.cat(exact)}
    return out | {key: value.float().mean().item() for key, value in narrated.items()}
