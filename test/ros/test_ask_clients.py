"""Many clients of one node: turns, deadlines from the arrival on, BUSY in no burst."""

import threading
import time

import pytest
from fake_stream import FakeStream
from rclpy.qos import QoSProfile
from robot import request, robot_fixture  # noqa: F401

from stc_ros.action import AskStream
from stc_ros.ros.ask import BUSY_S
from stc_ros.srv import Ask


@pytest.fixture
def watching(robot):
    """A watching node on a fake stream; `stream` is that."""
    stream = FakeStream()
    r = robot(lambda settings: stream).watch()
    r.stream = stream
    return r


def clients_of(ros, count, depth=10):
    clients = [ros.node.create_client(Ask, 'ask', qos_profile=QoSProfile(depth=depth)) for _ in range(count)]
    assert ros.spin_until(lambda: all(client.service_is_ready() for client in clients))
    return clients


def test_a_client_with_many_questions_does_not_hold_up_another(watching, ros):
    """Those of a client that was killed meanwhile neither."""
    from rclpy.action import ActionClient
    from robot import act

    greedy, modest = clients_of(ros, 2)
    release = watching.hold()
    many = [greedy.call_async(request(f'greedy {n}')) for n in range(6)]
    assert ros.spin_until(lambda: watching.node.open_questions == 6)
    one = modest.call_async(request('modest'))
    _, _, streamed, client = act(ros, 'streamed')
    assert isinstance(client, ActionClient) and ros.spin_until(lambda: watching.node.open_questions == 8)
    release.set()
    assert ros.spin_until(lambda: one.done() and streamed.done() and all(f.done() for f in many))
    order = [entry[1] for entry in watching.stream.log if entry[0] == 'ask']
    assert order[:3] == ['greedy 0', 'modest', 'streamed'] and order[3:] == [f'greedy {n}' for n in range(1, 6)]
    assert streamed.result().result.error_code == AskStream.Result.NONE
    client.destroy()


def test_a_deadline_counts_from_the_arrival_and_not_from_when_the_node_has_time_for_it(watching, ros):
    (client,) = clients_of(ros, 1)
    release, blocked, took = watching.hold(), threading.Event(), []

    def block():  # the executor, once
        if not blocked.is_set():
            blocked.set()
            time.sleep(1.0)

    watching.node.create_timer(0.01, block)
    assert blocked.wait(5)
    began = time.monotonic()
    asked = client.call_async(request(timeout=1.5))
    asked.add_done_callback(lambda _: took.append(time.monotonic() - began))
    assert ros.spin_until(lambda: took)
    release.set()
    assert asked.result().error_code == Ask.Response.TIMEOUT and took[0] < 2.0  # else 2.4


def test_a_budget_that_is_used_up_is_a_timeout_and_no_mistake(watching, ros):
    for timeout in (1e-9, 0.03, 0.099):
        began = time.monotonic()
        reply = watching.ask(timeout=timeout)
        assert reply.error_code == Ask.Response.TIMEOUT and 'left' in reply.error_msg, timeout
        assert time.monotonic() - began < 2


def test_busy_comes_neither_at_once_nor_in_a_burst(watching, ros):
    watching.set(**{'query.max_queue': 1})
    clients = clients_of(ros, 12)
    release, came = watching.hold(), []
    began = time.monotonic()
    asked = [client.call_async(request()) for client in clients]
    for each in asked:
        each.add_done_callback(lambda done: came.append((time.monotonic() - began, done.result().error_code)))
    assert ros.spin_until(lambda: len(came) == 11)
    assert {code for _, code in came} == {Ask.Response.BUSY}
    assert came[0][0] >= BUSY_S and came[-1][0] - came[0][0] >= 0.03
    release.set()
    assert ros.spin_until(lambda: len(came) == 12) and came[-1][1] == Ask.Response.NONE
