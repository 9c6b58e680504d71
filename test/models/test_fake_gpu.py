"""One frame, one question, every cacher, pruner and memory as on a GPU: no mixture of devices, no wait but the listed.

The GPU is not one (test/fake_gpu.py): this shows where a host would wait, and how many operators it would be sent, not
that a GPU computes the same, nor how fast.
"""

import numpy as np
import pytest
import torch
from fake_gpu import Mixture, fake_gpu, moved

from stc_ros.models.families.llava_onevision import build
from stc_ros.models.random import random_model, random_tokenizer, random_weights
from stc_ros.parameters import cachers, memories, pruners
from stc_ros.settings import Settings
from stc_ros.stream import open_stream

FRAMES = 8
ALLOWED = {  # where the host waits -> (times in a frame at most, why)
    'pruning/base.py:take': (1, 'how many tokens are kept has to be known'),
    'timing.py:read': (1, 'the end of a frame: its report tells how long each stage took'),
    'memory/window.py:prefill': (1, 'a pass, not a frame: what is no number must not stay in the memory'),
}
OF_ITS_OWN = {
    'delta': {'pruning/delta.py:select': (1, 'in place of the one of `take`')},
    'vidcom2': {'pruning/vidcom2.py:select': (1, 'how many tokens the frame is worth')},
    'tome': {'pruning/tome.py:select': (1, 'in place of the one of `take`')},
    'visionzip': {'pruning/visionzip.py:select': (1, 'in place of the one of `take`')},
    'stc': {'report.py:of': (1, 'which patches were recomputed, at the end of the frame')},
    'threshold': {
        'report.py:of': (1, 'the same'),
        'vision/cachers/layerwise.py:rows_of': (3, 'how many keys differ, anew in each of the 3 layers'),
        'vision/cachers/layerwise.py:flat': (18, 'the rows that are real, in each layer'),
    },
}
OPERATORS = 500  # a frame's at most, toy model of 3 + 3 layers, with its prefill


def pictures():
    noise = np.random.default_rng(1)
    picture = noise.integers(0, 256, (24, 24, 3), np.uint8)
    for number in range(FRAMES):
        at = 4 * (number % 5)
        picture = picture.copy()
        picture[at : at + 6, :8] = noise.integers(0, 256, (6, 8, 3), np.uint8)
        yield picture


def gpu_model():
    return build(moved(random_weights()), random_tokenizer(), name='random toy')


def run(model, settings, watch=None):
    """Reports without times, waits and operators of each frame, the answer, waits of its steps."""
    stream, reports, costs = open_stream(model, Settings(settings)), [], []
    for stamp, picture in enumerate(pictures()):
        if watch:
            watch.waits.clear()
            watch.operators = 0
        report = stream.see(picture, stamp)
        reports.append((report.kept.tolist(), report.recomputed.tolist(), report.memory_tokens, report.scene_change))
        costs.append((dict(watch.waits), watch.operators) if watch else None)
    if watch:
        watch.waits.clear()
    text = ''.join(stream.ask('what is moving ?', 4))
    return reports, costs, text, dict(watch.waits) if watch else None


EACH = [
    *({'cacher.method': name} for name in cachers.names()),
    *({'pruner.method': name} for name in pruners.names()),
    *({'memory.method': name} for name in memories.names()),
    {'expert.prefill_batch': 0},
    {'expert.overlap': True},
]


@pytest.mark.parametrize('settings', EACH, ids=lambda s: '-'.join(map(str, s.values())))
def test_what_a_gpu_is_waited_for(settings, capsys):
    expected = run(random_model(), settings)
    with fake_gpu() as watch:
        reports, costs, text, asked = run(gpu_model(), settings, watch)
    if not settings.get('expert.overlap'):
        assert reports == expected[0] and text == expected[2]
    allowed = dict(ALLOWED)
    for kind in ('cacher', 'pruner'):
        if f'{kind}.method' in settings and not (kind == 'pruner' and settings[f'{kind}.method'] == 'stc'):
            allowed |= OF_ITS_OWN.get(settings[f'{kind}.method'], {})
    allowed |= OF_ITS_OWN['delta']
    if settings.get('expert.overlap'):
        allowed['timing.py:read'] = (3, 'two threads have a watch each')
    for number, (waits, operators) in enumerate(costs[1:], 1):  # the first also sends constants, once
        for (where, what), times in waits.items():
            assert times <= allowed.get(where, (0,))[0], f'frame {number}: {times} x {what} in {where}'
        assert operators <= OPERATORS
    steps = sum(times for (where, _), times in asked.items() if where.startswith('answer.py'))
    assert 0 < steps <= 5 and sum(asked.values()) <= steps + 2  # one for each token, one for the pass
    with capsys.disabled():
        print(f' {max(n for _, n in costs)} operators at most, {costs[-1][1]} in the last frame', end='')


def test_it_sees_what_it_should():
    with fake_gpu() as watch:
        x = torch.ones(3, device='cuda')
        with pytest.raises(Mixture):
            x + torch.ones(3)
        for read in (lambda: int(x.sum()), x.tolist, x.nonzero, x.cpu, lambda: x[x > 0], lambda: bool((x > 0).all())):
            watch.waits.clear()
            read()
            assert sum(watch.waits.values()) >= 1, read
        watch.waits.clear()
        torch.zeros(3).pin_memory().to('cuda', non_blocking=True).add_(x)
        assert not watch.waits
        torch.zeros(3).to('cuda')
        assert watch.waits
