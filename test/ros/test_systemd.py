"""What systemd is told, by a real socket, and that its unit can be read."""

import shutil
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from stc_ros.ros.supervisor import Supervisor
from stc_ros.ros.systemd import tell

DOCKER = Path(__file__).parents[2] / 'docker'


def listener(monkeypatch, address):
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(address.replace('@', '\0', 1))
    heard.settimeout(1)
    monkeypatch.setenv('NOTIFY_SOCKET', address)
    return heard


@pytest.mark.parametrize('kind', ['path', 'abstract'])
def test_systemd_hears_it(monkeypatch, tmp_path, kind):
    address = str(tmp_path / 'notify') if kind == 'path' else f'@stc-{tmp_path.name}'
    with listener(monkeypatch, address) as heard:
        assert tell('READY=1') and heard.recv(99) == b'READY=1'


def test_without_systemd_nothing_happens(monkeypatch, tmp_path):
    monkeypatch.delenv('NOTIFY_SOCKET', raising=False)
    assert not tell('READY=1')
    monkeypatch.setenv('NOTIFY_SOCKET', str(tmp_path / 'gone'))
    assert not tell('READY=1')


def test_a_turn_that_hangs_is_not_reported_as_life(monkeypatch, tmp_path):
    worker = SimpleNamespace(alive=True, busy_since=None)
    node = SimpleNamespace(active=True, state='active', worker=worker, settings={'expert.turn_limit': 60.0})
    supervisor, replaced = Supervisor(node), []
    supervisor._replace = replaced.append
    with listener(monkeypatch, str(tmp_path / 'notify')) as heard:
        supervisor.look()
        assert heard.recv(99) == b'WATCHDOG=1'
        worker.busy_since = 0.0  # by the monotonic clock: since the machine was started
        node.settings['expert.turn_limit'] = 1e-9
        supervisor.look()
        heard.settimeout(0.1)
        with pytest.raises(TimeoutError):
            heard.recv(99)
        assert replaced == [worker]


def test_the_unit_is_one():
    unit = DOCKER / 'stc_ros.service'
    lines = [line for line in unit.read_text().splitlines() if line and not line.startswith('#')]
    assert all(line.startswith('[') or '=' in line for line in lines)
    assert {'Type=notify', 'Restart=on-failure', 'WatchdogSec=30'} <= set(lines)
    if shutil.which('systemd-analyze'):
        said = subprocess.run(['systemd-analyze', 'verify', unit], capture_output=True, text=True)
        assert 'Unknown' not in said.stderr and 'Failed to parse' not in said.stderr


@pytest.mark.parametrize('file', sorted(DOCKER.glob('*.Dockerfile')), ids=lambda f: f.name)
def test_a_dockerfile_copies_what_there_is(file):
    for line in file.read_text().splitlines():
        if line.startswith('COPY '):
            for source in line.split()[1:-1]:
                assert (DOCKER.parent / source).exists(), line
