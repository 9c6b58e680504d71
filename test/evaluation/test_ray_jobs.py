"""Runs on a Ray cluster: what workers do, with a Ray of the test's own, and once with a real one, a worker killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ROOT
from evaluation.fake_bag import FakeModel, open_seen
from small_bags import TOPIC, make, the_file

from stc_ros.evaluation.evaluate import InputError, Job, run_job, size
from stc_ros.evaluation.questions import read_questions
from stc_ros.evaluation.ray_jobs import Outcome, digest_of_sources, evaluate_there, run_jobs_on_ray
from stc_ros.settings import Settings

QUESTIONS = 'questions:\n  - {at: 0.3, question: what is there, expect: {contains: circle}}\n'


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """Two jobs on one bag, in a folder that is the working one, with relative paths as one gives them; a fake model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('stc_ros.stream.open_stream', open_seen)
    monkeypatch.setattr('stc_ros.evaluation.evaluate._model', lambda settings: FakeModel(opened=[]))
    make(tmp_path / 'seen "here"', range(6))
    (tmp_path / 'q.yaml').write_text(QUESTIONS)
    file = read_questions(Path('q.yaml'))
    return [
        Job(('seen "here"',), (), file, name, Settings({'prune_ratio': ratio}), Path('out') / name, False, False)
        for name, ratio in (('A', 0.25), ('B', 0.75))
    ]


@pytest.fixture
def serial(jobs, tmp_path):
    """What the jobs write one after the other: bytes by file, without the times of the clock."""
    for job in jobs:
        assert run_job(job) == ''
    found = written(tmp_path / 'out')
    shutil.rmtree(tmp_path / 'out')
    return found


def written(folder):
    return {
        str(f.relative_to(folder)): f.read_bytes()
        for f in folder.rglob('*')
        if f.is_file() and f.name not in ('timing.jsonl', 'result.mcap', 'report.html')
    }


class FakeRay(SimpleNamespace):
    """Tasks run when they are waited for, in a folder of their own, as on another machine."""

    def __init__(self, place, faults=()):
        self.place, self.faults, self.options, self.sent = place, list(faults), [], []
        self.exceptions = SimpleNamespace(RayError=RuntimeError)

    def init(self, **options):
        self.started = options

    def shutdown(self):
        self.ended = True

    def cluster_resources(self):
        return {'CPU': 2.0}

    def put(self, value):
        self.sent.append(value)
        return value

    def remote(self, function):
        def options(**given):
            self.options.append(given)
            return SimpleNamespace(remote=lambda *arguments: lambda: function(*arguments))

        return SimpleNamespace(options=options)

    def wait(self, running, num_returns):
        return running[-1:], running[:-1]

    def get(self, task):
        if self.faults:
            raise self.faults.pop(0)
        here = os.getcwd()
        os.chdir(self.place)
        try:
            return task()
        finally:
            os.chdir(here)


@pytest.fixture
def ray(tmp_path, monkeypatch):
    (tmp_path / 'elsewhere').mkdir()
    fake = FakeRay(tmp_path / 'elsewhere')
    monkeypatch.setitem(sys.modules, 'ray', fake)
    return fake


def test_what_comes_back_is_the_serial_run_to_the_byte_and_is_done_once(jobs, serial, ray, tmp_path):
    assert run_jobs_on_ray(jobs, 'host:6379', 2) == {} and ray.started['address'] == 'host:6379' and ray.ended
    assert written(tmp_path / 'out') == serial and len(serial) == 2 * 5  # result, junit, three pictures
    assert all((tmp_path / 'out' / 'A' / name).exists() for name in ('timing.jsonl', 'result.mcap')) and not ray.sent
    assert all(each['max_retries'] > 0 and each['num_gpus'] == 0 for each in ray.options)
    (tmp_path / 'out' / 'A' / 'result.jsonl').unlink()
    assert run_jobs_on_ray(jobs, 'host:6379', 2) == {} and len(ray.options) == 3
    assert written(tmp_path / 'out') == serial


def test_a_bag_that_a_worker_lacks_is_sent_once_and_called_as_it_was(jobs, serial, ray, tmp_path, monkeypatch):
    """The working folder is not there on the worker, so that relative paths lead nowhere."""
    isdir = os.path.isdir
    monkeypatch.setattr(os.path, 'isdir', lambda path: isdir(path) and str(path) != str(tmp_path))
    assert run_jobs_on_ray(jobs, 'auto', 2) == {}
    assert written(tmp_path / 'out') == serial and len(ray.sent) == 1


def test_what_is_said_of_a_broken_copy_names_the_bag(jobs, ray, tmp_path, monkeypatch):
    """Broken in its midst, so that the result says so."""
    shutil.rmtree(tmp_path / 'seen "here"')
    file = the_file(make(tmp_path / 'seen "here"', range(240), 'mcap', 'chunk', size=128))
    begin = b'\x28\xb5\x2f\xfd'  # of a chunk's data
    chunks = file.read_bytes().split(begin)
    place = round(0.6 * len(chunks))  # where neither the first frame is looked for nor the last
    file.write_bytes(begin.join(chunks[:place]) + b'none' + begin.join(chunks[place:]))
    job = jobs[0]
    said, expected = run_job(job), written(tmp_path / 'out')
    assert said == '' and 'seen \\"here\\"' in (problem := expected['A/result.jsonl'].decode().splitlines()[-1])
    assert 'what came before it was evaluated' in problem
    shutil.rmtree(tmp_path / 'out')
    isdir = os.path.isdir
    monkeypatch.setattr(os.path, 'isdir', lambda path: isdir(path) and str(path) != str(tmp_path))
    failed = run_jobs_on_ray([job], 'auto', 2)
    assert failed == {} and len(ray.sent) == 1 and written(tmp_path / 'out') == expected


