"""What only Qwen2.5-VL and Qwen3-VL have: windows, features of several layers, three axes, frames of any size."""

import json

import numpy as np
import pytest
import random_families
import torch
from memories import kept
from test_families_parity import pixels_of, shown_to

from stc_ros.memory.query_context import QueryContext
from stc_ros.models import load_model, model_families
from stc_ros.models.qwen_vision import fit, squares
from stc_ros.parameters import pruners
from stc_ros.stream import open_stream
from stc_ros.vision.cachers.rows import compute_all, compute_rows

PROCESSOR = 'transformers.models.qwen2_vl.image_processing_pil_qwen2_vl'
NAMES = ('qwen2_5_vl', 'qwen3_vl')
STEP = 1_000_000_000  # ns
PLAIN = {'cacher': 'none', 'pruner': 'none', 'memory.max_tokens': 600, 'query.full_latest_frame': 'never'}
CLOSE = {'atol': 2e-4, 'rtol': 2e-4}


@pytest.fixture(scope='module', params=NAMES)
def pair(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp('qwen')
    theirs = random_families.save(request.param, folder)
    return load_model({'model.name': str(folder), 'model.device': 'cpu'}), theirs


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (32, 48, 3), dtype=np.uint8)


def places_of(kind, lengths, frames, seconds):
    """Positions [3, t] by the rules of transformers 4.57: before, frames of 4 x 6 tokens with text around, question.

    Written out token by token, apart from what the package does.
    """
    (head, before, behind, asked), stand, at = lengths, [], 0

    def text(count):
        nonlocal at
        stand.extend([[at + i] * 3 for i in range(count)])
        at += count

    text(head)
    first = at
    for number in range(frames):
        text(before)
        time = at if kind == 'qwen3_vl' else first + int(seconds * number)
        base = at if kind == 'qwen3_vl' else first
        stand.extend([[time, base + row, base + col] for row in range(4) for col in range(6)])
        at = 1 + max(max(each) for each in stand)
        text(behind)
    text(asked)
    return torch.tensor(stand).T


def their_logits(theirs, model, frames, keep=None, seconds=1.0):
    """Of the question's tokens, by transformers' forward at the places that we say; keep: tokens of each frame."""
    kind = theirs.config.model_type
    ids, lengths = list(model.chat.prefix()), [len(model.chat.prefix())]
    for number in range(len(frames)):
        before, behind = model.frame_text.ids(number * seconds)
        ids += [*before, *[random_families.VIDEO] * 24, *behind]
    asked = model.chat.suffix('what is moving ?')
    lengths += [len(before), len(behind), len(asked)]
    ids = torch.tensor([[*ids, *asked]])
    positions = places_of(kind, lengths, len(frames), seconds)
    pixels = torch.cat([pixels_of(model, frame) for frame in frames])
    if keep is None:
        shown = shown_to(theirs, pixels, ids)
        run = theirs(input_ids=ids, position_ids=positions[:, None], **shown)
        return run.logits[0, -len(asked) :]
    found = theirs.model.get_video_features(squares(pixels, 4, 2, 2), shown_to(theirs, pixels, ids)['video_grid_thw'])
    visual, stays = ids[0] == random_families.VIDEO, torch.ones(ids.shape[1], dtype=torch.bool)
    chosen = torch.cat([24 * number + index for number, index in enumerate(keep)])
    stays[visual] = torch.zeros(len(frames) * 24, dtype=torch.bool).index_fill(0, chosen, True)
    x = theirs.get_input_embeddings()(ids)
    x[0, visual] = torch.cat(list(found.pooler_output))
    more = {}
    if kind == 'qwen3_vl':
        more['deepstack_visual_embeds'] = [torch.cat(list(each))[chosen] for each in found.deepstack_features]
        more['visual_pos_masks'] = visual[None, stays]
    hidden = theirs.model.language_model(inputs_embeds=x[:, stays], position_ids=positions[:, None, stays], **more)
    return theirs.lm_head(hidden.last_hidden_state[0, -len(asked) :])


def our_logits(stream):
    ids = stream.model.chat.suffix('what is moving ?')
    hidden = stream.memory.open(stream.model.decoder.embed(ids)).hidden
    return stream.model.decoder.logits(hidden[0])


def see(model, frames, settings=PLAIN, seconds=1.0, began=5):
    stream = open_stream(model, settings)
    reports = [stream.see(frame, began + int(number * seconds * STEP)) for number, frame in enumerate(frames)]
    return stream, reports


@pytest.mark.parametrize('seconds', [0.25, 1.0, 4.0])
@torch.inference_mode()
def test_frame_by_frame_it_stands_where_training_put_it(pair, seconds):
    model, theirs = pair
    frames = [picture(i) for i in range(5)]  # 16 positions of time at 4 seconds, beyond the 6 of a frame's side
    ours = our_logits(see(model, frames, seconds=seconds)[0])
    torch.testing.assert_close(ours, their_logits(theirs, model, frames, seconds=seconds), **CLOSE)
    if seconds == 4.0 and theirs.config.model_type == 'qwen2_5_vl':
        other = our_logits(see(model, frames, seconds=1.0)[0])
        assert (ours - other).abs().max() > 0.05  # time counts


