"""A killed replay goes on where it was, to the same bytes, whatever its parts are."""

import itertools
import pickle
import time
from collections import deque
from contextlib import nullcontext
from threading import Lock

import pytest
import torch
from evaluation.fake_bag import SECOND
from evaluation.killed_replay import FRAMES, TOY, Pictures, check_goes_on
from worlds import moving_square

from stc_ros.background_stream import BackgroundStream
from stc_ros.engine.session import Session
from stc_ros.evaluation.results import RESULT, read_lines
from stc_ros.io.bag_writer import BagWriter
from stc_ros.io.bags import Bag
from stc_ros.models.random import random_model
from stc_ros.parameters import cachers, memories, pruners
from stc_ros.pruning.delta import DeltaPruner
from stc_ros.stream import open_stream


@pytest.fixture(scope='module')
def toy():
    return random_model('toy')


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
    waited = check_goes_on(tmp_path, toy, TOY | settings, (4, 13), controls='expert.prefill_batch' in settings)
    assert any(waited) or not waits


def test_watches_go_on_where_they_stood(tmp_path, toy):
    file = tmp_path / 'watches.yaml'
    every = '{condition: "what ? = red", threshold: 0.000002, rearm: 0.000001'
    file.write_text(
        f'watches:\n  - {every}, name: rise, looks: 3}}\n  - {every}, name: late, time_limit: 3, looks: 9}}\n'
        f'  - {every}, name: rear, camera: /b, looks: 2, once: true}}\n'
    )
    check_goes_on(tmp_path, toy, TOY | {'watch.file': str(file)}, (9,))
    lines = read_lines(tmp_path / 'whole' / 'run' / RESULT)
    events = [(line['event'], line['camera']) for line in lines if line['kind'] == 'event']
    named = {name for name, _ in events}
    assert {'rise rising', 'late expired', 'rear rising'} <= named and events.count(('rear rising', '/b')) == 1


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
        check_goes_on(tmp_path, toy, TOY, (8,), bag=bag, controls=True)
