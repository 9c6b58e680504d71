"""What a robot's day asks for: crowds, deadlines, cancellation, faults, looped time, many up-downs."""

import time

import pytest
from fake_stream import FakeStream
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import GetParameters
from rclpy.qos import QoSProfile
from robot import act, request, robot_fixture, toy_stream, wait  # noqa: F401
from rosgraph_msgs.msg import Clock

from stc_ros.action import AskStream
from stc_ros.msg import StreamStats
from stc_ros.srv import Ask


def fake(robot, **options):
    """A watching node on a fake stream, whose `faults` may be set."""
    stream = FakeStream(**options)
    r = robot(lambda settings: stream).watch()
    r.stream = stream
    return r


def test_sixteen_clients_at_once_get_exactly_one_reply_each(robot, ros):
    robot(**{'query.max_queue': 16}).watch()
    clients = [ros.node.create_client(Ask, 'ask') for _ in range(16)]
    assert ros.spin_until(lambda: all(c.service_is_ready() for c in clients))
    futures = [c.call_async(request(max_new_tokens=4)) for c in clients]
    replies = []
    for future in futures:
        future.add_done_callback(lambda done: replies.append(done.result()))
    assert ros.spin_until(lambda: len(replies) == 16)
    wait(ros, 0.3)
    assert [reply.error_code for reply in replies] == [Ask.Response.NONE] * 16


def test_beyond_the_queue_the_answer_is_busy_and_nobody_is_forgotten(robot, ros):
    r = fake(robot)
    r.set(**{'query.max_queue': 4})
    client = ros.node.create_client(Ask, 'ask', qos_profile=QoSProfile(depth=40))  # or it would lose replies itself
    assert ros.spin_until(client.service_is_ready)
    release = r.hold()  # nothing is answered until all have asked
    futures = [client.call_async(request()) for _ in range(40)]
    assert ros.spin_until(lambda: sum(f.done() for f in futures) == 36, 20)
    assert {f.result().error_code for f in futures if f.done()} == {Ask.Response.BUSY}
    release.set()
    assert ros.spin_until(lambda: all(f.done() for f in futures), 30)
    assert [f.result().error_code for f in futures].count(Ask.Response.NONE) == 4
    assert all(f.result().error_msg for f in futures if f.result().error_code)


def test_parameters_are_answered_while_an_answer_is_generated(robot, ros):
    r = fake(robot, words=10_000, token_s=0.02)
    pending = [r.client(Ask, 'ask').call_async(request(timeout=60)) for _ in range(5)]
    names = GetParameters.Request(names=['prune_ratio'])
    client = r.client(GetParameters, 'stc_stream/get_parameters')
    assert ros.spin_until(lambda: 'piece' in r.stream.names())
    took = []
    for _ in range(20):
        began = time.monotonic()
        future = client.call_async(names)
        while not future.done():
            ros.executor.spin_once(timeout_sec=0.005)
        took.append(time.monotonic() - began)
    assert not any(f.done() for f in pending)
    assert sorted(took)[10] < 0.1, f'median {sorted(took)[10] * 1e3:.0f} ms'


def test_a_deadline_is_kept_while_the_model_works_and_while_the_question_waits(robot, ros):
    r = fake(robot, words=10_000, token_s=0.01)
    client = r.client(Ask, 'ask')
    began = time.monotonic()
    took = {}
    futures = [client.call_async(request(timeout=t)) for t in (1.0, 1.5, 2.0)]
    for future, timeout in zip(futures, (1.0, 1.5, 2.0)):
        future.add_done_callback(lambda _, timeout=timeout: took.__setitem__(timeout, time.monotonic() - began))
    assert ros.spin_until(lambda: len(took) == 3)
    for timeout, future in zip(took, futures):
        assert future.result().error_code == Ask.Response.TIMEOUT and f'{timeout:g} s' in future.result().error_msg
        assert took[timeout] < timeout + 0.4  # until the machine has time for this side; an answer would take 100 s
    assert futures[0].result().answer.startswith('word1 word2') and not futures[0].result().finished
    assert futures[0].result().last_stamp.sec > 0


def test_a_deadline_is_kept_while_the_model_hangs(robot, ros):
    r = fake(robot)
    release = r.hold()
    began = time.monotonic()
    reply = r.ask(timeout=0.5)
    assert reply.error_code == Ask.Response.TIMEOUT and time.monotonic() - began < 2
    release.set()
    assert r.ask().error_code == Ask.Response.NONE


def test_a_deadline_is_kept_while_the_node_is_deactivated(robot, ros):
    """A frame takes longer than the question may: the transition must not hold up its reply."""
    r = fake(robot, see_s=4.0)
    client, took = r.client(Ask, 'ask'), []
    r.client(ChangeState, 'stc_stream/change_state')
    began = time.monotonic()
    asked = client.call_async(request(timeout=3.0))
    asked.add_done_callback(lambda _: took.append(time.monotonic() - began))
    assert ros.spin_until(lambda: r.node.open_questions)
    assert r.transition('deactivate') and ros.spin_until(lambda: took)
    assert took[0] < 3.0 and asked.result().error_code == Ask.Response.SHUTDOWN


