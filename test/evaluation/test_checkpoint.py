"""A killed replay goes on where it was, to the same bytes, whatever its parts are; a bad checkpoint is refused."""

import itertools
import json
import os
import pickle
import time
from collections import deque
from contextlib import nullcontext
from dataclasses import replace as changed
from subprocess import Popen
from threading import Lock

import pytest
import torch
from evaluation.fake_bag import SECOND, FakeBag, FakeModel, open_seen, picture
from worlds import moving_square

from stc_ros.background_stream import BackgroundStream
from stc_ros.engine.session import Session
from stc_ros.evaluation import checkpoint, pickled_state
from stc_ros.evaluation.checkpoint import CHECKPOINT, Checkpoints
from stc_ros.evaluation.expectations import Exact
from stc_ros.evaluation.questions import Question, Time
from stc_ros.evaluation.replay import Planned, ReplaySink, replay
from stc_ros.evaluation.results import RESULT, TIMING, ResultWriter, Span
from stc_ros.evaluation.sinks import Sinks
from stc_ros.io.bag_writer import BagWriter
from stc_ros.io.bags import Bag
from stc_ros.models.random import random_model
from stc_ros.parameters import cachers, memories, pruners
from stc_ros.pruning.delta import DeltaPruner
from stc_ros.settings import Settings
from stc_ros.stream import open_stream

FRAMES = 9  # of each camera, at 2 Hz
TOY = {'memory.max_tokens': 30, 'narration.period': 0.9, 'query.max_new_tokens': 4}  # so that frames are evicted
QUESTIONS = [(0.7, '/a'), (2.2, '/a'), (2.2, '/b'), (3.8, '/a'), (3.8, '/b')]  # at s, of which camera


class Killed(BaseException):
    """As SIGKILL: nothing that is in its way is told of it."""


class At(Checkpoints):
    """Written at the `at`-th place where one can be; at the `dies`-th the replay is killed."""

    def __init__(self, folder, head, at=-1, dies=-1):
        super().__init__(folder, head)
        self.at, self.dies, self.places, self.tokens_waiting = at, dies, 0, 0

    @property
    def due(self):
        self.places += 1
        if self.places == self.dies:
            raise Killed
        return self._possible and self.places == self.at

    def write(self, model, streams, *rest):
        self.tokens_waiting = sum(stream.tokens_waiting for stream in streams)
        super().write(model, streams, *rest)


