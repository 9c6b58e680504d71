"""Every family against transformers' own forward and generate, on small models with random weights.

LLaVA-OneVision, which puts a newline behind its frames, is compared in test_stream.py.
"""

import numpy as np
import pytest
import random_families
import torch
from memories import kept

from stc_ros.models import load_model
from stc_ros.models.qwen_vision import squares
from stc_ros.parameters import cachers, pruners
from stc_ros.settings import Settings
from stc_ros.stream import open_stream

FRAMES, STEP = 4, 1_000_000_000  # ns
PLAIN = {'cacher': 'none', 'pruner': 'none', 'memory.max_tokens': 800, 'query.full_latest_frame': 'never'}
QUESTION = 'what is moving ?'
NAMES = [name for name in random_families.MAKE if name != 'llava_onevision']


@pytest.fixture(scope='module', params=NAMES)
def pair(request, tmp_path_factory):
    """Our model, and transformers' of the same weights."""
    folder = tmp_path_factory.mktemp('family')
    theirs = random_families.save(request.param, folder)
    return load_model(Settings({'model.name': str(folder), 'model.device': 'cpu'})), theirs


@pytest.fixture(scope='module')
def frames(pair):
    model, _ = pair
    size = model.pixels.height, model.pixels.width, 3
    return [np.random.default_rng(i).integers(0, 256, size, dtype=np.uint8) for i in range(FRAMES)]


def pixels_of(model, frame):
    return model.pixels.normalise(model.pixels.resize(frame), model.device, model.dtype)


def their_features(theirs, pixels):
    if theirs.config.model_type.startswith('qwen'):
        grid = torch.tensor([[1, pixels.shape[2] // 4, pixels.shape[3] // 4]] * len(pixels))
        found = theirs.model.get_video_features(squares(pixels, 4, 2, 2), grid)
        deep = [torch.cat(list(each)) for each in getattr(found, 'deepstack_features', None) or ()]
        return torch.cat([torch.cat(list(found.pooler_output)), *deep], -1).unflatten(0, (len(pixels), -1))
    if theirs.config.model_type == 'smolvlm':
        return theirs.model.get_image_features(pixels[None]).pooler_output[0].view(len(pixels), -1, 48)
    return theirs.model.get_image_features(pixels).pooler_output


def mark_of(model):
    return random_families.VIDEO if model.decoder.places else random_families.IMAGE


def shown_to(theirs, pixels, ids):
    """What transformers' model is given beside ids."""
    kind = theirs.config.model_type
    if not kind.startswith('qwen'):
        return {'pixel_values': pixels[None] if kind == 'smolvlm' else pixels}
    grid = [pixels.shape[2] // 4, pixels.shape[3] // 4]
    return {
        'pixel_values_videos': squares(pixels, 4, 2, 2),
        'video_grid_thw': torch.tensor([[len(pixels), *grid]]),
        'mm_token_type_ids': (ids == random_families.VIDEO) * 2,
    }


def prompt(model, question=QUESTION, frames=FRAMES):
    """As the family's processor lays it out: ids, with the image token for each visual token."""
    ids = model.chat.prefix()
    for i in range(frames):
        before, behind = model.frame_text.ids(i * STEP / 1e9)
        ids += [*before, *[mark_of(model)] * model.visual_tokens, *behind]
    return torch.tensor([[*ids, *model.chat.suffix(question)]])


@torch.inference_mode()
def test_features_are_transformers(pair, frames):
    model, theirs = pair
    for frame in frames:
        pixels = pixels_of(model, frame)
        stream = open_stream(model, PLAIN)
        stream.see(frame, 1)
        features = stream.cacher.encode(
            model.tower, model.pixels.resize(frame), lambda pixels=pixels: model.tower.embed(pixels), 1.0, True
        )
        ours = model.project_out(model.project_in(model.tower.finish(features.features)))
        torch.testing.assert_close(ours[0], their_features(theirs, pixels)[0], atol=2e-5, rtol=2e-5)


@torch.inference_mode()
def test_frame_by_frame_it_answers_as_transformers_generate(pair, frames):
    model, theirs = pair
    stream = open_stream(model, PLAIN)
    for i, frame in enumerate(frames):
        stream.see(frame, i * STEP)
    answer = stream.ask(QUESTION, 40)
    text = ''.join(answer)
    ids = prompt(model)
    pixels = torch.cat([pixels_of(model, frame) for frame in frames])
    shown = shown_to(theirs, pixels, ids)
    made = theirs.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=40, pad_token_id=0, **shown
    )[0, ids.shape[1] :]
    assert text == model.chat.decode([t for t in made.tolist() if t not in model.chat.stops])
    assert len(made) == 40 or answer.report.finished


@torch.inference_mode()
def test_the_newest_frame_may_be_read_whole(pair, frames):
    """Pruned in the memory, whole at the question: then a memory of one frame knows as much as a plain one."""
    model, _ = pair
    answers = []
    for settings in (PLAIN, {**PLAIN, 'pruner': 'uniform', 'prune_ratio': 0.5, 'query.full_latest_frame': 'always'}):
        stream = open_stream(model, settings)
        stream.see(frames[0], 5)
        answers.append(''.join(stream.ask(QUESTION, 20)))
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    'change',
    [
        {'cacher': 'stc', 'cacher.stc.update_ratio': 1.0},
        {'cacher': 'threshold', 'cache_similarity': 1.0},
        {'cacher': 'incremental', 'cache_similarity': 1.0},
        {'pruner': 'delta', 'prune_ratio': 0.0},
    ],
    ids=str,
)
def test_with_everything_computed_and_kept_it_is_the_plain_model(pair, frames, change):
    model, _ = pair
    plain, ours = open_stream(model, PLAIN), open_stream(model, PLAIN | change)
    for i, frame in enumerate(frames):
        frame = frame.copy()
        frame[: len(frame) // 2] = frames[0][: len(frame) // 2]  # half of it does not change
        plain.see(frame, i * STEP)
        ours.see(frame, i * STEP)
    assert ours.memory.tokens == plain.memory.tokens == FRAMES * (model.visual_tokens + model.frame_text.most)
    torch.testing.assert_close(kept(ours), kept(plain), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize('cacher', cachers.names())
@pytest.mark.parametrize('pruner', pruners.names())
def test_every_cacher_and_pruner_runs_on_it(pair, frames, cacher, pruner):
    model, _ = pair
    stream = open_stream(model, {'cacher': cacher, 'pruner': pruner, 'memory.max_tokens': 300})
    for i, frame in enumerate(frames * 2):
        assert stream.see(frame, i * STEP).visual_tokens_kept <= model.visual_tokens
    assert all(torch.isfinite(each).all() for each in kept(stream))
    list(stream.ask(QUESTION, 3))


def test_a_frames_time_stands_before_it_and_goes_round(pair):
    model, _ = pair
    if '{time}' in model.frame_text.before:
        encode = model.chat.encode
        assert model.frame_text.ids(61.9)[0] == encode(model.frame_text.before.replace('{time}', '01:01'))
        assert model.frame_text.ids(3600 * 24 + 61)[0] == model.frame_text.ids(61.9)[0]
    assert model.frame_text.most == sum(map(len, model.frame_text.ids(7.0)))