@pytest.mark.parametrize('pruner', ['uniform', 'random'])
@torch.inference_mode()
def test_what_is_kept_of_a_frame_stands_where_it_stood(pair, pruner):
    model, theirs = pair
    frames = [picture(i) for i in range(4)]
    stream, reports = see(model, frames, PLAIN | {'pruner': pruner, 'prune_ratio': 0.66})
    keep = [torch.from_numpy(report.kept) for report in reports]
    assert {len(index) for index in keep} == {8}
    torch.testing.assert_close(our_logits(stream), their_logits(theirs, model, frames, keep), **CLOSE)
    whole = their_logits(theirs, model, frames)
    assert (our_logits(stream) - whole).abs().max() > 0.05  # dropping shows, or equality would say little


@torch.inference_mode()
def test_wrong_axes_would_show(pair):
    model, theirs = pair
    frames = [picture(i) for i in range(3)]
    right = model.decoder.axis_of
    model.decoder.axis_of = right.flip(0)
    try:
        assert (our_logits(see(model, frames)[0]) - their_logits(theirs, model, frames)).abs().max() > 0.05
    finally:
        model.decoder.axis_of = right


@torch.inference_mode()
def test_evicted_frames_leave_a_fresh_stream(pair, tmp_path):
    """Of one layer, so that what stays cannot remember what left."""
    _, theirs = pair
    kind = theirs.config.model_type
    random_families.save(kind, tmp_path, num_hidden_layers=1, deepstack=[])
    model = load_model({'model.name': str(tmp_path), 'model.device': 'cpu'})
    frames, texts = [picture(i) for i in range(6)], model.frame_text.most
    settings = PLAIN | {'memory.max_tokens': 2 * (24 + texts) + 5, 'pruner': 'uniform', 'prune_ratio': 0.0}
    object.__setattr__(model.frame_text, 'before', model.frame_text.before.replace('{seconds}', '1.0'))
    old, _ = see(model, frames, settings)
    fresh, _ = see(model, frames[4:], settings, began=99)
    assert [f.stamp - 5 for f in old.memory.frames] == [4 * STEP, 5 * STEP] and old.memory.rope_offset > 0
    torch.testing.assert_close(our_logits(old), our_logits(fresh), **CLOSE)
    three, _ = see(model, frames[3:], PLAIN)
    assert (our_logits(three) - our_logits(fresh)).abs().max() > 1e-2


@torch.inference_mode()
def test_the_newest_frame_read_whole_is_the_frame_unpruned(pair):
    model, theirs = pair
    frames = [picture(i) for i in range(3)]
    stream, reports = see(model, frames, PLAIN | {'pruner': 'uniform', 'prune_ratio': 0.5})
    newest = stream.latest_tokens(60) if stream.parameters.full_latest_frame != 'never' else None
    assert newest is None
    stream, reports = see(
        model, frames, PLAIN | {'pruner': 'uniform', 'prune_ratio': 0.5, 'query.full_latest_frame': 'always'}
    )
    asked = model.decoder.embed(model.chat.suffix('what is moving ?'))
    ours = model.decoder.logits(QueryContext(stream.memory, asked, stream.latest_tokens(60)).hidden[0])
    keep = [torch.from_numpy(report.kept) for report in reports[:2]] + [torch.arange(24)]
    torch.testing.assert_close(ours, their_logits(theirs, model, frames, keep), **CLOSE)
    count = asked.shape[1]
    twice = torch.cat((asked, asked[:, -1:]), 1)  # two that differ in their last token, here the same one
    together = stream.memory.read_tree(twice, [*range(-1, count - 1), count - 2], stream.latest_tokens(60))
    torch.testing.assert_close(model.decoder.logits(together[0, :count]), ours, **CLOSE)
    torch.testing.assert_close(model.decoder.logits(together[0, count:]), ours[-1:], **CLOSE)


