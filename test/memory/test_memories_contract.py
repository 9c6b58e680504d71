"""The rules that every registered memory keeps, whoever wrote it."""

import pytest
import torch
from worlds import moving_square

from stc_ros.memory.base import Limits
from stc_ros.models.random import random_model
from stc_ros.parameters import memories
from stc_ros.stream import open_stream

MIB, TOKENS, WIDTH = 1 << 20, 9, 48
CLOSE = {'atol': 1e-5, 'rtol': 1e-5}
pytestmark = pytest.mark.parametrize('name', memories.names())


@pytest.fixture(scope='module')
def model():
    return random_model()


@torch.inference_mode()
def make(model, name, tokens=60, budget=64 * MIB, batch=0):
    limits = Limits(tokens, budget, torch.float32, batch)
    return memories.create(name).create(model.decoder, model.chat.prefix(), limits)


def drawn(seed, count):
    return torch.randn(1, count, WIDTH, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def fill(memory, frames, first=0, static=()):
    """Frames of 9 tokens, of which some are pruned, at stamps that are their numbers; `static` ones have none."""
    for i in range(first, first + frames):
        if i in static:
            memory.advance(TOKENS, i)
        else:
            count = i * 5 % TOKENS + 1
            memory.add(drawn(i, count), torch.arange(TOKENS)[-count:], TOKENS, i)
    return memory


@torch.inference_mode()
def read(memory, seed=99, newest=None):
    """Hidden states of a question of four tokens, and of what is appended to it."""
    context = memory.open(drawn(seed, 4), newest)
    return torch.cat((context.hidden, context.run(drawn(seed + 1, 3)), context.run(drawn(seed + 2, 1))), 1)


def test_frames_are_kept_with_their_stamps_and_tokens_within_limits(model, name):
    memory = make(model, name, tokens=60)
    assert (memory.tokens, memory.tokens_waiting, len(memory.frames)) == (0, 0, 0)
    assert TOKENS <= memory.capacity <= 60 and memory.reserve > 0
    for i in range(80):
        fill(memory, 1, i, static=(20, 21, 50))
        stamps = [frame.stamp for frame in memory.frames]
        assert stamps == sorted(set(stamps)) and stamps[-1] == i and stamps[0] == memory.first_stamp(-1)
        assert 0 < memory.tokens <= memory.capacity and 0 < memory.bytes <= 64 * MIB


def test_a_frame_without_tokens_lets_time_pass_and_keeps_what_there_is(model, name):
    memory = fill(make(model, name, tokens=200), 4)
    tokens = memory.tokens
    fill(memory, 12, 4, static=range(4, 16))
    assert memory.tokens == tokens and memory.frames[-1].stamp == 15 and memory.first_stamp(-1) == 0


def test_a_question_may_come_before_any_token(model, name):
    memory = make(model, name)
    with torch.inference_mode():
        memory.advance(TOKENS, 7)
    assert memory.frames[-1].stamp == 7 and read(memory).shape == (1, 8, WIDTH)


def test_a_context_gives_hidden_states_that_depend_on_what_is_kept(model, name):
    one, two = fill(make(model, name), 4), fill(make(model, name), 4, first=1)
    assert read(one).shape == (1, 8, WIDTH) and torch.isfinite(read(one)).all()
    assert (read(one) - read(two)).abs().max() > 1e-3


def test_opening_and_running_leave_the_memory_as_it_was(model, name):
    asked, quiet = fill(make(model, name), 9), fill(make(model, name), 9)
    first = read(asked)
    assert torch.equal(read(asked), first)
    read(asked, newest=drawn(5, TOKENS))
    before = asked.tokens, [f.stamp for f in asked.frames]
    assert before == (quiet.tokens, [f.stamp for f in quiet.frames])
    torch.testing.assert_close(read(fill(asked, 3, 9)), read(fill(quiet, 3, 9)), **CLOSE)


@torch.inference_mode()
@pytest.mark.parametrize('newest', [None, 60], ids=['kept', 'whole'])
@pytest.mark.parametrize('batch', [0, 25])
def test_several_questions_in_one_pass_are_read_as_each_alone(model, name, newest, batch):
    memory = fill(make(model, name, batch=batch), 9, static=(8,))
    newest = None if newest is None else drawn(newest, TOKENS)
    asked = [drawn(70 + count, count) for count in (4, 1, 7)]
    parents = [-1, 0, 1, 2, -1, -1, *range(5, 11), 1, 12]  # the last two go on behind the first one's second token
    tokens = torch.cat((*asked, drawn(69, 2)), 1)
    together = memory.read_tree(tokens, parents, newest)
    assert together.shape == tokens.shape
    forked = torch.cat((asked[0][:, :2], tokens[:, -2:]), 1)
    alone = torch.cat([memory.open(embeddings, newest).hidden for embeddings in (*asked, forked)], 1)
    torch.testing.assert_close(together, torch.cat((alone[:, :12], alone[:, -2:]), 1), **CLOSE)
    memory.read_tree(tokens, parents)
    torch.testing.assert_close(read(memory), read(fill(make(model, name), 9, static=(8,))), **CLOSE)


@torch.inference_mode()
def test_a_context_does_not_see_what_comes_later(model, name):
    memory = fill(make(model, name), 6)
    expected = read(memory)
    context = memory.open(drawn(99, 4))
    fill(memory, 30, 6)
    later = torch.cat((context.hidden, context.run(drawn(100, 3)), context.run(drawn(101, 1))), 1)
    torch.testing.assert_close(later, expected, **CLOSE)


@torch.inference_mode()
def test_what_is_appended_in_pieces_equals_what_is_appended_at_once(model, name):
    memory, x = fill(make(model, name), 6), drawn(7, 5)
    whole, parts = memory.open(drawn(99, 4)), memory.open(drawn(99, 4))
    pieces = torch.cat([parts.run(x[:, i : i + 1]) for i in range(5)], 1)
    torch.testing.assert_close(whole.run(x), pieces, **CLOSE)


@torch.inference_mode()
def test_there_is_room_for_a_question_and_its_answer(model, name):
    memory = fill(make(model, name), 12)
    context = memory.open(drawn(1, memory.reserve // 2))
    for _ in range(memory.reserve - 1 - memory.reserve // 2):
        assert torch.isfinite(context.run(drawn(2, 1))).all()


def test_the_newest_frame_may_be_read_whole(model, name):
    """In place of what is kept of it: what that was does not matter, what the frame shows does."""
    kept, other = (fill(make(model, name), 5) for _ in range(2))
    with torch.inference_mode():
        for memory, seed in ((kept, 50), (other, 51)):
            memory.add(drawn(seed, 3), torch.tensor([1, 4, 5]), TOKENS, 5)
    newest = drawn(60, TOKENS)
    torch.testing.assert_close(read(kept, newest=newest), read(other, newest=newest), **CLOSE)
    assert (read(kept, newest=newest) - read(kept, newest=drawn(61, TOKENS))).abs().max() > 1e-3
    assert (read(kept, newest=newest) - read(kept)).abs().max() > 1e-3


def test_prefill_that_waits_changes_nothing_and_is_counted(model, name):
    at_once, waits = make(model, name), make(model, name, batch=25)
    most = 0
    for i in range(40):
        fill(at_once, 1, i, static=(8, 9)), fill(waits, 1, i, static=(8, 9))
        assert waits.tokens == at_once.tokens and at_once.tokens_waiting == 0 <= waits.tokens_waiting <= 25
        assert (waits.waiting_since(-1) == -1) == (waits.tokens_waiting == 0) and at_once.waiting_since(-1) == -1
        assert [f.stamp for f in waits.frames] == [f.stamp for f in at_once.frames]
        most = max(most, waits.tokens_waiting)
        if i % 7 == 3:
            torch.testing.assert_close(read(waits), read(at_once), **CLOSE)
    assert waits.bytes <= 64 * MIB and most <= 25
    fill(waits, 1, 40), fill(at_once, 1, 40)
    with torch.inference_mode():
        waits.prefill()
    assert waits.tokens_waiting == 0 and waits.waiting_since(-7) == -7
    torch.testing.assert_close(read(waits), read(at_once), **CLOSE)


@pytest.mark.parametrize('batch', [0, 25])
def test_clear_forgets_every_frame(model, name, batch):
    memory, fresh = (make(model, name, batch=batch) for _ in range(2))
    empty = memory.bytes
    fill(memory, 20)
    memory.clear()
    assert (memory.tokens, memory.tokens_waiting, len(memory.frames)) == (0, 0, 0) and memory.bytes == empty
    assert memory.first_stamp(-3) == -3 and memory.waiting_since(-4) == -4
    torch.testing.assert_close(read(fill(memory, 8, 3)), read(fill(fresh, 8, 3)), **CLOSE)


def test_two_streams_in_turn_do_not_know_of_each_other(model, name):
    one, two = make(model, name), make(model, name)
    for i in range(9):
        fill(one, 1, i), fill(two, 1, 30 + i)
    assert torch.equal(read(one), read(fill(make(model, name), 9)))
    assert torch.equal(read(two), read(fill(make(model, name), 9, 30)))


def test_an_endless_stream_stays_within_tokens_bytes_and_positions(model, name):
    memory = fill(make(model, name, tokens=40), 30)
    for i in range(30, 400):
        fill(memory, 1, i)
        assert memory.tokens <= 40 and memory.bytes <= 64 * MIB
    assert 400 * TOKENS > 5 * model.decoder.max_positions and torch.isfinite(read(memory)).all()


def test_the_limit_in_bytes_is_kept_and_a_hopeless_one_refused(model, name):
    memory = make(model, name, tokens=100_000, budget=MIB)
    for i in range(100):
        assert fill(memory, 1, i).bytes <= MIB
    with pytest.raises(ValueError):
        make(model, name, budget=100)


def test_a_stream_runs_with_it_and_answers(model, name):
    settings = {'memory': name, 'memory.max_tokens': 40, 'cacher': 'none', 'prune_ratio': 0.5}
    streams = [open_stream(model, {**settings, 'expert.overlap': overlap}) for overlap in (False, True)]
    said = []
    for stream in streams:
        for i, frame in enumerate(moving_square(12)):
            report = stream.see(frame, i)
            assert report.memory_tokens <= 40 and report.first_stamp <= i
        said.append(''.join(stream.ask('what is moving ?', 6)))
        stream.reset()
        assert stream.memory.tokens == 0
    assert said[0] and said[0] == said[1]
