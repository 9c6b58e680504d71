"""The node as a process of its own: signals at every moment, and what it says when it cannot start."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import wait_for
from robot import request, wait

from stc_ros.msg import StreamStats
from stc_ros.srv import Ask

ROOT = Path(__file__).parents[2]


def start(launch_process, folder, *arguments):
    process = launch_process(
        'stc_ros.ros.main', '--ros-args', '-p', f'model:={folder}', '-p', 'memory.max_tokens:=90', *arguments
    )
    return process


def segments(process) -> set[Path]:
    """The shared memory of Fast DDS that a process has mapped, 68 MB as a rule."""
    maps = Path(f'/proc/{process.pid}/maps').read_text()
    return {Path('/dev/shm') / name for name in re.findall(r'/dev/shm/(fastdds_[0-9a-f]{16})', maps)}


def shared(file: Path) -> bool:
    """Whether another process has it mapped: that one's own, with which this one talked."""
    for maps in Path('/proc').glob('[0-9]*/maps'):
        with contextlib.suppress(OSError):  # it has ended
            if file.name in maps.read_text():
                return True
    return False


def end(process, number=signal.SIGINT):
    """Signal it; return how long it took to end."""
    mapped, began = segments(process), time.monotonic()
    process.send_signal(number)
    process.wait(20)
    took = time.monotonic() - began
    log = process.log.read_text()
    assert process.returncode == 0, log
    assert 'Traceback' not in log and 'terminate called' not in log, log
    assert not [file for file in mapped if file.exists() and not shared(file)]
    return took


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_model_is_loaded(launch_process, toy, number):
    process = start(launch_process, toy)
    wait_for(process, 'loading')
    assert end(process, number) < 3


def test_no_signal_is_lost_however_it_meets_the_wait(tmp_path):
    # A handler that sets an Event hangs here within a few hundred rounds.
    script = tmp_path / 'signals.py'
    script.write_text("""
import os, random, signal, sys, threading
from stc_ros.ros.main import catch_signals

def keep_busy():
    while True:
        sum(range(2000))

def kill():
    while True:
        go.acquire()
        for _ in range(random.randrange(300)):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

sys.setswitchinterval(5e-4)
go, signaled = threading.Semaphore(0), catch_signals()
for work in (keep_busy, kill):
    threading.Thread(target=work, daemon=True).start()
for _ in range(1000):
    go.release()
    os.read(signaled, 1)
os._exit(0)
""")
    subprocess.run([sys.executable, script], env={**os.environ, 'PYTHONPATH': str(ROOT)}, timeout=60, check=True)


def signals(process: Path, kind: str) -> set[int]:
    """The numbers in a mask of /proc/PID/status: SigBlk (blocked), SigCgt (caught)."""
    mask = int(re.search(rf'{kind}:\s*(\w+)', (process / 'status').read_text()).group(1), 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def test_a_signal_before_the_node_is_made_ends_it_at_once(launch_process, toy):
    process = start(launch_process, toy)
    while signal.SIGTERM not in signals(Path(f'/proc/{process.pid}'), 'SigCgt'):
        time.sleep(0.001)
    assert end(process, signal.SIGTERM) < 3
    assert process.log.read_text() == ''


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_it_watches_and_answers(launch_process, toy, ros, number):
    from robot import Robot

    process = start(launch_process, toy)
    wait_for(process, 'watching')
    r = Robot.__new__(Robot)  # only its clients and camera: the node is in the process
    r.ros, r.clients, r.node = ros, {}, None
    r.film()
    stats = r.listen(StreamStats, 'stc_stream/stats')
    assert ros.spin_until(lambda: stats)
    client = r.client(Ask, 'ask')
    wait(ros, 1.0)  # until the server has met the client, too
    futures = [client.call_async(request(max_new_tokens=200)) for _ in range(10)]
    wait(ros, 0.02)
    took = end(process, number)
    ros.spin_until(lambda: all(f.done() for f in futures), 2)
    codes = {f.result().error_code for f in futures if f.done()}
    assert took < 3 and codes <= {Ask.Response.NONE, Ask.Response.SHUTDOWN} and codes


def test_a_wrong_model_is_named_and_the_node_stays(launch_process, tmp_path):
    process = start(launch_process, tmp_path / 'nowhere')
    wait_for(process, 'there is no model folder')
    assert process.poll() is None
    assert end(process) < 3


def test_a_wrong_start_value_ends_the_process_with_a_sentence(launch_process):
    process = launch_process('stc_ros.ros.main', '--ros-args', '-p', 'prune_ratio:=5.0')
    assert process.wait(30) == 1
    log = process.log.read_text()
    assert 'prune_ratio' in log and '0.95' in log and 'Traceback' not in log