def test_questions_leave_nothing_behind(robot, ros):
    r = fake(robot)
    left = []
    for _ in range(2):
        for _ in range(30):
            assert r.ask().error_code == Ask.Response.NONE
        left.append(len(r.node._ask_server._group.entities) + len(r.node.default_callback_group.entities))
    assert left[1] - left[0] < 10, 'a group never forgets what was in it'


def test_pending_questions_do_not_burn_a_core(robot, ros):
    r = fake(robot, words=100_000, token_s=0.2)
    r.stop_filming()
    client = ros.node.create_client(Ask, 'ask', qos_profile=QoSProfile(depth=20))
    assert ros.spin_until(client.service_is_ready)
    futures = [client.call_async(request(timeout=60)) for _ in range(20)]
    assert ros.spin_until(lambda: r.node.open_questions == 20)
    before = time.process_time()
    time.sleep(3)  # the test does not spin: what is burnt is the node's
    burnt = time.process_time() - before
    assert not any(f.done() for f in futures)
    assert burnt < 1.0, f'{burnt:.1f} s of CPU in 3 s'


def test_cancel_between_tokens(robot, ros):
    r = fake(robot, words=10_000, token_s=0.01)
    goal, feedback, done, client = act(ros)
    assert ros.spin_until(lambda: len(feedback) >= 3)
    goal.cancel_goal_async()
    assert ros.spin_until(done.done, 5)
    assert done.result().status == 5  # CANCELED
    result = done.result().result
    assert result.error_code == AskStream.Result.CANCELED and result.error_msg
    assert result.answer.startswith('word1 word2 word3')
    assert r.ask(max_new_tokens=1).error_code == Ask.Response.NONE
    client.destroy()


def test_cancel_while_it_waits(robot, ros):
    r = fake(robot, words=10_000, token_s=0.01)
    first, second = act(ros), act(ros, 'never asked')
    second[0].cancel_goal_async()
    assert ros.spin_until(second[2].done, 5)
    assert second[2].result().status == 5 and not second[1]
    assert not first[2].done()
    assert ('ask', 'never asked') not in r.stream.log
    first[0].cancel_goal_async()
    assert ros.spin_until(first[2].done, 5)
    first[3].destroy(), second[3].destroy()


@pytest.mark.parametrize(
    'fault, code', [(MemoryError('no memory'), 'OUT_OF_MEMORY'), (ValueError('NaN'), 'MODEL_FAILURE')]
)
def test_a_fault_costs_one_answer(robot, ros, fault, code):
    r = fake(robot)
    r.stream.faults['piece'] = [fault]
    reply = r.ask()
    assert reply.error_code == getattr(Ask.Response, code) and reply.error_msg and not reply.answer
    assert ros.spin_until(lambda: r.stream.stamps)
    assert r.ask().error_code == Ask.Response.NONE


def test_time_that_jumps_back_begins_anew(robot, ros):
    stream = FakeStream()
    r = robot(lambda settings: stream, use_sim_time=True).until_active()
    stats = r.listen(StreamStats, 'stc_stream/stats')
    clock = ros.node.create_publisher(Clock, '/clock', 1)
    now = [100.0]

    def tick():
        now[0] += 0.05
        message = Clock()
        message.clock.sec, message.clock.nanosec = int(now[0]), int(now[0] % 1 * 1e9)
        clock.publish(message)

    ros.node.create_timer(0.02, tick)
    assert ros.spin_until(lambda: r.node.now() > 101e9)
    r.film()
    assert ros.spin_until(lambda: stats)
    resets = r.session.resets
    r.stop_filming()
    now[0] = 10.0
    assert ros.spin_until(lambda: r.session.resets > resets)
    assert stream.stamps == [] and r.ask().error_code == Ask.Response.NO_FRAMES


def test_a_looped_bag_is_a_fresh_start(robot, ros):
    """The same pictures with the same stamps, played twice, give the same statistics twice."""
    import numpy as np
    from builtin_interfaces.msg import Time
    from robot import picture
    from sensor_msgs.msg import Image

    r = robot(**{'input.max_rate': 0.0}).until_active()
    stats = r.listen(StreamStats, 'stc_stream/stats', 50)
    camera = ros.node.create_publisher(Image, 'image', 10)
    assert ros.spin_until(camera.get_subscription_count)
    images = np.random.default_rng(1).integers(0, 255, (5, 24, 32, 3), np.uint8)
    for _ in range(2):
        for second, image in enumerate(images, 50):
            seen = len(stats)
            camera.publish(picture(image, Time(sec=second)))
            assert ros.spin_until(lambda: len(stats) > seen)  # noqa: B023
    facts = [
        (s.header.stamp.sec, s.frames_processed, s.patches_recomputed, s.visual_tokens_kept, s.memory_tokens)
        for s in stats
    ]
    assert facts[:5] == facts[5:] and facts[0][1] == 1


def test_a_callback_that_raises_does_not_end_the_node(robot, ros):
    r = fake(robot)
    r.node.create_timer(0.05, lambda: 1 / 0)
    wait(ros, 0.3)
    assert r.ask().error_code == Ask.Response.NONE
