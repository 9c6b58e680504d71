"""When a checkpoint is written, which one is used, and that a bad one is refused; with a stream that needs no model."""

import json
import os
import pickle
import time
from subprocess import Popen

import pytest
from evaluation.fake_bag import FakeBag, FakeModel, open_seen
from evaluation.killed_replay import At, evaluate, files

from stc_ros.evaluation import checkpoint, pickled_state
from stc_ros.evaluation.checkpoint import CHECKPOINT, Checkpoints
from stc_ros.evaluation.replay import ReplaySink
from stc_ros.evaluation.results import RESULT, TIMING
from stc_ros.settings import Settings


def run(folder, settings=None, opened=open_seen, frames=24, **options):
    bag = FakeBag([('/a', t / 8, 10 + t) for t in range(frames)])
    bag.topics = ('/a',)
    return evaluate(folder, FakeModel(opened=[]), settings or {}, bag, opened=opened, controls=True, **options)


def test_killed_anywhere_after_a_checkpoint_anywhere(tmp_path):
    whole = tmp_path / 'whole' / 'run'
    places = run(whole).places
    for at in range(1, places, 2):
        folder = tmp_path / str(at) / 'run'
        for twice in (at, at + 1):  # and killed again, behind a second checkpoint
            run(folder, at=at, dies=min(twice + 1, places))
        run(folder)
        assert files(folder) == files(whole), at


def test_times_of_what_was_not_done_again_stay(tmp_path):
    run(tmp_path, at=9, dies=12)
    before = (tmp_path / f'{TIMING}.part').read_text().splitlines()
    run(tmp_path)
    after = (tmp_path / TIMING).read_text().splitlines()
    assert after[:9] == before[:9] and len(after) == 24 + 2  # questions at 0.7 and 2.2 s


def test_the_sinks_are_told_everything_in_order_and_restored_each_with_its_own(tmp_path):
    class Numbered(ReplaySink):
        def __init__(self, name):
            self.name, self.heard = name, []

        def __getattribute__(self, name):
            if name in vars(ReplaySink) and not name.startswith('_'):
                self.heard.append(name)
                told.append((self.name, name))
            return object.__getattribute__(self, name)

        def checkpoint(self):
            return self.name

        def restore(self, state):
            assert state == self.name

    told, first, second = [], Numbered('first'), Numbered('second')
    run(tmp_path, sinks=(first, second), at=5, dies=6)
    assert first.heard[0] == 'begin' and {'frame', 'asked', 'received', 'progress', 'checkpoint'} >= set(
        first.heard[1:]
    ) - {'narrated'}
    assert [name for who, name in told if who == 'first'] == [name for who, name in told if who == 'second']
    assert told[:4:2] == [('first', 'begin'), ('first', told[2][1])] and told[1][0] == 'second'
    first, second = Numbered('first'), Numbered('second')
    run(tmp_path, sinks=(first, second))
    assert 'begin' not in first.heard and next(name for name in first.heard if name != 'progress') == 'restore'


def test_a_sink_that_cannot_be_restored_begins_anew(tmp_path, capsys):
    run(tmp_path / 'whole' / 'run')
    run(tmp_path / 'run', at=9, dies=12)
    part = tmp_path / 'run' / f'{RESULT}.part'
    part.write_bytes(part.read_bytes()[:100])
    run(tmp_path / 'run')
    assert 'begins anew' in capsys.readouterr().err
    assert files(tmp_path / 'run') == files(tmp_path / 'whole' / 'run')


def spoil_line(**changes):
    def spoil(file):
        line, data = file.read_bytes().split(b'\n', 1)
        file.write_bytes(json.dumps(json.loads(line) | changes).encode() + b'\n' + data)

    return spoil


def cut(file):
    file.write_bytes(file.read_bytes()[:-100])


def flip(file):
    data = bytearray(file.read_bytes())
    data[-2000] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    'spoil, word',
    [
        (spoil_line(torch='1.0'), 'of another torch'),
        (spoil_line(run={'kind': 'run', 'settings': {'prune_ratio': 0.5}}), 'of another run'),
        (spoil_line(**{'version of stc_ros': '0.1'}), 'of another version of stc_ros'),
        (spoil_line(device='cuda:0 torch.float16'), 'of another device'),
        (spoil_line(bytes='many'), 'damaged'),
        (cut, 'damaged'),
        (flip, 'damaged'),
        (lambda file: file.write_bytes(b''), 'damaged'),
        (lambda file: file.write_bytes(b'\x80\x04' + bytes(range(256))), 'damaged'),
        (lambda file: file.write_text('[]\n'), 'damaged'),
    ],
)
def test_a_checkpoint_of_something_else_or_damaged_is_refused_with_a_word(tmp_path, capsys, spoil, word):
    places = run(tmp_path / 'whole' / 'run').places
    run(tmp_path / 'run', at=9, dies=12)
    assert 'anew' not in capsys.readouterr().err
    spoil(tmp_path / 'run' / CHECKPOINT)
    assert run(tmp_path / 'run').places == places
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert word in said and 'begins anew' in said and str(tmp_path / 'run') in said
    assert files(tmp_path / 'run') == files(tmp_path / 'whole' / 'run')


@pytest.mark.parametrize('what', [os.system, pickle.loads, eval, pickled_state.unpack, Popen])
def test_a_pickle_that_would_run_something_is_not_read(what):
    class Evil:
        def __reduce__(self):
            return what, ('echo',)

    stream = open_seen(FakeModel(opened=[]), Settings())
    with pytest.raises(pickle.PicklingError, match='not allowed'):
        pickled_state.pack(Evil(), FakeModel(), [stream])
    check = pickled_state._check
    try:
        pickled_state._check = lambda found, module, packages: found  # written by somebody else
        data, _ = pickled_state.pack(Evil(), FakeModel(), [stream])
    finally:
        pickled_state._check = check
    with pytest.raises(pickle.PicklingError, match='not allowed'):
        pickled_state.unpack(data, FakeModel(), [stream], {})


def test_a_part_that_cannot_be_pickled_is_said_once_and_the_run_ends_as_ever(tmp_path, capsys, monkeypatch):
    def opened(model, settings):
        stream = open_seen(model, settings)
        stream.hook = lambda: None
        return stream

    monkeypatch.setattr(At, 'due', property(lambda self: self._possible))
    run(tmp_path / 'run', opened=opened)
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert 'cannot be written down' in said and 'hook' in said or 'lambda' in said
    run(tmp_path / 'whole' / 'run')
    assert files(tmp_path / 'run') == files(tmp_path / 'whole' / 'run')


def test_what_is_dear_to_write_is_written_so_rarely_that_it_costs_a_hundredth(tmp_path, monkeypatch):
    clock, costs = [1000.0], [0.05, 3.0]
    monkeypatch.setattr(time, 'monotonic', lambda: clock[0])

    def pack(*_):
        clock[0] += costs.pop(0)
        return memoryview(b'x'), set()

    monkeypatch.setattr(pickled_state, 'pack', pack)
    for wanted in (checkpoint.EVERY_S, 300.0):
        checkpoints, began = Checkpoints(tmp_path, {}), clock[0]
        while not checkpoints.due:
            clock[0] += 1
        assert clock[0] - began == pytest.approx(checkpoint.EVERY_S, abs=1)
        checkpoints.write(FakeModel(), [], {}, 1, 1)
        began = clock[0]
        while not checkpoints.due:
            clock[0] += 1
        assert clock[0] - began == pytest.approx(wanted, abs=1)
