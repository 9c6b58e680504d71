"""The examples run, and do what they say."""

import os
import re
import runpy
import shlex
import subprocess
import sys
import threading
import time

import pytest
from conftest import ROOT

EXAMPLES = ROOT / 'examples'


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """A model this small is slower on several, above all on a busy machine."""
    import torch

    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(name, monkeypatch, capsys, *arguments):
    """Run an example in this process -> what it printed, by line."""
    path = str(EXAMPLES / name)
    monkeypatch.setattr(sys, 'argv', [path, *arguments])
    runpy.run_path(path, run_name='__main__')
    return capsys.readouterr().out.splitlines()


def test_stream_in_15_lines(monkeypatch, capsys):
    code = (EXAMPLES / 'stream_in_15_lines.py').read_text().split('"""', 2)[2]
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 15
    *frames, answer = run('stream_in_15_lines.py', monkeypatch, capsys)
    assert len(frames) == 24 and answer.strip()
    first, *rest = [float(re.search(r'(\d+) of \d+ patches', line).group(1)) for line in frames]
    assert first > 0 and sum(rest) < len(rest) * first


def test_stream_in_15_lines_of_a_video(monkeypatch, capsys, tmp_path):
    import av
    from worlds import moving_square

    file = str(tmp_path / 'clip.mp4')
    with av.open(file, 'w') as video:
        stream = video.add_stream('mpeg4', rate=5)
        stream.width = stream.height = 48
        for frame in moving_square(6):
            video.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        video.mux(stream.encode())
    *frames, answer = run('stream_in_15_lines.py', monkeypatch, capsys, file)
    assert len(frames) == 6 and answer.strip()


def test_two_cameras(monkeypatch, capsys):
    said = run('two_cameras.py', monkeypatch, capsys)
    for camera in ('front', 'rear'):
        assert [line for line in said if re.match(rf'{camera}, \d.* s: \w', line)], said  # it narrates
        assert [line for line in said if re.match(rf'{camera}: \w.* \(16 frames\)', line)], said  # and answers


def test_watch_in_process(monkeypatch, capsys):
    said = run('watch_in_process.py', monkeypatch, capsys)
    happened = [line for line in said if re.match(r' *\d+\.\d\d s: ', line)]
    for condition in ('is there a triangle ?', 'how many objects are moving ? = zero'):
        changes = [line.split(condition)[1].split()[0] for line in happened if condition in line]
        assert changes and changes[0] == 'rising' and set(zip(changes, changes[1:])) <= {
            ('rising', 'falling'), ('falling', 'rising')
        }  # fmt: skip
        assert any(f'{condition} events: {len(changes)}' in line for line in said)


def test_my_pruner_by_the_command_of_its_readme():
    """On fewer streams."""
    text = (EXAMPLES / 'my_pruner' / 'README.md').read_text()
    folder, command = re.search(r'^ {4}PYTHONPATH=(\S+) ./dev run python (.*)', text, re.MULTILINE).groups()
    few = '--no-controls --dataset.synthetic.streams 1 --dataset.synthetic.profile static --dataset.synthetic.frames 8'
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join((folder, os.environ.get('PYTHONPATH', '')))}
    done = subprocess.run(
        [sys.executable, *shlex.split(f'{command} {few}')], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "'pruner.halves.step': 3" in done.stdout and re.search(r'^strict .*\n', done.stdout, re.MULTILINE)


@pytest.fixture
def planner(launch_process):
    return lambda *arguments: launch_process('examples.planner_client', *arguments)


def test_planner_client_goes_on_with_an_answer(ros, planner):
    from robot import Robot

    robot = Robot(ros)
    try:
        robot.watch()
        process = planner('what is moving ?', '20')
        assert ros.spin_until(lambda: process.poll() is not None, 60), process.log.read_text()
    finally:
        robot.close()
    assert process.returncode == 0 and 'go on: ' in process.log.read_text(), process.log.read_text()


@pytest.mark.parametrize(
    'replies, code, said',
    [
        ([('BUSY', 0.0), ('NONE', 0.1)], 0, 'go on: the answer'),
        ([('NONE', 30.0)], 1, 'has the camera stopped'),
        ([('TIMEOUT', 0.1)], 1, 'stop: nothing is known'),
        ([('NO_FRAMES', 0.0)] * 99, 1, 'NoFrames: NO_FRAMES'),
    ],
    ids=['busy', 'old', 'timeout', 'no frames'],
)
def test_planner_client_acts_on_the_error_code(ros, planner, replies, code, said):
    from stc_ros.srv import Ask

    def serve(request, response):
        error, response.frame_age = replies.pop(0)
        response.error_code = getattr(Ask.Response, error)
        response.error_msg, response.answer = error if response.error_code else '', 'the answer'
        assert request.question == 'what ?' and request.timeout.sec <= 2
        return response

    service = ros.node.create_service(Ask, 'ask', serve)
    process = planner('what ?', '2')
    assert ros.spin_until(lambda: process.poll() is not None, 30)
    ros.node.destroy_service(service)
    assert process.returncode == code and said in process.log.read_text(), process.log.read_text()


def test_a_condition_of_a_behaviour_tree_never_blocks_a_tick(ros):
    from fake_node import FakeNode, until

    from examples.behavior_condition import Condition, Status
    from stc_ros.client import Client

    node, held = FakeNode(ros), threading.Event()
    node.reply = lambda request: held.wait(10) and {'answer': 'Yes.'}
    try:
        with Client(ros.node) as robot:
            condition = Condition('door', robot, 'is it open ?', timeout=10)
            condition.setup()
            began = time.monotonic()
            assert {condition.tick_once() for _ in range(100)} == {Status.RUNNING} and time.monotonic() - began < 1
            held.set()
            assert until(lambda: condition.tick_once() is not Status.RUNNING)
            assert condition.status is Status.SUCCESS and condition.feedback_message == 'Yes.'
            assert len(node.asked) == 1, 'one run asks once'
            for reply, status in (
                ({'answer': 'no'}, 'FAILURE'),
                ({'answer': 'yesterday'}, 'FAILURE'),
                ({'answer': 'yes', 'frame_age': 5.0}, 'INVALID'),
                ({'error': 'MODEL_FAILURE'}, 'INVALID'),
            ):
                node.reply = lambda request, fields=reply: dict(fields)
                condition = Condition('door', robot, 'is it open ?', timeout=10, unknown='INVALID')
                assert until(lambda c=condition: c.tick_once() is not Status.RUNNING)
                assert condition.status is Status[status], reply
            held.clear()
            node.reply = lambda request: held.wait(10) and {}
            condition.tick_once()
            condition.stop(Status.FAILURE)
            assert condition._asked.cancelled()
    finally:
        held.set()
        node.close()


def test_the_cpp_client_names_what_the_service_has():
    code, service = (EXAMPLES / 'ask_client/ask_client.cpp').read_text(), (ROOT / 'srv/Ask.srv').read_text()
    fields = re.findall(r'(?:request|reply)->(\w+)', code) + re.findall(r'Response::(\w+)', code)
    assert {'question', 'timeout', 'error_code', 'answer', 'NONE'} <= set(fields)
    assert all(re.search(rf'^\S+ {name}\b', service, re.MULTILINE) for name in fields)
