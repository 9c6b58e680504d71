"""The memory: chunks, eviction, positions, and answers that leave it alone."""

import pytest
import torch

from stc_ros.memory.window import IDLE_FRAMES, Recall, Window
from stc_ros.models.random import random_model, random_weights

GIB = 1 << 30


@pytest.fixture(scope='module')
def model():
    return random_model()


def window(model, tokens=200, budget=GIB):
    with torch.inference_mode():
        return Window(model.decoder, model.words.head(), tokens, budget, torch.float32)


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
    ours = Recall(memory).run(question)
    head = stock.model.language_model.embed_tokens(torch.tensor([model.words.head()]))
    whole = stock.model.language_model(inputs_embeds=torch.cat((head, *frames, question), 1)).last_hidden_state
    torch.testing.assert_close(ours, whole[:, -6:], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_many_chunks_equal_one(model):
    torch.manual_seed(2)
    x = torch.randn(1, 12, 48)
    one, many = window(model), window(model)
    one.add(x, torch.arange(12), 12, 0)
    for start in range(0, 12, 3):
        many.add(x[:, start:start + 3], torch.arange(3), 3, 0)
    n = one.sinks + 12
    torch.testing.assert_close(one.keys[:, :, :, :n], many.keys[:, :, :, :n], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one.values[:, :, :, :n], many.values[:, :, :, :n], atol=1e-5, rtol=1e-5)
    question = torch.randn(1, 4, 48)
    torch.testing.assert_close(Recall(one).run(question), Recall(many).run(question), atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_a_question_in_pieces_equals_the_question_at_once(model):
    memory, torch_question = fill(window(model), 3), torch.randn(1, 5, 48)
    once = Recall(memory).run(torch_question)
    recall = Recall(memory)
    pieces = torch.cat([recall.run(torch_question[:, i:i + 1]) for i in range(5)], 1)
    torch.testing.assert_close(once, pieces, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_pruned_tokens_keep_their_positions(model):
    """Two of nine tokens kept equals the stock model told their positions."""
    stock, memory = random_weights(), window(model)
    torch.manual_seed(3)
    x, y, q = torch.randn(1, 2, 48), torch.randn(1, 9, 48), torch.randn(1, 2, 48)
    memory.add(x, torch.tensor([2, 7]), 9, 0)
    memory.add(y, torch.arange(9), 9, 1)
    ours = Recall(memory).run(q)
    h = memory.sinks
    head = stock.model.language_model.embed_tokens(torch.tensor([model.words.head()]))
    positions = torch.tensor([[*range(h), h + 2, h + 7, *range(h + 9, h + 20)]])
    stock.model.language_model.config._attn_implementation = 'eager'
    whole = stock.model.language_model(inputs_embeds=torch.cat((head, x, y, q), 1), position_ids=positions)
    torch.testing.assert_close(ours, whole.last_hidden_state[:, -2:], atol=1e-5, rtol=1e-5)


def test_old_frames_leave_and_positions_stay_in_range_however_long_the_stream(model):
    memory = window(model, tokens=50)
    keys = memory.keys.data_ptr()
    for i in range(700):
        fill_one(memory, i, kept=(i * 5) % 9 + 1)
        assert memory.tokens <= 50 and memory.end <= memory.position_limit
        places = memory.places[memory.order()]
        assert torch.equal(places, places.sort().values) and places[-1] < memory.next_place
        assert memory.next_place - places[0] == memory.end
        assert [f.stamp for f in memory.frames] == list(range(i + 1 - len(memory.frames), i + 1))
    assert memory.next_place > model.decoder.max_positions * 10
    assert memory.keys.data_ptr() == keys and memory.filled.sum() == memory.sinks + memory.tokens


@torch.inference_mode()
def fill_one(memory, stamp, kept):
    memory.add(torch.randn(1, kept, 48), torch.arange(9)[:kept], 9, stamp)


def test_positions_limit_the_window_where_tokens_do_not(model):
    """Attention reads hardly more slots than are kept, and the answer is that of a window that never moved them."""
    memory, fixed = window(model, tokens=10_000), window(model, tokens=10_000)
    fixed._move_to_front = lambda: None
    for i in range(100):
        torch.manual_seed(i)
        fill_one(memory, i, kept=i % 3)
        torch.manual_seed(i)
        fill_one(fixed, i, kept=i % 3)
        assert memory.used - memory.sinks <= 2 * memory.tokens + 4
    assert memory.end <= memory.position_limit < memory.end + 9 and memory.tokens < 40 < fixed.used - fixed.sinks
    question = torch.randn(1, 3, 48)
    with torch.inference_mode():
        torch.testing.assert_close(Recall(memory).run(question), Recall(fixed).run(question), atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_what_remains_in_the_ring_is_what_was_written(model):
    """After the ring has gone round, an answer equals that of a copy whose slots stand in order."""
    memory = fill(window(model, tokens=40), 9, tokens=7)
    question = torch.randn(1, 3, 48)
    order = memory.order()
    assert not torch.equal(order, order.sort().values)          # it has gone round
    straight = window(model, tokens=40)
    n = len(order)
    straight.keys[:, :, :, :n] = memory.keys[:, :, :, order]
    straight.values[:, :, :, :n] = memory.values[:, :, :, order]
    straight.places[:n], straight.filled[:n] = memory.places[order], True
    straight.frames, straight.next_place = memory.frames.copy(), memory.next_place
    straight.next_slot = straight.used = n
    torch.testing.assert_close(Recall(memory).run(question), Recall(straight).run(question), atol=1e-6, rtol=1e-6)


@torch.inference_mode()
def test_where_in_the_stream_it_happens_does_not_matter(model):
    """Only differences of places count, so the range in which the model was trained holds at any time."""
    question, answers = torch.randn(1, 3, 48), []
    for elapsed in (0, 10_000_019):
        memory = window(model, tokens=40)
        memory.next_place += elapsed
        answers.append(Recall(fill(memory, 9, tokens=7)).run(question))
    assert memory.next_place > 10_000_000 and memory.places[0] > 10_000_000
    torch.testing.assert_close(*answers, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_a_recall_does_not_see_later_frames(model):
    memory = fill(window(model, tokens=30), 3)
    question = torch.randn(1, 3, 48)
    expected = Recall(memory).run(question)
    recall = Recall(memory)
    fill(memory, 6, seed=9)
    torch.testing.assert_close(recall.run(question), expected)


def test_the_budget_in_bytes_is_kept_and_a_hopeless_one_refused(model):
    memory = window(model, tokens=10_000, budget=200_000)
    recall = Recall(fill(memory, 40))
    used = sum(t.numel() * t.element_size() for t in (memory.keys, memory.values, recall.keys, recall.values))
    assert used <= 200_000 and memory.bytes == memory.keys.numel() * 4 * 2
    with pytest.raises(ValueError, match='memory_mib'):
        window(model, budget=1000)


def test_a_frame_larger_than_the_window_is_refused(model):
    memory = window(model, tokens=8)
    with pytest.raises(ValueError, match='memory_tokens'):
        fill(memory, 1)
    assert memory.tokens == 0


@torch.inference_mode()
def test_clear_forgets_frames_and_keeps_the_sinks(model):
    memory = fill(window(model, tokens=30), 9)
    fresh = window(model, tokens=30)
    memory.clear()
    fill(memory, 2, seed=4), fill(fresh, 2, seed=4)
    question = torch.randn(1, 2, 48)
    torch.testing.assert_close(Recall(memory).run(question), Recall(fresh).run(question))


@torch.inference_mode()
@pytest.mark.parametrize(('frames', 'idle'), [(3, 0), (9, 0), (3, 1), (3, 9)], ids=str)
def test_the_newest_frame_read_whole_equals_a_window_that_keeps_it_whole(model, frames, idle):
    """Also after the ring has gone round, and where a standstill ends with the picture it began with."""
    torch.manual_seed(7)
    newest, question = torch.randn(1, 9, 48), torch.randn(1, 4, 48)
    kept = torch.tensor([1, 4, 5])
    pruned, whole = (fill(window(model, tokens=51), frames, tokens=7) for _ in range(2))
    if idle:
        pruned.add(newest[:, kept], kept, 9, frames)
        whole.add(newest[:, kept], kept, 9, frames)
        for i in range(idle):
            pruned.pass_time(9, frames + 1 + i)
        whole.pass_time(9 * (min(idle, IDLE_FRAMES) - 1), frames + 1)
    else:
        pruned.add(newest[:, kept], kept, 9, frames)
    whole.add(newest, torch.arange(9), 9, frames + 2)
    recall = Recall(pruned, newest)
    torch.testing.assert_close(recall.run(question), Recall(whole).run(question), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(recall.run(question), Recall(whole).run(torch.cat((question, question), 1))[:, 4:],
                               atol=1e-5, rtol=1e-5)