class Pictures(FakeBag):
    """Squares that move, on each camera; a scene change, and a frame that cannot be read."""

    def __init__(self, topics=('/a', '/b')):
        self.topics = topics
        super().__init__([(topic, t / 2, 0) for t in range(FRAMES) for topic in topics])
        for number, frame in enumerate(self._frames):
            image = moving_square(number + 1, seed=number // 12, step=1)[-1]
            shown = picture(0)
            shown.pixels, shown.rgb = image, lambda image=image: image
            self._frames[number] = changed(frame, picture=shown)
        self._frames[5] = changed(self._frames[5], picture=None, error='wrong encoding', error_kind='kind')


@pytest.fixture(autouse=True)
def _(monkeypatch):
    """No garbage collection at every start: half of the time of a replay as short as these."""
    monkeypatch.setattr('stc_ros.engine.scheduler.release_memory', lambda: None)


@pytest.fixture(scope='module')
def toy():
    return random_model('toy')


def evaluate(folder, model, settings, bag=None, at=-1, dies=-1, sinks=(), opened=open_stream, controls=False):
    """As `run_job` does -> the checkpoints. at, dies: see `At`."""
    bag, head = bag or Pictures(), {'kind': 'run', 'settings': settings}
    topics = [bag.choose()] if isinstance(bag, Bag) else bag.topics
    planned = [
        ask(f'q{i}', bag.start_ns, t, topics[camera > '/a'])
        for i, (t, camera) in enumerate(QUESTIONS)
        if camera == '/a' or len(topics) > 1
    ]
    span = (topics[0], bag.start_ns, bag.start_ns + 2 * SECOND)
    spans = [Span(*span, 'say', 'the'), Span(*span, 'not say', 'the')]
    writer, checkpoints = ResultWriter(folder, head, spans, ()), At(folder, head, at, dies)
    try:
        sink = Sinks(writer, *sinks)
        replay(model, bag, topics, planned, Settings(settings), sink, controls, True, opened, checkpoints)
        writer.finish()
        checkpoints.discard()
    except Killed:
        pass
    finally:
        writer.close()
    return checkpoints


def ask(name, start, seconds, camera):
    at = round(seconds * SECOND)
    return Planned(Question(name, 1, Time(at), camera, 'what is moving ?', Exact(('x',))), camera, start + at)


def files(folder):
    return {
        f.relative_to(folder): f.read_bytes() for f in sorted(folder.rglob('*')) if f.is_file() and f.name != TIMING
    }


def check_goes_on(tmp_path, model, settings, places, later=3, **options):
    """Kill a replay a while behind a checkpoint at each of `places`, and compare what it goes on to.

    -> how many tokens waited there to be prefilled."""
    whole = tmp_path / 'whole' / 'run'
    all_places, waited = evaluate(whole, model, settings, **options).places, []
    for at in places:
        folder = tmp_path / f'killed at {at}' / 'run'
        waited.append(evaluate(folder, model, settings, at=at, dies=at + later, **options).tokens_waiting)
        assert (folder / CHECKPOINT).exists() and not (folder / RESULT).exists()
        goes_on = evaluate(folder, model, settings, **options)
        assert goes_on.places == all_places - at  # nothing before the checkpoint is done again
        assert files(folder) == files(whole)
    return waited


PARTS = list(itertools.product(cachers.names(), pruners.names(), memories.names()))


@pytest.mark.parametrize('parts', PARTS, ids='-'.join)
def test_every_cacher_pruner_and_memory_goes_on_to_the_same_bytes(tmp_path, toy, parts):
    check_goes_on(tmp_path, toy, TOY | dict(zip(('cacher', 'pruner', 'memory'), parts)), [10], bag=Pictures(('/a',)))


@pytest.mark.parametrize(
    'settings, waits',
    [
        ({'expert.prefill_batch': 0}, False),
        ({'expert.prefill_batch': 25, 'expert.prefill_wait': 5.0, 'narration.period': 1.7}, True),
        ({'input.max_rate': 1.4}, False),
        ({'expert.overlap': True, 'expert.prefill_wait': 0.3}, False),
        ({'query.full_latest_frame': 'always', 'expert.prefill_wait': 0.6, 'narration.period': 1.7}, True),
    ],
    ids=str,
)
def test_several_cameras_controls_narration_and_what_waits(tmp_path, toy, settings, waits):
    waited = check_goes_on(tmp_path, toy, TOY | settings, (4, 13, 20), controls=not waits)
    assert any(waited) or not waits


class Own(DeltaPruner):
    """A part of somebody else, who keeps what he likes."""

    def __init__(self, model):
        super().__init__()
        self.lock, self.decoder, self.layer, self.head = (
            Lock(),
            model.decoder,
            model.decoder.blocks[0].q,
            model.project_out,
        )
        self.seen = deque(maxlen=3)

    def select(self, frame, prune_ratio):
        with self.lock:
            self.seen.append(frame.hidden[1:])
            assert self.decoder is frame.model.decoder and self.layer is self.decoder.blocks[0].q
            assert self.head is frame.model.project_out
        return super().select(frame, max(0.1, prune_ratio - 0.1 * len(self.seen)))


def test_a_part_of_somebody_else_goes_on_and_finds_its_part_of_the_model_again(tmp_path, toy):
    def opened(model, settings):
        stream = open_stream(model, settings)
        stream.pruner = Own(model)
        return stream

    check_goes_on(tmp_path, toy, TOY, [10], bag=Pictures(('/a',)), opened=opened)


@pytest.mark.parametrize('what', ['stream', 'narrator', 'newest', 'slot', 'looked_at'])
def test_nothing_of_a_session_may_be_left_out(tmp_path, toy, what, monkeypatch):
    """The control: what went on without it would write other bytes."""
    restore = Session.restore

    def restore_less(session, state):
        fresh = {'stream': open_stream(toy, session.settings)} if what == 'stream' else {}
        restore(session, {name: value for name, value in state.items() if name != what} | fresh)

    monkeypatch.setattr(Session, 'restore', restore_less)
    settings = TOY | {'input.max_rate': 1.4}
    with pytest.raises(AssertionError):
        check_goes_on(tmp_path, toy, settings, (4, 6, 11, 13, 14))


def test_what_runs_beside_a_frame_is_waited_for_and_its_failure_kept():
    def work():
        time.sleep(0.05)
        if fails:
            raise ValueError('broken')
        return 7

    for fails in (False, True):
        stream = BackgroundStream(torch.device('cpu'))
        stream.put(work)
        copy = pickle.loads(pickle.dumps(stream))
        for each in (copy, stream):
            with pytest.raises(ValueError, match='broken') if fails else nullcontext():
                assert each.settle() == 7
            assert each.settle() is None


@pytest.mark.parametrize('format', ['raw', 'jpeg', 'h264'])
def test_a_bag_is_read_on_to_the_same_pictures(tmp_path, toy, format):
    with BagWriter(tmp_path / 'bag', 'sqlite3' if format == 'raw' else 'mcap') as writer:
        for number, pixels in enumerate(moving_square(FRAMES, size=64)):
            writer.image('/camera', (number + 1) * SECOND // 2, pixels, 'lens', format)
    with Bag([tmp_path / 'bag']) as bag:
        check_goes_on(tmp_path, toy, TOY, (6, 11), bag=bag, controls=True)


# With a stream that only knows which frames it has seen


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
    assert first.heard[0] == 'begin' and {'frame', 'asked', 'progress', 'checkpoint'} >= set(first.heard[1:]) - {
        'narrated'
    }
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
