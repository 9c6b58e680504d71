"""A model that fails or hangs: every question gets its reply, and the node goes back to work by itself."""

import threading
import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from fake_stream import FakeStream
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import ChangeState, GetState
from processes import wait_for
from robot import request, robot_fixture, wait  # noqa: F401

from stc_ros.engine.recovery import FAILED_IN_ROW
from stc_ros.ros import supervisor
from stc_ros.srv import Ask

LIMIT_S = 2.0


class Streams(list):
    """Fake streams in the order in which they were opened; `prepare` is called with each."""

    def __init__(self, prepare=lambda stream: None):
        super().__init__()
        self.prepare = prepare

    def __call__(self, settings):
        self.append(FakeStream())
        if len(self) == 1:
            self.prepare(self[0])
        return self[-1]


def hang(stream, held):
    """Its next frame does not end, but for `held`."""
    see = stream.see
    stream.see = lambda *frame: (held(), see(*frame))[1]


def answers_again(r, ros, streams, count):
    assert ros.spin_until(lambda: len(streams) == count and streams[-1].stamps), r.node.fault
    assert r.ask().error_code == Ask.Response.NONE and r.node.fault == '' and r.node.active


def test_after_the_workers_death_it_is_active_again_by_itself(robot, ros):
    streams = Streams()
    r = robot(streams).watch()
    streams[0].faults['piece'] = [SystemExit('killed')]
    reply = r.ask()
    assert reply.error_code == Ask.Response.MODEL_FAILURE and 'killed' in reply.error_msg
    answers_again(r, ros, streams, 2)


def test_without_autostart_a_dead_worker_leaves_it_unconfigured(robot, ros):
    streams = Streams()
    r = robot(streams, autostart=False)
    r.film()
    assert r.transition('configure') and r.transition('activate') and ros.spin_until(lambda: streams[0].stamps)
    streams[0].faults['piece'] = [SystemExit('killed')]
    assert 'killed' in r.ask().error_msg
    assert ros.spin_until(lambda: r.node.state == 'unconfigured')
    state = r.call(GetState, 'stc_stream/get_state', GetState.Request()).current_state
    assert state.id == State.PRIMARY_STATE_UNCONFIGURED
    began = time.monotonic()
    assert r.ask(timeout=10).error_code == Ask.Response.INACTIVE and time.monotonic() - began < 5
    wait(ros, 1.5)
    assert 'killed' in r.node.fault and len(streams) == 1
    assert r.transition('configure') and r.transition('activate')
    answers_again(r, ros, streams, 2)


def test_a_model_that_fails_at_every_frame_is_named_as_the_model_and_loaded_anew(robot, ros):
    def prepare(stream):
        stream.faults['see'] = [RuntimeError('no kernel')] * FAILED_IN_ROW

    streams = Streams(prepare)
    r = robot(streams)
    health = r.listen(DiagnosticArray, '/diagnostics')
    r.film(rate=4.0).until_active()
    assert ros.spin_until(lambda: any('no kernel' in array.status[1].message for array in health))
    broken = next(array for array in health if 'no kernel' in array.status[1].message)
    camera, values = broken.status[0], {pair.key: pair.value for pair in broken.status[0].values}
    assert camera.level == b'\x00' and int(values['received']) >= int(values['failed']) > 0 == int(values['invalid'])
    answers_again(r, ros, streams, 2)
    assert any('no kernel' in array.status[1].message and array.status[1].level == b'\x02' for array in health)


def test_a_turn_that_hangs_is_given_up_and_the_worker_replaced(robot, ros):
    def endless():
        while True:
            time.sleep(0.01)

    streams = Streams()
    r = robot(streams, **{'expert.turn_limit': LIMIT_S}).watch()
    began = time.monotonic()
    hang(streams[0], endless)
    old = r.node.worker
    assert ros.spin_until(lambda: old.busy_since and time.monotonic() - old.busy_since > 0.3)
    short = r.ask(timeout=0.5)
    reply = r.ask(timeout=20)
    assert short.error_code == Ask.Response.TIMEOUT
    assert reply.error_code == Ask.Response.MODEL_FAILURE and 'given up' in reply.error_msg
    assert time.monotonic() - began < LIMIT_S + 5
    answers_again(r, ros, streams, 2)
    assert old.join(2)


def test_a_call_that_never_returns_holds_up_no_transition_and_ends_the_process(robot, ros, monkeypatch):
    monkeypatch.setattr(supervisor, 'END_S', 0.5)
    held, ended = threading.Event(), []
    streams = Streams()
    r = robot(streams, **{'expert.turn_limit': LIMIT_S}).watch()
    r.node.supervisor.on_end = lambda: ended.append(r.node.supervisor.exit_code)
    hang(streams[0], held.wait)
    assert ros.spin_until(lambda: (busy := r.node.worker.busy_since) and time.monotonic() - busy > 0.3)
    client = r.client(Ask, 'ask')
    r.client(ChangeState, 'stc_stream/change_state')
    asked = client.call_async(request(timeout=10))
    assert ros.spin_until(lambda: r.node.open_questions)
    for label in ('deactivate', 'cleanup'):
        began = time.monotonic()
        assert r.transition(label)
        assert time.monotonic() - began < 1.5, label  # the executor's share of it: a second
    assert ros.spin_until(asked.done, 1) and asked.result().error_code == Ask.Response.SHUTDOWN
    assert ros.spin_until(lambda: ended, LIMIT_S + 5) and ended == [supervisor.EXIT_CODE]
    assert 'cannot be given up' in r.node.fault
    held.set()


def test_the_process_ends_with_its_code_when_a_call_never_returns(launch_process, toy, tmp_path, ros):
    (tmp_path / 'hanging.py').write_text("""
import sys, time
from stc_ros import stream
from stc_ros.ros.main import main

see = stream.Stream.see
stream.Stream.see = lambda self, frame, stamp: time.sleep(1000) if stamp > 10**9 else see(self, frame, stamp)
sys.exit(main())
""")
    arguments = ['-p', f'model:={toy}', '-p', 'memory.max_tokens:=90', '-p', f'expert.turn_limit:={LIMIT_S}']
    process = launch_process('hanging', '--ros-args', *arguments)
    wait_for(process, 'watching')
    from robot import Robot

    r = Robot.__new__(Robot)  # only its camera and clients: the node is in the process
    r.ros, r.clients, r.node = ros, {}, None
    r.film()
    reply = r.ask(timeout=1.0)
    assert reply.error_code in (Ask.Response.TIMEOUT, Ask.Response.NO_FRAMES)
    assert ros.spin_until(lambda: process.poll() is not None, 20)
    assert process.returncode == supervisor.EXIT_CODE
    log = process.log.read_text()
    assert 'hanging.py' in log and 'only a new process helps' in log and 'Traceback' not in log


def test_two_nodes_of_one_name_are_named(robot, ros):
    r = robot(Streams())
    health = r.listen(DiagnosticArray, '/diagnostics')
    r.until_active()
    assert ros.spin_until(lambda: health) and 'called' not in health[-1].status[1].message
    twin = rclpy.create_node('stc_stream', context=ros.context)
    assert ros.spin_until(lambda: '2 nodes are called /stc_stream' in health[-1].status[1].message)
    assert health[-1].status[1].level == b'\x01' and 'namespace' in health[-1].status[1].message
    twin.destroy_node()
    assert ros.spin_until(lambda: 'called' not in health[-1].status[1].message)
