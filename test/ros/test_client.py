"""`stc_ros.client` against a node of the test's own: each form of a call, from each place it may be called from."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import threading
import time

import pytest
from conftest import ROOT
from fake_node import FakeNode, until
from rclpy.executors import SingleThreadedExecutor

from stc_ros import client as planner
from stc_ros.action import AskStream
from stc_ros.client import Client
from stc_ros.client.errors import BY_CONSTANT


@pytest.fixture
def node(ros):
    one = FakeNode(ros)
    yield one
    one.close()


@pytest.fixture
def client(ros):
    """In the same context as the node: participants that have just met now and then need seconds to find each other."""
    with Client(ros.node) as one:
        yield one


def test_every_error_code_is_a_type_of_its_own_and_says_more_than_the_code():
    codes = set(re.findall(r'^uint16 (\w+) = [1-9]', (ROOT / 'srv/Ask.srv').read_text(), re.M))
    assert set(BY_CONSTANT) == codes and len(set(BY_CONSTANT.values())) == len(codes)


def test_ask_in_its_three_forms(node, client):
    node.reply = lambda request: {
        'answer': f'to {request.question}',
        'finished': True,
        'last_stamp': 9,
        'first_stamp': 4,
        'frame_age': 0.5,
    }
    answer = client.ask('a ?', camera='front', timeout=20, max_new_tokens=7)
    assert (answer.text, str(answer), answer.finished) == ('to a ?', 'to a ?', True)
    assert (answer.first_stamp, answer.last_stamp, answer.frame_age) == (4, 9, 0.5)
    (request,) = node.asked
    assert (request.camera, request.max_new_tokens) == ('front', 7)
    assert 10 < request.timeout.sec < 20, 'what discovery took is taken off the timeout'
    assert client.ask_later('b ?', timeout=5).result(5).text == 'to b ?'
    assert asyncio.run(client.ask_async('c ?', timeout=5)).text == 'to c ?'
    client.ask('d ?')
    assert node.asked[-1].timeout.sec == node.asked[-1].timeout.nanosec == 0, "without a timeout it is the node's"


def test_an_error_code_is_a_typed_error_with_the_nodes_words(node, client):
    for constant, kind in BY_CONSTANT.items():
        node.reply = lambda request, code=constant: {'error': code, 'answer': 'half an'}
        with pytest.raises(kind, match=f'{constant} it is') as error:
            client.ask('a ?', timeout=5)
        assert type(error.value) is kind and error.value.reply.text == 'half an'
        assert isinstance(error.value, TimeoutError) == (constant == 'TIMEOUT')


def test_no_reply_ends_at_the_deadline_and_leaves_nothing_behind(node, client):
    released = threading.Event()
    node.reply = lambda request: released.wait(10) and {}
    assert client.ask_later('warm', timeout=0.5).exception(5)  # discovery, so that the time below is the deadline's
    began = time.monotonic()
    with pytest.raises(planner.Timeout, match='no reply within 0.5 s.*longer timeout'):
        client.ask('a ?', timeout=0.5)
    assert 0.45 < time.monotonic() - began < 1.5
    with pytest.raises(planner.Timeout, match='less than 0.1 s was left'):
        client.ask('a ?', timeout=0.05)
    released.set()
    node.reply = lambda request: {'answer': f'to {request.question}'}
    assert client.ask('next ?', timeout=5).text == 'to next ?', 'a late reply is not that of the next question'


def test_retry_waits_for_what_passes_and_for_nothing_else(node, client):
    errors = ['BUSY', 'NO_FRAMES', 'INACTIVE', 'NONE']
    node.reply = lambda request: {'error': errors.pop(0)}
    client.ask('a ?', timeout=10, retry=True)
    assert not errors
    node.reply = lambda request: {'error': 'BUSY'}
    with pytest.raises(planner.Busy, match='query.max_queue'):
        client.ask('a ?', timeout=3.0, retry=True)
    few = len(node.asked)
    node.reply = lambda request: {'error': 'MODEL_FAILURE'}
    with pytest.raises(planner.ModelFailure):
        client.ask('a ?', timeout=5, retry=True)
    assert few < 4 + 42 and len(node.asked) == few + 1, 'it paces itself'


def test_without_a_node_it_says_what_to_do(ros, client):
    with pytest.raises(planner.NotFound, match=f'ROS_DOMAIN_ID={os.environ["ROS_DOMAIN_ID"]}. Start one'):
        client.ask('a ?', timeout=0.3)


def test_a_node_that_ends_is_noticed_without_a_timeout(ros, node, client):
    asked, held = threading.Event(), threading.Event()
    node.reply = lambda request: asked.set() or held.wait(10) and {}
    future = client.ask_later('a ?')
    assert asked.wait(10)
    node.node.destroy_service(node.service)
    with pytest.raises(planner.Gone, match='respawn'):
        future.result(10)
    held.set()


def test_it_may_be_called_from_a_callback_of_the_only_executor(ros, node):
    """A client on the node's own executor would wait for a reply that this very callback keeps from being read."""
    said, executor = [], SingleThreadedExecutor(context=ros.context)
    ros.executor.remove_node(ros.node)
    executor.add_node(ros.node)
    with Client(ros.node) as client:

        def act():
            timer.cancel()
            said.append(client.ask('a ?', timeout=5).text)
            said.extend(client.ask_stream('b ?', timeout=5))

        def stream(goal):
            goal.publish_feedback(AskStream.Feedback(text='b'))
            goal.succeed()
            return AskStream.Result(answer='b')

        node.act = stream
        timer = ros.node.create_timer(0.01, act)
        end = time.monotonic() + 15
        while len(said) < 2 and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    assert said == ['to a ?', 'b']