def test_a_bag_of_another_size_and_another_version_are_not_taken_for_the_same(jobs):
    job, sizes = jobs[0], [size(Path(jobs[0].bags[0]))]
    assert evaluate_there(job, os.getcwd(), [sizes[0] + 1], digest_of_sources(), None) == Outcome(missing=True)
    assert 'another version' in evaluate_there(job, os.getcwd(), sizes, 'other', None).error


def test_a_run_that_fails_for_good_is_named_and_the_others_go_on(jobs, serial, ray, tmp_path):
    ray.faults = [RuntimeError('The worker died\nunexpectedly')]
    failed = run_jobs_on_ray(jobs, 'auto', 2)
    assert list(failed) == ['B'] and 'RuntimeError: unexpectedly' in failed['B']
    assert written(tmp_path / 'out') == {name: data for name, data in serial.items() if name.startswith('A/')}
    job = jobs[1].__class__(('none.mcap',), (), jobs[1].file, 'C', jobs[1].settings, Path('out/C'))
    failed = run_jobs_on_ray([job, jobs[1]], 'auto', 2)
    assert list(failed) == ['C'] and 'does not exist' in failed['C'] and written(tmp_path / 'out') == serial


def test_a_gpu_is_asked_for_where_the_settings_name_one(jobs, ray):
    ray.faults = [RuntimeError('no such worker')]
    job = jobs[0].__class__(**{**slots(jobs[0]), 'settings': jobs[0].settings | {'model.device': 'cuda'}})
    run_jobs_on_ray([job], 'auto', 1)
    assert ray.options[0]['num_gpus'] == 1


def slots(job):
    return {name: getattr(job, name) for name in job.__slots__}


def test_without_ray_and_without_a_cluster_the_remedy_is_named(jobs, ray, monkeypatch):
    def refuse(**_):
        raise ConnectionError('nobody listens')

    monkeypatch.setattr(ray, 'init', refuse, raising=False)
    with pytest.raises(InputError, match='no Ray cluster to use at host:1: nobody listens; start one'):
        run_jobs_on_ray(jobs, 'host:1', 1)
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(InputError, match=r"pip install 'stc_ros\[ray\]'"):
        run_jobs_on_ray(jobs, 'local', 1)


def workers(title):
    """Processes of Ray that run the task of this title."""
    found = set()
    for process in Path('/proc').glob('[0-9]*'):
        try:
            line = (process / 'cmdline').read_bytes()
        except OSError:
            continue
        if line.startswith(b'ray::') and title.encode() in line:
            found.add(int(process.name))
    return found


def test_one_of_two_workers_is_killed_midway_and_the_result_is_the_serial_run_to_the_byte(tmp_path):
    pytest.importorskip('ray', reason="Ray is not installed: pip install 'stc_ros[ray]'")
    bag, mark = make(tmp_path / 'bag', range(60), topic=TOPIC), f'killed{os.getpid()}'
    (tmp_path / 'q.yaml').write_text(QUESTIONS)
    for name, ratio in ((mark, 0.5), ('other', 0.75)):
        (tmp_path / f'{name}.yaml').write_text(f'prune_ratio: {ratio}\ncacher: none\n')
    command = [sys.executable, '-m', 'stc_ros', 'evaluate', str(bag), '--questions', str(tmp_path / 'q.yaml'),
               '--settings', str(tmp_path / f'{mark}.yaml'), '--settings', str(tmp_path / 'other.yaml'),
               '--no-controls', '--no-narration']  # fmt: skip
    there = {**os.environ, 'TMPDIR': str(tmp_path), 'RAY_TMPDIR': '/tmp', 'OMP_NUM_THREADS': '1'}
    spread = subprocess.Popen(
        [*command, '--out', str(tmp_path / 'ray'), '--ray', 'local', '--jobs', '2'],
        cwd=ROOT, env=there, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    end = time.monotonic() + 120
    while not (begun := list(tmp_path.glob(f'stc_ros-ray-*/{mark}/result.jsonl.part'))) and time.monotonic() < end:
        assert spread.poll() is None, spread.stdout.read()
        time.sleep(0.01)
    killed = workers(mark)
    assert begun and len(killed) == 1
    os.kill(*killed, signal.SIGKILL)
    again = set()
    while spread.poll() is None and time.monotonic() < end:
        again |= workers(mark) - killed
        time.sleep(0.02)
    assert spread.wait(60) == 0, spread.stdout.read()
    assert again, 'the killed run was not tried again by another worker'
    whole = subprocess.run([*command, '--out', str(tmp_path / 'serial')], cwd=ROOT, capture_output=True, env=there)
    assert whole.returncode == 0 and written(tmp_path / 'ray') == written(tmp_path / 'serial')
    assert len(written(tmp_path / 'ray')) == len(written(tmp_path / 'serial')) >= 2 * 4
