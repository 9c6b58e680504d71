"""From a shard to one step's batch: which tokens are kept, where they stand, and which pieces are asked."""

from dataclasses import dataclass, fields
from types import SimpleNamespace

import torch
import torch.nn.functional as F

from stc_ros.pruning.delta import DeltaPruner
from stc_ros.synthetic.forms import TYPES
from stc_ros.vision.cachers.incremental import SETTLE, IncrementalCacher
from training.tiny.architecture import TOKENS
from training.tiny.clips import MOST_OBJECTS

SHARES = (0.35, 0.5, 0.8, 1.0, 1.0, 1.0)  # of each frame's tokens that are kept; drawn evenly
RANDOM_FROM = 0.5  # below this share tokens are never dropped at random: small objects would vanish
NARRATED = ('ids', 'start', 'length', 'moment', 'object', 'until')
EASY = tuple(TYPES.index(name) for name in ('appearance', 'existence', 'place'))
SHORT = 0.7  # of the questions are padded to the longest of these
WHOLE = 0.5  # of the batches keep all tokens of the frames at which they are asked; those sent as differences of one
HARD = tuple(TYPES.index(name) for name in ('count', 'order'))
MANY = 3  # objects that are rarely asked for at once, and so preferred
REST = 0.02  # cosine distance that no token of a frame at rest reaches


