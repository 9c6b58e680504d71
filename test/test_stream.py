"""The whole pipeline against transformers' own model, and the rules of a stream."""

import numpy as np
import pytest
import torch
from memories import kept
from released import ReleasedPruner
from worlds import moving_square

from stc_ros.memory.query_context import QueryContext
from stc_ros.models.random import SIZES, WORDS, random_model, random_weights
from stc_ros.parameter_spec import SettingError
from stc_ros.parameters import StreamParameters, cachers, pruners
from stc_ros.settings import Settings
from stc_ros.stream import Stream, open_memory, open_stream

PLAIN = Settings({'cacher.method': 'none', 'pruner.method': 'none'})
STC = Settings({'cacher.method': 'stc', 'pruner.method': 'stc', 'prune_ratio': 0.5})


@pytest.fixture(scope='module')
def model():
    return random_model(seed=5)


def watch(stream, frames):
    return [stream.see(f, 100 + i) for i, f in enumerate(frames)]


@torch.inference_mode()
def test_plain_mode_equals_transformers_forward_and_generate(model):
    stock, frames = random_weights(seed=5), moving_square(4)
    stream = open_stream(model, PLAIN)
    watch(stream, frames)
    answer = stream.ask('what is moving ?', 12)
    text = ''.join(answer)
    pixels = torch.cat([model.pixels.normalise(model.pixels.resize(f), 'cpu', torch.float32) for f in frames])[None]
    video = WORDS.index('<video>')
    ids = torch.tensor([[*model.chat.prefix(), *[video] * (4 * 9 + 1), *model.chat.suffix('what is moving ?')]])
    made = stock.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        pixel_values_videos=pixels,
        max_new_tokens=12,
        do_sample=False,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    out = made.sequences[0, ids.shape[1] :].tolist()
    assert text == model.chat.decode(out) and len(text) > 0
    written = [i for i in out if i not in model.chat.stops]
    assert answer.report.tokens == len(written)
    theirs = [float(logits[0].softmax(-1).max()) for logits in made.logits[: len(written)]]
    assert [chance for _, chance in answer.report.token_probs] == pytest.approx(theirs, rel=1e-3)
    assert [end for end, _ in answer.report.token_probs] == [
        len(model.chat.decode(written[: i + 1])) for i in range(len(written))
    ]
    # and the numbers behind the words
    hidden = stock(input_ids=ids, pixel_values_videos=pixels, logits_to_keep=1).logits[0, -1]
    ours = QueryContext(stream.memory).run(
        torch.cat((model.newline[None], model.decoder.embed(model.chat.suffix('what is moving ?'))), 1)
    )
    torch.testing.assert_close(model.decoder.logits(ours[0, -1]), hidden, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    'change',
    [
        {'cacher': 'stc', 'cacher.stc.update_ratio': 1.0},
        {'cacher': 'stc', 'cacher.stc.cache_interval': 1},
        {'cacher': 'threshold', 'cache_similarity': 1.0},
        {'pruner': 'stc', 'prune_ratio': 0.0},
        {'prune_ratio': 0.0},  # with the released pruner
    ],
    ids=str,
)
def test_settings_that_save_nothing_change_nothing(model, change):
    settings = PLAIN | change
    plain, same = open_stream(model, PLAIN), open_stream(model, settings)
    if list(change) == ['prune_ratio']:
        parts = cachers.create('none'), ReleasedPruner(), open_memory(model, settings)
        same = Stream(model, *parts, settings.fill(StreamParameters))
    for stream in (plain, same):
        watch(stream, moving_square(6))
    torch.testing.assert_close(kept(same), kept(plain), atol=1e-4, rtol=1e-4)
    assert ''.join(same.ask('what is moving ?', 8)) == ''.join(plain.ask('what is moving ?', 8))


def test_a_memory_that_holds_no_whole_frame_is_refused(monkeypatch):
    """The first frame of a scene is sent whole: it would fail, and each one behind it."""
    vision, text = SIZES['toy']
    monkeypatch.setitem(SIZES, 'larger', (vision | {'image_size': 40}, text))
    model = random_model('larger')
    open_stream(model, STC | {'memory.max_tokens': 25}).see(moving_square(1)[0], 0)
    with pytest.raises(SettingError, match='25 visual tokens.*memory.max_tokens'):
        open_stream(model, STC | {'memory.max_tokens': 24})


@pytest.mark.parametrize('noise', [0, 2])
def test_a_static_stream_does_not_evict_what_was_seen_before(model, noise):
    """However long it lasts, and whether the camera's pixels rest or not."""
    stream, draw = open_stream(model, Settings()), np.random.default_rng(0)
    scene = moving_square(8)
    watch(stream, scene)
    for i in range(300):
        frame = scene[-1].astype(int) + draw.integers(-noise, noise + 1, scene[-1].shape)
        stream.see(frame.clip(0, 255).astype(np.uint8), 1000 + i)
    stamps = [f.stamp for f in stream.memory.frames]
    assert stamps[0] == 100 and stamps[-1] == 1299 and stream.memory.tokens < 20 * 9
    assert ''.join(stream.ask('what is moving ?', 4))


def test_two_streams_in_turn_equal_each_alone(model):
    one, two = moving_square(6, seed=1), moving_square(6, seed=2, step=5)
    alone = []
    for frames in (one, two):
        stream = open_stream(model, STC)
        watch(stream, frames)
        alone.append(stream)
    a, b = open_stream(model, STC), open_stream(model, STC)
    for x, y in zip(one, two):
        a.see(x, 0), b.see(y, 0)
    for mixed, single in ((a, alone[0]), (b, alone[1])):
        assert all(map(torch.equal, kept(mixed), kept(single)))


