"""Every model family beside transformers' own forward, on small models with random weights: docs/models.md's table.

    ./dev bench parity

A frame, a question, and 40 tokens after it, the likeliest each time: by our plain path, and by transformers, which
reads everything anew for each token. Logits: root mean square of the difference as a share of their spread. Control:
the same where transformers is shown another picture. All cachers with all pruners then answer, too, with every patch
recomputed and every token kept, where a part can be set so; these answers have to be the same. Ends with 0 where they
are, logits are within the bound, and the control is not.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / 'test' / 'models'))
import random_families

from stc_ros.models import load_model
from stc_ros.models.base import VideoModel
from stc_ros.parameters import cachers, pruners
from stc_ros.self_test import PLAIN, QUESTION, own_logits, picture, reference_logits
from stc_ros.settings import Settings
from stc_ros.stream import open_stream

TOKENS, BOUND = 40, 1e-4
EVERYTHING = {
    'cacher.stc.update_ratio': 1.0,
    'cacher.stc.cache_interval': 1,
    'cache_similarity': 1.0,
    'prune_ratio': 0.0,
    'memory.max_tokens': 800,
    'query.full_latest_frame': 'never',
}


def main() -> int:
    print('| family | logits differ by | control | tokens alike | cachers x pruners with the same answer |')
    print('|---|---|---|---|---|')
    good = True
    for name in random_families.MAKE:
        with tempfile.TemporaryDirectory() as folder:
            random_families.save(name, Path(folder))
            model = load_model(Settings({'model.name': folder, 'model.device': 'cpu'}))
        off, control = differences(model)
        ours, theirs = answer(model, PLAIN), reference_answer(model)
        alike = sum(a == b for a, b in zip(ours, theirs))
        every = [(c, p) for c in cachers.names() for p in pruners.names()]
        same = sum(answer(model, EVERYTHING | {'cacher.method': c, 'pruner.method': p}) == ours for c, p in every)
        print(f'| {name} | {off:.0e} | {control:.2f} | {alike} of {len(theirs)} | {same} of {len(every)} |', flush=True)
        good &= off < BOUND < control and ours == theirs and same == len(every)
    return int(not good)


@torch.inference_mode()
def differences(model: VideoModel) -> tuple[float, float]:
    """Of the question's logits: ours to transformers', and to what that says of another picture."""
    own, expected = own_logits(model), reference_logits(model)
    frame = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape(model), np.uint8)).permute(2, 0, 1)[None]
    other = referred(model, frame, model.chat.suffix(QUESTION))[-len(own) :]
    spread = expected.std(-1)
    off, control = (((own - each).square().mean(-1).sqrt() / spread).max().item() for each in (expected, other))
    return off, control


def shape(model: VideoModel) -> tuple[int, int, int]:
    return model.pixels.height, model.pixels.width, 3


def referred(model: VideoModel, frame: torch.Tensor, asked: list[int]) -> torch.Tensor:
    """transformers' logits of the tokens asked behind one frame, float32 [t, V]."""
    pixels = model.pixels.normalise(frame, model.device, model.dtype)
    before, behind = model.frame_text.ids(0.0)
    return model.reference(pixels, [*model.chat.prefix(), *before], [*behind, *asked], len(asked)).float()


@torch.inference_mode()
def reference_answer(model: VideoModel) -> list[int]:
    frame = torch.from_numpy(picture(*shape(model)[:2])).permute(2, 0, 1)[None]
    asked, written = model.chat.suffix(QUESTION), []
    while len(written) < TOKENS:
        token = int(referred(model, frame, [*asked, *written])[-1].argmax())
        if token in model.chat.stops:
            break
        written.append(token)
    return written


@torch.inference_mode()
def answer(model: VideoModel, settings: dict) -> list[int]:
    """Ours: the tokens, not the text, in which several may look alike."""
    model.chat = chat = Noting(model.chat)
    stream = open_stream(model, EVERYTHING | settings)
    stream.see(picture(*shape(model)[:2]), 1)
    list(stream.ask(QUESTION, TOKENS))
    model.chat = chat.chat
    return chat.written


class Noting:
    """A chat template that notes the tokens which are decoded."""

    def __init__(self, chat):
        self.chat, self.written = chat, []

    def __getattr__(self, name: str):
        return getattr(self.chat, name)

    def decode(self, ids: list[int]) -> str:
        self.written = list(ids)
        return self.chat.decode(ids)


if __name__ == '__main__':
    sys.exit(main())