@torch.inference_mode()
def test_rows_computed_again_are_as_they_were_and_only_their_windows_change(pair):
    model, _ = pair
    tower = model.tower
    x, other = (tower.embed(pixels_of(model, picture(seed))) for seed in (1, 2))
    plain = compute_all(tower, x)
    rows = torch.randperm(96, generator=torch.Generator().manual_seed(0))[:20].sort().values
    held = compute_all(tower, x)
    held.held[:, rows], held.features[:, rows], held.entry[:, rows] = torch.nan, torch.nan, torch.nan
    compute_rows(tower, held, x, rows)
    torch.testing.assert_close(held.features, plain.features, atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(held.held, plain.held, atol=2e-5, rtol=2e-5)
    stale = compute_all(tower, other)  # all rows over another picture's cache: nothing of it is left
    compute_rows(tower, stale, x, torch.arange(96))
    torch.testing.assert_close(stale.features, plain.features, atol=2e-5, rtol=2e-5)
    if tower.blocks[0].window is not None:  # 8 x 12 patches, windows of 4 x 4
        mixed = torch.where(tower.blocks[0].window[:, None] == tower.blocks[0].window[0], other, x)
        changed = (compute_all(tower, mixed).held[1] - plain.held[1]).abs().amax(-1) > 1e-6  # behind one windowed layer
        assert changed.view(8, 12)[:4, :4].all() and changed.sum() == 16
        assert not all(block.window is not None for block in tower.blocks)


@torch.inference_mode()
def test_pixels_and_their_layout_are_those_of_transformers_processor(pair):
    model, _ = pair
    p, frame = model.pixels, np.random.default_rng(3).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    theirs = pytest.importorskip(PROCESSOR, reason='transformers before its processors without torchvision')
    processor = theirs.Qwen2VLImageProcessorPil(
        patch_size=4, merge_size=2, temporal_patch_size=2, image_mean=list(p.mean), image_std=list(p.std)
    )
    resized = p.resize(frame)
    given = processor(resized[0].permute(1, 2, 0).numpy(), do_resize=False, return_tensors='pt')
    ours = squares(p.normalise(resized, 'cpu', torch.float32), 4, 2, 2)
    assert given['image_grid_thw'].tolist() == [[1, 8, 12]]
    torch.testing.assert_close(ours, given['pixel_values'], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize('sides', [(480, 640), (1080, 1920), (30, 1000)])
@pytest.mark.parametrize('bounds', [(3136, 12845056), (100_000, 200_000), (9_000_000, 10_000_000)])
def test_sizes_follow_the_published_rule(sides, bounds):
    theirs = pytest.importorskip(PROCESSOR, reason='transformers before its processors without torchvision')
    assert fit(sides, 28, *bounds) == theirs.smart_resize(*sides, 28, *bounds)


@pytest.mark.parametrize('pruner', pruners.names())
@torch.inference_mode()
def test_what_is_added_in_the_layers_is_pruned_with_its_token(pair, pruner):
    model, theirs = pair
    wide = model.newline.shape[-1]
    assert wide == 64 * (3 if theirs.config.model_type == 'qwen3_vl' else 1)
    stream, reports = see(model, [picture(1), picture(2)], PLAIN | {'pruner': pruner, 'prune_ratio': 0.5})
    assert all(torch.isfinite(each).all() for each in kept(stream)) and reports[-1].visual_tokens_kept <= 24


@pytest.mark.parametrize('name', NAMES)
def test_older_configurations_are_read(name, tmp_path):
    """As the hub has them: the language model's flat (Qwen2.5-VL), the tower by its family's name."""
    theirs = random_families.save(name, tmp_path)
    content = json.loads((tmp_path / 'config.json').read_text())
    content['vision_config']['model_type'] = name
    if name == 'qwen2_5_vl':
        text = content.pop('text_config')
        rope = text.pop('rope_parameters')
        content |= {key: value for key, value in text.items() if key not in ('model_type', 'head_dim')}
        content |= {'rope_theta': rope['rope_theta']}
        content |= {'rope_scaling': {'type': 'mrope', 'mrope_section': rope['mrope_section']}}
    (tmp_path / 'config.json').write_text(json.dumps(content))
    model = load_model({'model.name': str(tmp_path), 'model.device': 'cpu'})
    frames = [picture(i) for i in range(2)]
    with torch.inference_mode():
        ours = our_logits(see(model, frames)[0])
        torch.testing.assert_close(ours, their_logits(theirs, model, frames), **CLOSE)


def test_text_around_each_frame_may_be_ones_own(tmp_path):
    """As StreamingVLM and LiveCC were trained: a time, then one video each; places then go on as of single pictures."""
    random_families.save('qwen2_5_vl', tmp_path)
    marks = {'before': 'from {seconds} <|vision_start|>', 'behind': '<|vision_end|>'}
    chat = {'prefix': '<|im_start|> user', 'suffix': '{question} <|im_end|> <|im_start|> assistant'}
    own = {'frame_size': [32, 48], 'frame_text': marks, 'chat': chat}
    (tmp_path / 'stc.json').write_text(json.dumps(own))
    model = load_model({'model.name': str(tmp_path), 'model.device': 'cpu'})
    stream, _ = see(model, [picture(1), picture(2)])
    assert stream.memory.tokens == 2 * (24 + 4) and not model.decoder.places.resting.any()
    assert stream.memory.next_position == 2 + 2 * (3 + 6 + 1)  # text and the longer side of each frame


def test_the_families_say_what_they_take():
    assert 'Cosmos-Reason1' in model_families['qwen2_5_vl'].scope
    assert 'Cosmos-Reason2' in model_families['qwen3_vl'].scope
