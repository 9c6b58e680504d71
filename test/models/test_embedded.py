"""The identities of the core once more, on the embedded model and its own world."""

import json

import numpy as np
import pytest
import torch
from memories import kept
from transformers import LlavaOnevisionForConditionalGeneration

from stc_ros.memory.query_context import QueryContext
from stc_ros.memory.window import Window
from stc_ros.models import EMBEDDED, load_model
from stc_ros.settings import Settings
from stc_ros.stream import open_stream
from stc_ros.synthetic import record
from stc_ros.vision.cachers.layerwise import LayerwiseState, compute, run_layers
from stc_ros.vision.cachers.stc import STCCacher
from training.tiny.export import PROMPTS

PLAIN = Settings({'model.device': 'cpu', 'cacher.method': 'none', 'pruner.method': 'none'})
QUESTION = 'how many objects are there ?'
CLOSE = {'atol': 2e-4, 'rtol': 2e-4}


@pytest.fixture(scope='module')
def model():
    return load_model(PLAIN)


@pytest.fixture(scope='module')
def clip():
    return record('busy', 77, frames=8, size=112).frames


@pytest.fixture(scope='module')
def patches(model, clip):
    with torch.inference_mode():
        return [model.tower.embed(model.pixels.normalise(model.pixels.resize(f), 'cpu', torch.float32)) for f in clip]


@pytest.mark.parametrize('cacher', ['incremental', 'none'])
@pytest.mark.parametrize('noise', [0, 2])
def test_a_static_stream_does_not_evict_what_was_seen_before(model, cacher, noise):
    """However long it lasts, and whether the camera's pixels rest or not: where motion ends, much is still new."""
    frames, draw = record('patrol', 3, 12, size=112).frames, np.random.default_rng(0)
    stream = open_stream(model, Settings({'model.device': 'cpu', 'cacher.method': cacher}))
    for t, frame in enumerate(frames):
        stream.see(frame, t)
    for t in range(100):
        still = frames[-1] + draw.integers(-noise, noise + 1, frames[-1].shape)
        report = stream.see(still.clip(0, 255).astype(np.uint8), 100 + t)
    assert stream.memory.frames[0].stamp == 0 and stream.memory.frames[-1].stamp == 199
    assert report.visual_tokens_kept == 0 and stream.memory.tokens < 600
    assert ''.join(stream.ask(QUESTION, 12))


def test_what_was_shipped_is_what_would_be_exported():
    assert json.loads((EMBEDDED / 'stc.json').read_text()) == PROMPTS


@torch.inference_mode()
def run(model, frames, cacher):
    """The last block's output and the share recomputed, of each frame's embedded tokens."""
    state, tower = LayerwiseState(), model.tower

    def choose(key, reference):
        return cacher.choose(key, reference, 0.0, tower.class_tokens)

    return [run_layers(tower, state, x, choose, cacher.cache_interval) for x in frames]


@torch.inference_mode()
def plain(model, x):
    for block in model.tower.blocks:
        x, _ = compute(block, x)
    return x


def seen(model, settings, clip):
    stream = open_stream(model, settings)
    for i, frame in enumerate(clip):
        stream.see(frame, i)
    return stream


def same_memory(one, two):
    torch.testing.assert_close(kept(two), kept(one), **CLOSE)


@pytest.mark.parametrize(
    'change',
    [
        {'cacher': 'stc', 'cacher.stc.update_ratio': 1.0},
        {'cacher': 'stc', 'cacher.stc.cache_interval': 1},
        {'cacher': 'threshold', 'cache_similarity': 1.0},
        {'cacher': 'threshold', 'cacher.threshold.cache_interval': 1},
        {'cacher': 'incremental', 'cache_similarity': 1.0, 'cacher.incremental.static_frame_stride': 1},
        {'pruner': 'stc', 'prune_ratio': 0.0},
        {'pruner': 'delta', 'prune_ratio': 0.0},
    ],
    ids=str,
)
def test_what_saves_nothing_is_the_plain_model(model, clip, change):
    whole, same = seen(model, PLAIN, clip), seen(model, PLAIN | change, clip)
    same_memory(whole, same)
    assert ''.join(same.ask(QUESTION)) == ''.join(whole.ask(QUESTION))


@torch.inference_mode()
def test_plain_mode_equals_transformers_forward_and_generate(model, clip):
    stock = LlavaOnevisionForConditionalGeneration.from_pretrained(EMBEDDED, dtype=torch.float32).eval()
    stream = seen(model, PLAIN, clip)
    chat = model.chat
    pixels = torch.cat([model.pixels.normalise(model.pixels.resize(f), 'cpu', torch.float32) for f in clip])[None]
    video = [stock.config.video_token_id] * (len(clip) * 49 + 1)
    ids = torch.tensor([[*chat.prefix(), *video, *chat.suffix(QUESTION)]])
    given = {'input_ids': ids, 'attention_mask': torch.ones_like(ids), 'pixel_values_videos': pixels}
    expected = stock(**given, logits_to_keep=1).logits[0, -1]
    asked = torch.cat((model.newline[None], model.decoder.embed(chat.suffix(QUESTION))), 1)
    torch.testing.assert_close(model.decoder.logits(QueryContext(stream.memory).run(asked)[0, -1]), expected, **CLOSE)
    said = stock.generate(**given, max_new_tokens=8, do_sample=False)[0, ids.shape[1] :].tolist()
    assert ''.join(stream.ask(QUESTION, 8)) == chat.decode(said) != ''


@pytest.mark.parametrize('ratio', [0.01, 0.25, 0.7])
def test_an_identical_frame_is_exact(model, patches, ratio):
    (_, _), (y, recomputed) = run(model, [patches[0], patches[0].clone()], STCCacher(update_ratio=ratio))
    torch.testing.assert_close(y, plain(model, patches[0]), **CLOSE)
    assert recomputed.mean() < 1


def test_telescoping(model, patches):
    (before, _), (after, recomputed) = run(model, patches[:2], STCCacher())
    static = recomputed[0] == 0
    assert static.sum() > 20
    expected = before + patches[1] - patches[0]
    torch.testing.assert_close(after[0, static], expected[0, static], **CLOSE)


def test_two_streams_in_turn_equal_each_alone(model, clip):
    settings = Settings({'model.device': 'cpu'})
    other = clip[::-1].copy()
    alone = [seen(model, settings, frames) for frames in (clip, other)]
    a, b = open_stream(model, settings), open_stream(model, settings)
    for i, (x, y) in enumerate(zip(clip, other)):
        a.see(x, i)
        b.see(y, i)
    assert all(map(torch.equal, (*kept(a), *kept(b)), (*kept(alone[0]), *kept(alone[1]))))


@torch.inference_mode()
def test_prefill_in_chunks_equals_prefill_at_once(model):
    torch.manual_seed(0)
    x = torch.randn(1, 49, model.newline.shape[-1])
    one, many = (Window(model.decoder, model.chat.prefix(), 500, 1 << 30, torch.float32) for _ in range(2))
    one.add(x, torch.arange(49), 49, 0)
    for start in range(0, 49, 7):
        many.add(x[:, start : start + 7], torch.arange(7), 7, 0)
    n = one.sinks + 49
    torch.testing.assert_close(many.keys[:, :, :, :n], one.keys[:, :, :, :n], **CLOSE)


def test_asking_changes_nothing(model, clip):
    stream = seen(model, Settings({'model.device': 'cpu'}), clip)
    before = kept(stream)
    assert ''.join(stream.ask(QUESTION)) == ''.join(stream.ask(QUESTION)) != ''
    assert all(map(torch.equal, kept(stream), before))
