"""Milliseconds of each kind of work at the size that robots run; real_size.py charges frames for them."""

from __future__ import annotations

import numpy as np
from decisions import settings_of
from measure import load, median_ms

ROWS = (32, 64, 96, 128, 192, 256, 384, 512)  # patches recomputed, at which time is measured
KEPT = (1, 12, 25, 49, 74, 98, 196)  # visual tokens prefilled


class Costs:
    """Milliseconds of each kind of work at real size."""

    def __init__(self, chosen):
        import torch
        from tqdm import tqdm

        self.repeats, self.model = chosen.frames, load(chosen)
        self.image = self.model.pixels.resize(np.random.default_rng(0).integers(0, 256, (378, 378, 3), np.uint8))
        self.hidden = torch.randn(1, 196, self.model.newline.shape[-1])
        steps = tqdm(total=7, desc='costs', disable=None)

        def step(value):
            steps.update()
            return value

        self.plain_builds = step(self.plain_vision())
        self.plain = min(self.plain_builds.values())
        self.stc = step(self.stc_vision())
        self.state, self.whole = step(self.whole_vision())
        self.rows = step({k: self.row_vision(k) for k in ROWS})
        self.still = step(self.still_vision())
        self.prefill, self.first_token, self.token = step(self.language())
        self.project = step({b: self.projector(b) for b in KEPT})
        steps.close()

    def time(self, call) -> float:
        return median_ms(call, self.repeats)

    def normalised(self):
        return self.model.pixels.normalise(self.image, self.model.device, self.model.dtype)

    def embed(self):
        return self.model.tower.embed(self.normalised())

    def plain_vision(self) -> dict[str, float]:
        from stc_ros.models.random import random_weights
        from stc_ros.parameters import cachers

        plain = cachers.create('none')
        packed = self.time(lambda: plain.encode(self.model.tower, self.image, self.embed, 1.0))
        unpacked = random_weights('so400m').model.vision_tower
        stock = self.time(lambda: unpacked(self.normalised()))
        return {'ours, packed weights': packed, 'transformers, plain weights': stock}

    def stc_vision(self) -> tuple[float, float]:
        """A whole frame, and one of which a quarter of the tokens is updated."""
        from stc_ros.parameters import cachers

        cacher = cachers.create('stc', settings_of('stc') | {'cacher.stc.cache_interval': 64})

        def frame(refresh: bool):
            return cacher.encode(self.model.tower, self.image, self.embed, 1.0, refresh)

        return self.time(lambda: frame(True)), self.time(lambda: frame(False))

    def whole_vision(self):
        """The incremental cacher's state, and a whole frame."""
        from stc_ros.vision.cachers.incremental import start

        def frame():
            return start(self.model.tower, self.image, self.embed())

        return frame(), self.time(frame)

    def row_vision(self, count: int) -> float:
        """A frame of which `count` patches are computed, as many of them samples as are followed at most."""
        import torch

        from stc_ros.vision.cachers.patches import replace_patches, similarity
        from stc_ros.vision.cachers.rows import compute_rows

        tower = self.model.tower
        patches = torch.randperm(729, generator=torch.Generator().manual_seed(count))[:count].sort().values
        sampled = torch.zeros(count, dtype=bool)
        sampled[:: max(1, count // 64)] = True
        which = torch.zeros(729, dtype=bool).index_fill(0, patches, True).view(tower.grid)

        def frame():
            similarity(self.image, self.state.image, tower.grid)
            compute_rows(tower, self.state, self.embed(), patches, sampled)
            replace_patches(self.state.image, self.image, which)

        return self.time(frame)

    def still_vision(self) -> float:
        from stc_ros.vision.cachers.patches import similarity

        return self.time(lambda: similarity(self.image, self.state.image, self.model.tower.grid))

    def projector(self, count: int) -> float:
        """Pooling and projector, its last layer for the tokens kept only."""
        import torch

        features = torch.randn(1, 729, self.model.tower.width)
        model = self.model
        return self.time(lambda: model.project_out(model.project_in(features)[0][:count]))

    def language(self):
        """Prefill by tokens kept, the first token's wait, and a later token, behind a full window."""
        import torch
        from prefill import full_window

        from stc_ros.memory.query_context import QueryContext

        model = self.model
        window = full_window(model, settings_of('ours')['memory.max_tokens'])
        self.window_bytes, self.window_tokens = window.bytes, window.tokens

        def add(count):
            window.add(self.hidden[:, :count], torch.arange(count), 196, window.frames[-1].stamp + 1)

        prefill = {0: 0.0, **{count: self.time(lambda count=count: add(count)) for count in KEPT}}
        asked = torch.cat((model.newline[None], model.decoder.embed(model.chat.suffix('what is moving ?'))), 1)
        first = self.time(lambda: model.decoder.logits(QueryContext(window, asked).hidden[:, -1]))
        context = QueryContext(window, asked)
        return prefill, first, self.time(lambda: model.decoder.logits(context.run(asked[:, :1])))

    def vision_of(self, mode: str, recomputed: int) -> float:
        if mode == 'plain':
            return self.plain
        if mode == 'stc':
            return self.stc[0] if recomputed == 729 else self.stc[1]
        if recomputed == 729:
            return self.whole
        return float(np.interp(recomputed, (0, *self.rows), (self.still, *self.rows.values())))

    def frame(self, mode: str, recomputed: int, kept: int) -> float:
        language = np.interp(kept, list(self.prefill), list(self.prefill.values()))
        projector = np.interp(kept, (0, *self.project), (0.0, *self.project.values()))
        return self.vision_of(mode, recomputed) + float(language) + float(projector)
