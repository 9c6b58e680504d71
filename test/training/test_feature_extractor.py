"""What the language stage learns from is what a stream sees."""

import numpy as np
import pytest
import torch
from transformers import LlavaOnevisionForConditionalGeneration

from stc_ros.models import EMBEDDED, load_model
from stc_ros.settings import Settings
from stc_ros.stream import Stream, open_stream
from training.tiny.batches import draw_batch
from training.tiny.clips import record_clip
from training.tiny.feature_extractor import FeatureExtractor
from training.tiny.shards import build_shard


@pytest.fixture(scope='module')
def embedded():
    return load_model(Settings({'model.device': 'cpu'}))


@pytest.fixture(scope='module')
def weights():
    return LlavaOnevisionForConditionalGeneration.from_pretrained(EMBEDDED, dtype=torch.float32)


@pytest.fixture(scope='module')
def extractor(weights):
    return FeatureExtractor(weights, 'cpu')


@pytest.fixture(scope='module')
def frames():
    """A busy stream, and another behind a cut."""
    return np.concatenate([record_clip('busy', seed, 10).frames for seed in (3, 4)])


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.float() - b.float()).norm() / b.float().norm())


def seen(stream: Stream, frames: np.ndarray) -> torch.Tensor:
    """The newest frame's visual tokens after each frame, [T, n, D]."""
    rows = []
    for t, frame in enumerate(frames):
        stream.see(frame, t)
        rows.append(stream._latest.tokens.clone())
    return torch.stack(rows)


def test_training_sees_what_the_plain_tower_sees(extractor, embedded, frames):
    plain = seen(
        open_stream(embedded, Settings({'cacher.method': 'none', 'pruner.method': 'uniform', 'prune_ratio': 0.5})),
        frames,
    )
    assert distance(extractor.see(frames), plain) < 0.02  # bfloat16


def test_training_sees_late_what_a_stream_sees_late(extractor, embedded, frames):
    stream = seen(open_stream(embedded, Settings({'pruner.method': 'uniform', 'prune_ratio': 0.5})), frames)
    late, now = extractor.see_late(frames), extractor.see(frames)
    assert distance(late, stream) < 0.005  # rounded to bfloat16
    assert distance(late[[0, 10]], now[[0, 10]]) < 0.02  # the first one and the cut are dense
    assert 0.02 < distance(late, now) < 0.15  # late in what has hardly changed


def test_the_model_is_left_as_it_is(weights):
    before = {name: (p.clone(), p.requires_grad) for name, p in weights.named_parameters()}
    FeatureExtractor(weights, 'cpu')
    for name, p in weights.named_parameters():
        assert torch.equal(p, before[name][0]) and p.requires_grad == before[name][1]


def test_what_is_sent_as_differences_is_late_but_for_the_frame_that_is_asked_about(extractor):
    shard = build_shard(extractor, 5, 3, 8)
    shard['late'] = -shard['features']
    batch = draw_batch(shard, torch.arange(3), 8, 1, 0.5, torch.Generator().manual_seed(1), differences=True)
    tokens = shard['features'].shape[2]
    for b in range(3):
        asked = torch.cat([group['moment'][b] for group in (*batch.asked, batch.narrated)]).tolist()
        now = max(set(asked), key=asked.count)
        real = batch.index[b] < 8 * tokens
        flat = shard['features'][b].flatten(0, 1)[batch.index[b][real]]
        whole = (batch.frame[b][real] == now)[:, None]
        assert torch.equal(batch.features[b][real], torch.where(whole, flat, -flat))
    plain = draw_batch(shard, torch.arange(3), 8, 1, 1.0, torch.Generator().manual_seed(1))
    assert torch.equal(plain.features, shard['features'].flatten(1, 2))
