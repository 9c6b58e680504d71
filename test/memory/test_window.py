"""The memory: chunks, eviction, positions, and answers that leave it alone."""

import random

import pytest
import torch

from stc_ros.memory.query_context import QueryContext
from stc_ros.memory.window import IDLE_FRAMES, SPARE, Window
from stc_ros.models.random import random_model, random_weights

GIB = 1 << 30
CLOSE = {'atol': 1e-5, 'rtol': 1e-5}


@pytest.fixture(scope='module')
def model():
    return random_model()


def window(model, tokens=200, budget=GIB, batch=0):
    with torch.inference_mode():
        return Window(model.decoder, model.chat.prefix(), tokens, budget, torch.float32, batch)


@torch.inference_mode()
def fill(memory, frames, width=48, tokens=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for i in range(frames):
        memory.add(torch.randn(1, tokens, width, generator=generator), torch.arange(tokens), tokens, i)
    return memory


@torch.inference_mode()
def test_keys_and_hidden_states_equal_transformers_own_forward(model):
    """Sinks, three frames and a question in five steps against one forward with the stock rotation and mask."""
    stock = random_weights()
    torch.manual_seed(1)
    frames = [torch.randn(1, 9, 48) for _ in range(3)]
    question = torch.randn(1, 6, 48)
    memory = window(model)
    for i, x in enumerate(frames):
        memory.add(x, torch.arange(9), 9, i)
    ours = QueryContext(memory).run(question)
    head = stock.model.language_model.embed_tokens(torch.tensor([model.chat.prefix()]))
    whole = stock.model.language_model(inputs_embeds=torch.cat((head, *frames, question), 1)).last_hidden_state
    torch.testing.assert_close(ours, whole[:, -6:], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_many_chunks_equal_one(model):
    torch.manual_seed(2)
    x = torch.randn(1, 12, 48)
    one, many = window(model), window(model)
    one.add(x, torch.arange(12), 12, 0)
    for start in range(0, 12, 3):
        many.add(x[:, start : start + 3], torch.arange(3), 3, 0)
    n = 12
    torch.testing.assert_close(one.keys[:, :, :, :n], many.keys[:, :, :, :n], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one.values[:, :, :, :n], many.values[:, :, :, :n], atol=1e-5, rtol=1e-5)
    question = torch.randn(1, 4, 48)
    torch.testing.assert_close(QueryContext(one).run(question), QueryContext(many).run(question), atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_a_question_in_pieces_equals_the_question_at_once(model):
    memory, question = fill(window(model), 3), torch.randn(1, 5, 48)
    once = QueryContext(memory).run(question)
    context = QueryContext(memory)
    pieces = torch.cat([context.run(question[:, i : i + 1]) for i in range(5)], 1)
    torch.testing.assert_close(once, pieces, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_pruned_tokens_keep_their_positions(model):
    """Two of nine tokens kept equals the stock model at their positions."""
    stock, memory = random_weights(), window(model)
    torch.manual_seed(3)
    x, y, q = torch.randn(1, 2, 48), torch.randn(1, 9, 48), torch.randn(1, 2, 48)
    memory.add(x, torch.tensor([2, 7]), 9, 0)
    memory.add(y, torch.arange(9), 9, 1)
    ours = QueryContext(memory).run(q)
    h = memory.sinks
    head = stock.model.language_model.embed_tokens(torch.tensor([model.chat.prefix()]))
    positions = torch.tensor([[*range(h), h + 2, h + 7, *range(h + 9, h + 20)]])
    stock.model.language_model.config._attn_implementation = 'eager'
    whole = stock.model.language_model(inputs_embeds=torch.cat((head, x, y, q), 1), position_ids=positions)
    torch.testing.assert_close(ours, whole.last_hidden_state[:, -2:], atol=1e-5, rtol=1e-5)


def test_old_frames_leave_and_positions_stay_in_range_however_long_the_stream(model):
    memory = window(model, tokens=50)
    keys = memory.keys.data_ptr()
    for i in range(700):
        fill_one(memory, i, kept=(i * 5) % 9 + 1)
        assert memory.tokens == sum(f.tokens for f in memory.frames) <= 50 and memory.end <= memory.position_limit
        assert memory.tokens_waiting == 0 and memory.stored - memory.front <= memory.keys.shape[3]
        assert memory.end == memory.next_position - memory.frames[0].start + memory.sinks
        assert [f.stamp for f in memory.frames] == list(range(i + 1 - len(memory.frames), i + 1))
    assert memory.next_position > model.decoder.max_positions * 10
    assert memory.keys.data_ptr() == keys


@torch.inference_mode()
def fill_one(memory, stamp, kept):
    memory.add(torch.randn(1, kept, 48), torch.arange(9)[:kept], 9, stamp)


@torch.inference_mode()
def test_moving_what_is_kept_to_the_front_changes_nothing(model):
    """A narrow buffer, moved to its front again and again, and one so wide that it never is."""
    narrow, wide = window(model, tokens=40), window(model, tokens=40)
    wide.keys, wide.values = (t.new_zeros(*t.shape[:3], 1000, t.shape[4]) for t in (wide.keys, wide.values))
    for memory in (narrow, wide):
        generator = torch.Generator().manual_seed(5)
        for i in range(80):
            memory.add(torch.randn(1, i % 8 + 1, 48, generator=generator), torch.arange(i % 8 + 1), 9, i)
    assert wide.front == 0 < narrow.front
    question = torch.randn(1, 3, 48)
    assert torch.equal(QueryContext(narrow).run(question), QueryContext(wide).run(question))


def test_positions_limit_the_window_where_tokens_do_not(model):
    memory = window(model, tokens=10_000)
    for i in range(100):
        fill_one(memory, i, kept=i % 3)
    assert memory.end <= memory.position_limit < memory.end + 9 and memory.tokens < 40 < memory.capacity


# -- waiting -----------------------------------------------------------------------------------------------------------


@torch.inference_mode()
@pytest.mark.parametrize('seed', range(5))
def test_frames_in_one_pass_equal_frame_by_frame(model, seed):
    """Random frames, batches, questions, static frames, resets; frames are evicted, in the midst of a batch too."""
    draw = random.Random(seed)
    tokens = draw.choice((20, 40, 90))
    one, many = window(model, tokens), window(model, tokens, batch=draw.choice((5, 20, tokens)))
    waited = evicted_while_waiting = 0
    for i in range(120):
        kind, count = draw.random(), draw.randint(1, 9)
        x, offsets = torch.randn(1, count, 48), torch.tensor(sorted(draw.sample(range(9), count)))
        before = many.frames[0] if many.frames else None
        for memory in (one, many):
            if kind < 0.1:
                memory.advance(9, i)
            elif kind < 0.12:
                memory.clear()
            else:
                memory.add(x, offsets, 9, i)
        assert one.frames == many.frames and many.tokens_waiting <= many.batch and one.tokens_waiting == 0
        waited = max(waited, len(many.waiting))
        evicted_while_waiting += bool(many.waiting) and before is not None and many.frames[0] is not before
        if kind > 0.85 and many.frames:
            question, newest = torch.randn(1, 5, 48), torch.randn(1, 9, 48) if kind > 0.93 else None
            theirs, ours = QueryContext(one, question, newest), QueryContext(many, question, newest)
            torch.testing.assert_close(ours.hidden, theirs.hidden, **CLOSE)
            torch.testing.assert_close(ours.run(question[:, :1]), theirs.run(question[:, :1]), **CLOSE)
    assert waited > 1 and evicted_while_waiting
    many.prefill()
    kept = [m.keys[:, :, :, m.stored - m.front - m.tokens : m.stored - m.front] for m in (one, many)]
    torch.testing.assert_close(*kept, **CLOSE)
    assert kept[0].shape[3] == one.tokens


@torch.inference_mode()
def test_the_question_runs_in_one_pass_with_what_waits(model, monkeypatch):
    memory = fill(window(model, batch=60), 6)
    passes, run = [], model.decoder.run
    monkeypatch.setattr(model.decoder, 'run', lambda x, *given: passes.append(x.shape[1]) or run(x, *given))
    assert memory.tokens_waiting == 54 and memory.waiting_since(9) == 0
    context = QueryContext(memory, torch.randn(1, 5, 48))
    assert passes == [59] and context.hidden.shape[1] == 5
    assert memory.tokens_waiting == 0 and memory.tokens == 54 and memory.waiting_since(9) == 9
    assert QueryContext(memory).hidden.shape[1] == 0 and passes == [59]


def test_what_waits_is_bounded_and_counted(model):
    memory, most = window(model, tokens=80, batch=20), 0
    empty = memory.bytes
    for i in range(50):
        fill_one(memory, i, kept=i % 9 + 1)
        most = max(most, memory.tokens_waiting)
        assert memory.bytes == empty + memory.tokens_waiting * 48 * 4
    assert 9 < most <= 20
    memory.clear()
    assert memory.bytes == empty and memory.tokens_waiting == 0


@torch.inference_mode()
def test_a_question_asked_before_anything_was_kept(model):
    memory, question = window(model), torch.randn(1, 4, 48)
    memory.advance(9, 0)
    torch.testing.assert_close(QueryContext(memory, question).hidden, QueryContext(memory).run(question), **CLOSE)


@torch.inference_mode()
def test_where_in_the_stream_it_happens_does_not_matter(model):
    """Only differences of positions count, so the range in which the model was trained holds at any time."""
    question, answers = torch.randn(1, 3, 48), []
    for elapsed in (0, 10_000_019):
        memory = window(model, tokens=40)
        memory.next_position += elapsed
        answers.append(QueryContext(fill(memory, 9, tokens=7)).run(question))
    assert memory.next_position > 10_000_000
    torch.testing.assert_close(*answers, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_a_context_does_not_see_later_frames(model):
    memory = fill(window(model, tokens=30), 3)
    question = torch.randn(1, 3, 48)
    expected = QueryContext(memory).run(question)
    context = QueryContext(memory)
    fill(memory, 6, seed=9)
    torch.testing.assert_close(context.run(question), expected)


def test_the_budget_in_bytes_is_kept_and_a_hopeless_one_refused(model):
    memory = window(model, tokens=10_000, budget=200_000)
    context = QueryContext(fill(memory, 40))
    held = (memory.keys, memory.values, memory.sink_keys, memory.sink_values)
    assert memory.bytes == sum(t.nbytes for t in held)
    assert 150_000 < memory.bytes + context.keys.nbytes + context.values.nbytes <= 200_000
    assert memory.capacity // SPARE <= memory.spare
    with pytest.raises(ValueError, match='memory.max_mib'):
        window(model, budget=1000)


def test_a_frame_larger_than_the_window_is_refused(model):
    memory = window(model, tokens=8)
    with pytest.raises(ValueError, match='memory.max_tokens'):
        fill(memory, 1)
    assert memory.tokens == 0


@torch.inference_mode()
def test_clear_forgets_frames_and_keeps_the_sinks(model):
    memory = fill(window(model, tokens=30), 9)
    fresh = window(model, tokens=30)
    memory.clear()
    fill(memory, 2, seed=4), fill(fresh, 2, seed=4)
    question = torch.randn(1, 2, 48)
    torch.testing.assert_close(QueryContext(memory).run(question), QueryContext(fresh).run(question))


@torch.inference_mode()
@pytest.mark.parametrize(('frames', 'idle'), [(3, 0), (9, 0), (3, 1), (3, 9)], ids=str)
def test_the_newest_frame_read_whole_equals_a_window_that_keeps_it_whole(model, frames, idle):
    """Also after the ring has gone round, and where static frames end with the picture they began with."""
    torch.manual_seed(7)
    newest, question = torch.randn(1, 9, 48), torch.randn(1, 4, 48)
    kept = torch.tensor([1, 4, 5])
    pruned, whole = (fill(window(model, tokens=51), frames, tokens=7) for _ in range(2))
    if idle:
        pruned.add(newest[:, kept], kept, 9, frames)
        whole.add(newest[:, kept], kept, 9, frames)
        for i in range(idle):
            pruned.advance(9, frames + 1 + i)
        whole.advance(9 * (min(idle, IDLE_FRAMES) - 1), frames + 1)
    else:
        pruned.add(newest[:, kept], kept, 9, frames)
    whole.add(newest, torch.arange(9), 9, frames + 2)
    context = QueryContext(pruned, newest=newest)
    torch.testing.assert_close(context.run(question), QueryContext(whole).run(question), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        context.run(question), QueryContext(whole).run(torch.cat((question, question), 1))[:, 4:], atol=1e-5, rtol=1e-5
    )
