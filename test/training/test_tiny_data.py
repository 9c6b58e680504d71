"""What the embedded model learns from: labels of visual tokens, kept tokens, and where a question should look."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stc_ros.pruning.delta import RESTLESS
from stc_ros.settings import Settings
from stc_ros.synthetic import PROFILES
from stc_ros.synthetic.forms import NUMBERS, TYPES
from stc_ros.synthetic.questions import ask_about
from stc_ros.vision.cachers.incremental import SETTLE
from training.tiny import attention_losses
from training.tiny.architecture import IMAGE, TOKENS
from training.tiny.attention_losses import find_names, find_targets
from training.tiny.batches import choose_differences, choose_tokens, draw_batch
from training.tiny.clips import CENSUS, MOVES, ask_clip, label_clip, make_clip, record_clip
from training.tiny.frames import COLOUR_IDS, EMPTY, SHAPE_IDS, UNKNOWN, label_cells
from training.tiny.losses import score_answers, visible_from
from training.tiny.tokenizer import Coder

CODER = Coder()
WORDS = {i: word for word, i in CODER.ids.items()}


@pytest.fixture(scope='module')
def shard():
    """Three clips with random features, as a shard of training holds them."""
    rows = [make_clip(PROFILES[i], 100 + i, 8, CODER)[1] for i in range(3)]
    out = {key: torch.stack([torch.from_numpy(row[key]) for row in rows]) for key in rows[0]}
    features = torch.randn(3, 8, TOKENS, 192).bfloat16()
    return out | {'features': features, 'late': features.clone()}


def test_cells_are_labelled_with_the_object_at_their_pixels():
    clip = record_clip('busy', 5, 3)
    truth, ids = clip.truths[2], clip.ids[2]
    classes, offset = label_cells(ids, truth, 16, 10)
    side = IMAGE // 16
    for o in truth.visible:
        if not (0 <= o.x < 1 and 0 <= o.y < 1):
            continue
        cell = int(o.y * side) * side + int(o.x * side)
        rows, cols = divmod(cell, side)
        inside = ids[rows * 16 : rows * 16 + 16, cols * 16 : cols * 16 + 16]
        if (inside == o.id).sum() > 128:  # it fills most of its middle cell
            assert classes[cell].tolist()[:2] == [COLOUR_IDS[o.colour], SHAPE_IDS[o.shape]]
            middle = ((cols + 0.5) / side, (rows + 0.5) / side)
            assert middle[0] + offset[cell, 0] == pytest.approx(o.x, abs=1e-6)
            assert middle[1] + offset[cell, 1] == pytest.approx(o.y, abs=1e-6)
    empty = [c for c in range(side * side) if not ids[c // side * 16 :, c % side * 16 :][:16, :16].any()]
    assert empty and all(classes[c].tolist() == [EMPTY, UNKNOWN, UNKNOWN] for c in empty)


def test_a_clip_counts_its_frames_and_events_from_its_own_beginning():
    clips = [record_clip('busy', seed, 10) for seed in range(12)]
    for clip in clips:
        assert [truth.frame for truth in clip.truths] == list(range(10))
        assert all(0 <= e.frame < 10 for e in clip.events)
    assert any(clip.events for clip in clips)


def test_history_labels_say_what_each_object_does():
    clip = record_clip('busy', 11, 12)
    labels = label_clip(clip, CODER)
    checked = 0
    for t, truth in enumerate(clip.truths):
        for o in truth.visible:
            row = labels.rows.get(o.id)
            here = labels.main[t] == row
            checked += int(here.sum())
            assert (labels.history[0, t, here] == MOVES.index(o.moves)).all()
            assert all(WORDS[i] == o.colour for i in labels.words[0, t, here])
    assert checked > 20


def test_the_last_object_knows_how_many_there_are():
    checked = set()
    for seed in range(30):
        clip = record_clip(PROFILES[seed % 4], 200 + seed, 12)
        labels, draw = label_clip(clip, CODER), random.Random(seed)
        for t in (6, 11):
            census = labels.census[:, t]
            for q in ask_about(clip, t, draw, 12, types=['count']):
                kinds = {'count_all': 'objects', 'count_colour': 'colour', 'count_shape': 'shape',
                         'count_size': 'size', 'count_moving': 'moving'}  # fmt: skip
                rows = [labels.rows[i] for i in q.objects if i in labels.rows]
                if q.form not in kinds or not rows:
                    continue
                here = np.isin(labels.main[t], rows) & (census[0] >= 0)
                if here.any():
                    last = labels.main[t, np.flatnonzero(here)[-1]]
                    at = np.flatnonzero((labels.main[t] == last) & here)[-1]
                    number = int(census[CENSUS.index(kinds[q.form]), at])
                    checked.add((q.form, NUMBERS[number] == q.answer))
    assert {form for form, _ in checked} >= {'count_all', 'count_colour', 'count_shape', 'count_size'}
    assert all(right for _, right in checked), checked


@pytest.mark.parametrize('salient', [False, True])
def test_kept_tokens_are_ascending_and_as_many_in_every_frame(salient):
    features = torch.randn(2, 5, TOKENS, 8)
    index = choose_tokens(features, 0.3, salient, torch.Generator().manual_seed(1))
    assert (index.diff(dim=1) > 0).all()
    for row in index:
        assert torch.bincount(row // TOKENS, minlength=5).tolist() == [round(0.3 * TOKENS)] * 5


def test_all_tokens_of_the_frames_asked_about_can_be_kept():
    features, whole = torch.randn(2, 5, TOKENS, 8), torch.tensor([[1, 4], [0, 2]])
    index = choose_tokens(features, 0.3, True, torch.Generator().manual_seed(1), whole)
    for row, frames in zip(index, whole.tolist(), strict=True):
        count = torch.bincount(row // TOKENS, minlength=5).tolist()
        assert [n == TOKENS for n in count] == [t in frames for t in range(5)]
        assert sorted(set(count)) == [round(0.3 * TOKENS), TOKENS]


def test_salient_tokens_are_those_that_change():
    features = torch.zeros(1, 4, TOKENS, 8)
    features[:, 2:, 30] = 5.0
    index = choose_tokens(features, 1 / TOKENS, True, torch.Generator().manual_seed(1))
    assert index[0, 2] == 2 * TOKENS + 30


def rest_and_change():
    """Features of two clips: noise that stays but for one token in frame 9; and noise that is new in every frame."""
    draw = torch.Generator().manual_seed(4)
    still = torch.randn(1, TOKENS, 8, generator=draw).repeat(12, 1, 1)
    still[9:, 30] = torch.randn(8, generator=draw)
    return torch.stack([still, torch.randn(12, TOKENS, 8, generator=draw)])


def test_sent_as_differences_rest_is_mostly_silent_and_change_is_not():
    index = choose_differences(rest_and_change(), 0.33, torch.empty(2, 0, dtype=torch.long))
    assert (index.diff(dim=1) > 0).all()
    still, busy = (torch.bincount(row[row < 12 * TOKENS] // TOKENS, minlength=12).tolist() for row in index)
    stride = Settings()['cacher.incremental.static_frame_stride']
    assert still[0] == busy[0] == TOKENS and all(still[1 : SETTLE + 1])
    silent = [t for t in range(12) if not still[t]]
    assert silent[: stride - 1] == list(range(SETTLE + 1, SETTLE + stride))
    assert 9 * TOKENS + 30 in index[0]
    assert sum(busy[1:]) == 11 * RESTLESS * round(0.33 * TOKENS)


def test_sent_as_differences_the_frame_asked_about_is_whole_and_others_are_as_before():
    clips, moment = rest_and_change(), torch.tensor([[4], [11]])
    pruned, whole = (choose_differences(clips, 0.33, frames) for frames in (moment[:, :0], moment))
    for i, t in enumerate(moment[:, 0].tolist()):
        expected = set(pruned[i].tolist()) | set(range(t * TOKENS, (t + 1) * TOKENS))
        assert {n for n in whole[i].tolist() if n < 12 * TOKENS} == {n for n in expected if n < 12 * TOKENS}


def test_sent_as_differences_what_is_asked_at_the_whole_frame_comes_first(shard):
    batch = draw_batch(shard, torch.arange(3), 8, 1, 0.5, torch.Generator().manual_seed(1), differences=True)
    for b in range(3):
        count = torch.bincount(batch.frame[b])
        asked = torch.cat([group['moment'][b] for group in (*batch.asked, batch.narrated)]).tolist()
        now = max(set(asked), key=asked.count)
        assert count[now] == TOKENS and asked.count(now) >= 7
        assert 1 < (count == TOKENS).sum() < len(count)  # the first frame is sent whole, too


def test_filling_is_not_seen_and_nothing_is_known_of_it(shard):
    features = torch.stack([*rest_and_change()[:, :8], torch.randn(8, TOKENS, 8)]).repeat(1, 1, 1, 24)
    shard = shard | {'features': features.bfloat16(), 'late': features.bfloat16()}
    batch = draw_batch(shard, torch.arange(3), 8, 1, 0.33, torch.Generator(), differences=True)
    filling = batch.index >= 8 * TOKENS
    assert filling[0].any() and not filling[1].any()
    assert not batch.covered.any(1)[filling].any() and not batch.marks.any(1)[filling].any()
    assert (batch.words.amax(1)[filling] < 0).all() and (batch.history.amax(1)[filling] < 0).all()
    for group in (*batch.asked, batch.narrated):
        assert not visible_from(batch.frame, group['moment'], 0).any(1)[filling].any()


def test_a_batch_gathers_the_features_and_labels_of_the_kept_tokens(shard):
    batch = draw_batch(shard, torch.tensor([2, 0]), 10, 1, 0.4, torch.Generator().manual_seed(2))
    for b, clip in enumerate((2, 0)):
        flat = shard['features'][clip].flatten(0, 1)
        assert torch.equal(batch.features[b], flat[batch.index[b]])
        assert torch.equal(batch.covered[b], shard['covered'][clip].flatten(1)[:, batch.index[b]])
    assert sum(group['ids'].shape[1] for group in batch.asked) == 10
    short, long = (group['length'] for group in batch.asked)
    assert (short.amax(1) <= long.amin(1)).all()
    for group in batch.asked:
        texts = {tuple(row.tolist()) for row in shard['ids'][2]}
        for ids, length in zip(group['ids'][0], group['length'][0], strict=True):
            assert any(t[:length] == tuple(ids[:length].tolist()) for t in texts)
            assert ids[length - 1] == CODER.end


def test_a_question_should_look_at_its_object_in_the_evidence_frame(shard):
    batch = draw_batch(shard, torch.arange(3), 14, 0, 1.0, torch.Generator().manual_seed(3))
    for group in batch.asked:
        each, nothing = find_targets(batch, group)
        target = each.any(2)
        assert not (target.any(2) & nothing).any()
        found = target.any(2)
        assert found.float().mean() > 0.4
        newest = torch.where(target, batch.frame[:, None], -1).amax(2)
        assert (newest[found] <= group['moment'][found]).all()
        present = found & (group['type'] != TYPES.index('order'))
        assert (newest[present] <= group['evidence'][present]).all()


def test_every_word_narrated_points_at_its_object_and_every_comma_at_the_next(shard):
    batch = draw_batch(shard, torch.arange(3), 4, 1, 1.0, torch.Generator().manual_seed(5))
    narrated = batch.narrated
    names = find_names(batch, narrated)
    checked = 0
    for b, k, p in names.nonzero().tolist():
        row = int(narrated['object'][b, k, p])
        if row <= 0:
            continue
        assert (narrated['object'][b, k, p - 3 : p + 1] == row).all() or p < narrated['start'][b, k] + 4
        assert int(narrated['until'][b, k, p]) <= int(narrated['moment'][b, k])
        here = batch.covered[b, row] & (batch.words[b] >= 0).any(0)
        shapes = batch.words[b, 1, here].long()
        checked += 1
        assert (shapes == narrated['ids'][b, k, p]).float().mean() > 0.5  # others may cover a part of it
    assert checked > 5
    comma = CODER.ids[',']
    for b, k, p in ((narrated['ids'] == comma) & (narrated['object'] > 0)).nonzero().tolist():
        assert narrated['object'][b, k, p] == narrated['object'][b, k, p + 1]


def test_names_are_found_where_a_colour_and_a_shape_stand_together(shard):
    batch = draw_batch(shard, torch.arange(3), 14, 0, 1.0, torch.Generator().manual_seed(3))
    colours, shapes = ([WORDS[int(i)] for i in batch.words[:, n].unique() if i >= 0] for n in range(2))
    found = 0
    for group in batch.asked:
        names = find_names(batch, group)
        for b, k, p in names.nonzero().tolist():
            assert WORDS[int(group['ids'][b, k, p - 1])] in colours and WORDS[int(group['ids'][b, k, p])] in shapes
            found += 1
    assert found > 10


def test_a_piece_sees_no_frame_after_its_moment():
    frame = torch.tensor([[0, 0, 1, 2]])
    visible = visible_from(frame, torch.tensor([[0, 1, 2]]), head=1)
    assert visible[0].tolist() == [[True] * 3 + [False] * 2, [True] * 4 + [False], [True] * 5]


def test_only_a_wholly_right_answer_is_right():
    ids = torch.tensor([[[5, 6, 7, 3], [5, 8, 3, 0]]])
    pieces = {'ids': ids, 'start': torch.tensor([[1, 1]]), 'length': torch.tensor([[4, 3]])}
    logits = torch.nn.functional.one_hot(ids, 10).float() * 20
    logits[0, 1, 3] = 0  # beyond the answer
    loss, right = score_answers(logits, pieces)
    assert right.tolist() == [[True, True]] and loss < 1e-3
    logits[0, 0, 2] = torch.nn.functional.one_hot(torch.tensor(9), 10).float() * 20
    assert score_answers(logits, pieces)[1].tolist() == [[False, True]]


def test_questions_of_a_clip_are_the_same_again():
    clip = record_clip('patrol', 3, 9)
    labels = label_clip(clip, CODER)
    first, again = (ask_clip(clip, labels, CODER, random.Random(4)) for _ in range(2))
    assert all((first[key] == again[key]).all() for key in first)
    assert (first['moment'] >= 0).sum() > 20


def test_two_objects_taken_for_three_cost_far_more_than_attention_a_little_uneven():
    tokens, head, three = [0, 2, 4], 1, [[1, 2, 3, 0, 0, 0]]
    covered = torch.zeros(1, 6, 6, dtype=torch.bool)
    covered[0, [1, 2, 3], tokens] = True
    batch = SimpleNamespace(
        covered=covered,
        index=torch.arange(6)[None],
        frame=torch.zeros(1, 6, dtype=torch.long),
        marks=covered.any(1, keepdim=True),
    )
    asked = {
        'type': torch.tensor([[attention_losses.COUNT]]),
        'objects': torch.tensor([three]),
        'moment': torch.zeros(1, 1, dtype=torch.long),
        'evidence': torch.zeros(1, 1, dtype=torch.long),
        'start': torch.zeros(1, 1, dtype=torch.long),
    }

    def number(first: float, objects: list[float]) -> float:
        even, last = torch.zeros(1, 4, 1, 1, head + 6), torch.zeros(1, 4, 1, 1, head + 6)
        even[..., 0], last[..., head + tokens[-1]] = first, 1.0
        even[..., [head + t for t in tokens]] = torch.tensor(objects)
        seen = dict.fromkeys(attention_losses.LOOK_LAYERS, even) | {attention_losses.LOOK_LAYERS[-1]: last}
        return attention_losses.score_look(seen, batch, asked, head)[1].item()

    right, uneven = number(0.25, [0.25] * 3), number(0.25, [0.20, 0.30, 0.25])
    as_two = number(1 / 3, [2 / 9] * 3)  # the first token's share says two
    assert right == pytest.approx(0, abs=1e-3)
    assert as_two > 4 * uneven
