"""The losses of the tower's own stage: every patch and visual token says what is there and where its centre is."""

import torch
import torch.nn.functional as F
from torch import nn

from training.tiny.frames import COLOUR_IDS, EMPTY, SHAPE_IDS, SIZE_IDS, UNKNOWN

VIEWS = ('patch', 'token', 'second')
PARTS = (len(COLOUR_IDS) + 1, len(SHAPE_IDS), len(SIZE_IDS), 2)  # colour or empty, shape, size, offset
WEIGHTS = {'colour': 1.0, 'shape': 2.0, 'size': 1.0, 'offset': 40.0}


class DenseHeads(nn.Module):
    """One linear layer per view; thrown away after the stage."""

    def __init__(self, patch_width: int, token_width: int):
        super().__init__()
        self.patch = nn.Linear(patch_width, sum(PARTS))
        self.token = nn.Linear(token_width, sum(PARTS))
        self.second = nn.Linear(token_width, sum(PARTS))


def score_cells(out: torch.Tensor, classes: torch.Tensor, offset: torch.Tensor):
    """Loss and accuracies of one view. out [F, N, sum(PARTS)], classes int64 [F, N, 3], offset float32 [F, N, 2]."""
    colour, shape, size, where = out.float().flatten(0, 1).split(PARTS, 1)
    classes, offset = classes.flatten(0, 1), offset.flatten(0, 1)
    object_here = (classes[:, 0] != EMPTY) & (classes[:, 0] != UNKNOWN)
    known = classes[:, 0] != UNKNOWN
    weight = torch.where(object_here, 1.0, 0.25)[known]
    loss_colour = (F.cross_entropy(colour[known], classes[known, 0], reduction='none') * weight).sum() / weight.sum()
    classes, offset = classes[object_here], offset[object_here]
    shape, size, where = shape[object_here], size[object_here], where[object_here]
    losses = {
        'colour': loss_colour,
        'shape': F.cross_entropy(shape, classes[:, 1]),
        'size': F.cross_entropy(size, classes[:, 2]),
        'offset': F.smooth_l1_loss(where * 0.1, offset, beta=0.02),
    }
    figures = {
        'colour': (colour[object_here].argmax(1) == classes[:, 0]).float().mean().item(),
        'shape': (shape.argmax(1) == classes[:, 1]).float().mean().item(),
        'size': (size.argmax(1) == classes[:, 2]).float().mean().item(),
        'offset_px': (where * 0.1 - offset).abs().mean().item() * 112,
    }
    return sum(WEIGHTS[k] * v for k, v in losses.items()), figures


def score_frames(
    heads: DenseHeads, patches: torch.Tensor, tokens: torch.Tensor, labels: dict[str, torch.Tensor], second=0.5
):
    """Loss over all views, and figures named "view.part". patches [F, 196, d], tokens [F, 49, D].

    second: the weight of the view of the object that has the second most pixels.
    """
    loss, figures = 0.0, {}
    for view in VIEWS:
        features = patches if view == 'patch' else tokens
        linear = getattr(heads, view)
        out = F.linear(features, linear.weight.to(features.dtype), linear.bias.to(features.dtype))
        part, found = score_cells(out, labels[view + '_class'], labels[view + '_offset'])
        loss = loss + part * (second if view == 'second' else 1.0)
        figures |= {f'{view}.{k}': v for k, v in found.items()}
    return loss, figures