def test_reset_is_a_fresh_start(model):
    stream, fresh = open_stream(model, STC), open_stream(model, STC)
    watch(stream, moving_square(9, seed=3))
    stream.reset()
    for each in (stream, fresh):
        reports = watch(each, moving_square(3))
    assert all(map(torch.equal, kept(stream), kept(fresh)))
    assert stream.stats().frames == fresh.stats().frames == len(reports) == 3


def test_a_report_tells_what_was_done(model):
    stream = open_stream(model, STC)
    first, second = watch(stream, moving_square(2))
    assert (first.stamp, second.stamp, stream.stats().frames) == (100, 101, 2)
    assert first.patches_recomputed == first.patches == 36 and second.patches_recomputed == 9
    assert (
        second.visual_tokens_kept == len(second.kept) == 4 and second.visual_tokens == 9 and second.memory_tokens == 8
    )
    assert set(second.ms) == {'preprocess', 'vision', 'prune', 'prefill'} and min(second.ms.values()) > 0
    stats = stream.stats()
    assert stats.recomputed_share == pytest.approx(45 / 72) and stats.kept_share == pytest.approx(8 / 18)


def test_parameters_change_while_it_runs_and_fixed_ones_do_not(model):
    stream = open_stream(model, STC)
    watch(stream, moving_square(2))
    changed = STC | {'prune_ratio': 0.0, 'cacher.stc.update_ratio': 0.5}
    stream.configure(STC, changed)
    report = watch(stream, moving_square(3))[1]
    assert report.visual_tokens_kept == 9 and report.patches_recomputed == 18
    with pytest.raises(SettingError, match='memory.max_tokens'):
        stream.configure(changed, STC | {'memory.max_tokens': 99})
    assert stream.parameters.prune_ratio == 0.0 and stream.cacher.update_ratio == 0.5


def test_a_method_changes_while_it_runs_and_the_memory_stays(model):
    stream, changed = open_stream(model, STC), STC | {'cacher': 'incremental', 'pruner': 'uniform'}
    watch(stream, moving_square(2))
    cacher, pruner, tokens = stream.cacher, stream.pruner, stream.memory.tokens
    stream.configure(STC, STC | {'prune_ratio': 0.4})
    assert stream.cacher is cacher and stream.pruner is pruner  # what they remember, too
    stream.configure(STC | {'prune_ratio': 0.4}, changed)
    report = stream.see(moving_square(3)[2], 102)
    assert type(stream.cacher) is cachers['incremental'].cls and type(stream.pruner) is pruners['uniform'].cls
    assert report.patches_recomputed == 36 and report.memory_tokens == tokens + 4 and report.first_stamp == 100


def test_a_cut_is_a_new_scene_and_motion_is_not(model):
    stream = open_stream(model, STC)
    reports = watch(stream, moving_square(8) + moving_square(2, seed=7)[::-1])
    other = np.zeros((48, 48, 3), np.uint8)
    other[:, 24:] = 255
    assert [r.scene_change for r in reports][:8] == [False] * 8
    cut = stream.see(other, 0)
    assert cut.scene_change and cut.patches_recomputed == 36
    dimmed = stream.see((other * 0.8).astype(np.uint8), 0)
    assert not dimmed.scene_change


def test_contiguous_positions_take_less_room(model):
    gaps, contiguous = open_stream(model, STC), open_stream(model, STC | {'expert.contiguous_positions': True})
    for stream in (gaps, contiguous):
        watch(stream, moving_square(4))
    assert gaps.memory.end - gaps.memory.sinks == 36 and contiguous.memory.end - contiguous.memory.sinks == 16


@pytest.mark.parametrize(
    'frame',
    [np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)],
    ids=['grey', 'empty', 'float', 'rgba'],
)
def test_a_frame_of_another_kind_is_refused_and_loses_nothing(model, frame):
    stream = open_stream(model, STC)
    watch(stream, moving_square(2))
    before = kept(stream)
    with pytest.raises(ValueError, match='uint8'):
        stream.see(frame, 0)
    assert all(map(torch.equal, kept(stream), before)) and stream.stats().frames == 2
    stream.see(moving_square(3)[2], 0)


def test_a_read_only_or_flipped_frame_is_seen(model):
    frame = moving_square(1)[0]
    upright = open_stream(model, PLAIN).see(frame, 0)
    frame.setflags(write=False)
    again = open_stream(model, PLAIN)
    assert np.array_equal(again.see(frame, 0).kept, upright.kept)
    again.see(frame[::-1, ::-1], 0)


def test_an_endless_stream_allocates_nothing_new(model):
    stream = open_stream(model, STC | {'memory.max_tokens': 40})
    frames = moving_square(16)
    for i in range(300):
        report = stream.see(frames[i % 16], i)
    assert report.memory_tokens <= 40 and report.memory_bytes == stream.memory.bytes + stream.cacher.bytes
    assert len(stream.stats().ms['vision']) == 300 and len(stream.memory.frames) <= 10


def test_warming_up_leaves_nothing_behind(model):
    warm, cold = open_stream(model, STC), open_stream(model, STC)
    warm.warm_up()
    for stream in (warm, cold):
        watch(stream, moving_square(3))
    assert all(map(torch.equal, kept(warm), kept(cold)))
    assert warm.stats().frames == 3 and warm.stats().answers == 0