@dataclass
class Batch:
    """B clips. N counts the kept visual tokens, K the pieces, L their length."""

    features: torch.Tensor  # bfloat16 [B, N, D]
    index: torch.Tensor  # int64 [B, N], ascending: their original places; from T * TOKENS on, filling nobody sees
    covered: torch.Tensor  # bool [B, MOST_OBJECTS, N]
    words: torch.Tensor  # int16 [B, 2, N]
    history: torch.Tensor  # int8 [B, 4, N]
    times: torch.Tensor  # int8 [B, 4, N]
    marks: torch.Tensor  # bool [B, 2, N]
    census: torch.Tensor  # int8 [B, 8, N]
    # short ones, long ones: ids [B, K, L], start, length, moment, evidence, type [B, K], objects [B, K, MOST_NAMED]
    asked: list[dict[str, torch.Tensor]]
    narrated: dict[str, torch.Tensor] | None  # ids, object, until [B, K', L'], start, length, moment [B, K']

    def to(self, device: str) -> 'Batch':
        """The batch with all its tensors there."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, value in moved.items():
            if isinstance(value, torch.Tensor):
                moved[name] = value.to(device)
        moved['asked'] = [{k: v.to(device) for k, v in group.items()} for group in self.asked]
        moved['narrated'] = self.narrated and {k: v.to(device) for k, v in self.narrated.items()}
        return Batch(**moved)

    @property
    def frame(self) -> torch.Tensor:
        """The frame of each kept token, [B, N]."""
        return self.index // TOKENS


def choose_tokens(
    features: torch.Tensor, share: float, salient: bool, draw: torch.Generator, whole: torch.Tensor | None = None
) -> torch.Tensor:
    """Indices int64 [B, n], ascending, of the tokens kept in clips [B, T, TOKENS, D]: a like number in each frame.

    At random, or (`salient`) mostly those that differ from the middle of their frame and from the frame before.
    Of the frames `whole`, int64 [B, m], different ones in each clip, all tokens are kept.
    """
    b, frames = features.shape[:2]
    kept = max(round(share * TOKENS), 1)
    score = torch.rand(b, frames, TOKENS, generator=draw)
    if salient:
        x = features.float()
        apart = (x - x.mean(2, keepdim=True)).norm(dim=3)
        change = torch.zeros_like(apart)
        change[:, 1:] = (x[:, 1:] - x[:, :-1]).norm(dim=3)
        change[:, 0] = apart[:, 0]
        score = score * 0.3 + (apart / apart.mean() + change / change.mean()) * 0.5
    at = score.topk(kept, dim=2).indices
    keep = torch.zeros(b, frames, TOKENS, dtype=torch.bool).scatter_(2, at, True)
    if whole is not None:
        keep[torch.arange(b)[:, None], whole] = True
    return keep.flatten(1).nonzero()[:, 1].view(b, -1)


def choose_differences(features: torch.Tensor, share: float, whole: torch.Tensor) -> torch.Tensor:
    """Indices int64 [B, n], ascending, of the tokens of clips [B, T, TOKENS, D] that the default settings send.

    Those that the delta pruner chooses of the frames that the incremental cacher does not skip as static. And all of
    the frames `whole`, int64 [B, m]: a question reads the newest frame whole. Clips of which less is sent are filled
    up with indices from T * TOKENS on.
    """
    b, frames = features.shape[:2]
    stride = IncrementalCacher().static_frame_stride
    keep = torch.zeros(b, frames, TOKENS, dtype=torch.bool)
    for clip, kept in zip(features, keep, strict=True):
        pruner, static, skipped = DeltaPruner(), 0, 0
        change = (1 - F.cosine_similarity(clip[1:].float(), clip[:-1].float(), dim=-1)).amax(1).tolist()  # [T - 1]
        for t, frame in enumerate(clip):
            static = static + 1 if t and change[t - 1] < REST else 0
            if static > SETTLE and skipped + 1 < stride:
                skipped += 1
                continue
            skipped = 0
            seen = SimpleNamespace(features=frame, hidden=frame, read=frame.__getitem__, static_frames=static)
            kept[t, pruner.select(seen, 1 - share).index] = True
    keep[torch.arange(b)[:, None], whole] = True
    keep, sent = keep.flatten(1), keep.sum((1, 2))
    index = torch.arange(frames * TOKENS, frames * TOKENS + int(sent.max())).repeat(b, 1)
    index[torch.arange(index.shape[1]) < sent[:, None]] = keep.nonzero()[:, 1]  # both row by row
    return index


def draw_batch(
    shard: dict, clips: torch.Tensor, asked: int, narrated: int, share: float, draw: torch.Generator, differences=False
) -> Batch:
    """A batch of the clips named by index, with `asked` questions and `narrated` narrations each, at a share of tokens.

    A clip with fewer questions repeats some. `differences`: the tokens are those that a stream sends under a limit, and
    what is asked and narrated at one moment, whose frame is whole and not late, comes first.
    """
    features, moments, b = shard['features'][clips], shard['moments'][clips].long(), len(clips)
    now, take = torch.full((b, 1), -9), torch.arange(b)[:, None]
    if differences:
        now = moments.gather(1, torch.randint(moments.shape[1], (b, 1), generator=draw))
        late = shard['late'][clips]
        late[take, now] = features[take, now]
        features = late
        index = choose_differences(features, share, now)
    else:
        salient = share < RANDOM_FROM or bool(torch.rand((), generator=draw) < 0.7)
        whole = moments if torch.rand((), generator=draw) < WHOLE else None
        index = choose_tokens(features, share, salient, draw, whole)
    real, places = index < features.shape[1] * TOKENS, index
    index = index.clamp(max=features.shape[1] * TOKENS - 1)
    flat = features.flatten(1, 2)
    asked_parts = {k: shard[k][clips] for k in ('ids', 'start', 'length', 'moment', 'evidence', 'type', 'objects')}
    liking = 0.3 * (
        torch.isin(asked_parts['type'], torch.tensor(HARD)).float()
        - torch.isin(asked_parts['type'], torch.tensor(EASY)).float()
    )
    many = (asked_parts['type'] == TYPES.index('count')) & ((asked_parts['objects'] > 0).sum(2) >= MANY)
    liking = liking + 0.2 * many + 2.0 * (asked_parts['moment'] == now)
    picks = _pick(asked_parts['moment'] >= 0, liking, asked, draw)
    picks = picks.gather(1, asked_parts['length'].gather(1, picks).argsort(1))
    few = max(round(asked * SHORT), 1)  # padded apart from the long ones, which saves a quarter of the tokens
    halves = [half for half in (picks[:, :few], picks[:, few:]) if half.numel()]
    groups = [{k: v[take, half] for k, v in asked_parts.items()} for half in halves]
    narrated_parts = None
    if narrated:
        narrated_parts = {k: shard['tell_' + k][clips] for k in NARRATED}
        usable = narrated_parts['moment'] >= 0
        picks = _pick(usable, 2.0 * (narrated_parts['moment'] == now), narrated, draw)
        narrated_parts = {k: v[take, picks] for k, v in narrated_parts.items()}
    rows = torch.arange(MOST_OBJECTS)[None, :, None]
    return Batch(
        features=flat[take, index],
        index=places,
        covered=shard['covered'][clips].flatten(2)[take[..., None], rows, index[:, None]] & real[:, None],
        **{key: _gather(shard[key][clips], index, real) for key in ('words', 'history', 'times', 'marks', 'census')},
        asked=[_crop(group) for group in groups],
        narrated=narrated_parts and _crop(narrated_parts),
    )


def _gather(labels: torch.Tensor, index: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """[B, C, T, TOKENS] at the kept tokens: [B, C, N]; nothing is known of those that are not `real`."""
    found = labels.flatten(2).gather(2, index[:, None].expand(-1, labels.shape[1], -1))
    return found.masked_fill(~real[:, None], False if labels.dtype == torch.bool else -1)


def _pick(usable: torch.Tensor, liking: torch.Tensor | float, count: int, draw: torch.Generator) -> torch.Tensor:
    """`count` different usable columns of each row [B, n], more of higher `liking`; again from the first if too few."""
    score = torch.rand(usable.shape, generator=draw) + 9.0 * usable + liking
    order = score.argsort(1, descending=True)
    return order.gather(1, torch.arange(count) % usable.sum(1, keepdim=True).clamp(min=1))


def _crop(parts: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    longest = int(parts['length'].max())
    return {k: (v[..., :longest] if k in ('ids', 'object', 'until') else v).long() for k, v in parts.items()}