def test_a_nodes_namespace_and_remappings_are_the_clients(ros):
    import rclpy

    node = FakeNode(ros, namespace='/robot1')
    mine = rclpy.create_node(
        'mine', context=ros.context, namespace='/elsewhere', cli_args=['--ros-args', '-r', 'ask:=/robot1/ask']
    )
    try:
        with Client(mine) as client:
            assert client.ask('a ?', timeout=5).text == 'to a ?'
        with Client(namespace='robot1', arguments=[]) as client:
            assert client.ask('b ?', timeout=5).text == 'to b ?'
    finally:
        mine.destroy_node()
        node.close()


def test_many_questions_at_once_get_each_its_own_answer(node):
    """Of all clients: replies go to all of them, and each must keep its own until it is read."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(node.node)) for _ in range(8)]
        names = [f'{c} {i} ?' for i in range(20) for c in range(8)]
        futures = [clients[int(name[0])].ask_later(name, timeout=20) for name in names]
        assert [future.result(20).text for future in futures] == [f'to {name}' for name in names]


def pieces_of(*pieces, answer=None, pause=0.02):
    def act(goal):
        for piece in pieces:
            goal.publish_feedback(AskStream.Feedback(text=piece))
            time.sleep(pause)
        goal.succeed()
        return AskStream.Result(answer=''.join(pieces) if answer is None else answer, frames_processed=3)

    return act


def test_a_stream_gives_the_pieces_as_they_come_and_then_the_answer(node, client):
    node.act = pieces_of('a red', ' circle', pause=0.5)
    times = []
    stream = client.ask_stream('what ?', timeout=10)
    assert stream.answer is None
    assert [times.append(time.monotonic()) or piece for piece in stream] == ['a red', ' circle']
    assert times[1] - times[0] > 0.3, 'the first came before the last was there'
    assert stream.answer.text == 'a red circle' and stream.answer.frames_processed == 3 and not stream.gaps
    assert list(stream) == [], 'it has ended'

    async def read():
        return [piece async for piece in client.ask_stream('what ?', timeout=10)]

    assert asyncio.run(read()) == ['a red', ' circle']


def test_a_stream_with_lost_pieces_says_so_and_has_the_whole_answer(node, client):
    node.act = pieces_of('a ', 'cle', answer='a circle')
    stream = client.ask_stream('what ?', timeout=10)
    assert list(stream) == ['a ', 'cle'] and stream.gaps and stream.answer.text == 'a circle'
    node.act = pieces_of('a cir', answer='a circle')
    stream = client.ask_stream('what ?', timeout=10)
    assert ''.join(stream) == 'a circle' and not stream.gaps, 'the end came with the result only'


def until_canceled(goal):
    goal.publish_feedback(AskStream.Feedback(text='a'))
    if until(lambda: goal.is_cancel_requested, 10):
        goal.canceled()
    return AskStream.Result(answer='a', error_code=AskStream.Result.CANCELED, error_msg='canceled by the client')


@pytest.mark.parametrize('how', ['cancel', 'leave', 'async'])
def test_a_stream_that_is_left_is_canceled_at_the_node(node, client, how):
    node.act = until_canceled
    if how == 'cancel':
        stream = client.ask_stream('what ?', timeout=10)
        assert next(stream) == 'a'
        stream.cancel()
        with pytest.raises(planner.Canceled):
            next(stream)
    elif how == 'leave':
        with client.ask_stream('what ?', timeout=10) as stream:
            assert next(stream) == 'a'
    else:

        async def leave():
            async with client.ask_stream('what ?', timeout=10) as stream:
                async for _ in stream:
                    break

        asyncio.run(leave())
    assert node.canceled.wait(5)


def test_closing_ends_what_is_under_way(node):
    held = threading.Event()
    node.reply = lambda request: held.wait(10) and {}
    client = Client(node.node)
    future = client.ask_later('a ?', timeout=10)
    assert until(lambda: node.asked)
    began = time.monotonic()
    client.close()
    with pytest.raises(planner.Closed):
        future.result(5)
    with pytest.raises(planner.Closed):
        client.ask('b ?')
    with pytest.raises(planner.Closed):
        client.ask_stream('c ?')
    held.set()
    assert time.monotonic() - began < 5


def test_a_blocking_call_inside_a_callback_of_the_clients_own_is_refused(node, client):
    refused = []

    def ask_again(_):
        try:
            client.ask('b ?', timeout=1)
        except RuntimeError as error:
            refused.append(str(error))

    client.ask_later('a ?', timeout=5).add_done_callback(ask_again)
    assert until(lambda: refused) and 'ask_later' in refused[0]


def test_it_needs_neither_torch_nor_the_engine_and_a_script_ends_by_itself(node):
    code = (
        'import sys; from stc_ros.client import Client; c = Client(); print(c.ask("a ?", timeout=20)); '
        'bad = [m for m in sys.modules if m == "torch" or m.startswith("stc_ros.engine")]; print(bad)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == 'to a ?\n[]\n' and not done.stderr, (done.stdout, done.stderr)
