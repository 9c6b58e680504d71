"""Compiled layers compute what plain ones do, are compiled once, and give way when they cannot be compiled."""

import logging

import numpy as np
import pytest
import torch

from stc_ros.models.compiled import Compiler
from stc_ros.models.random import random_model
from stc_ros.settings import Settings
from stc_ros.stream import open_stream

torch.set_num_threads(1)
PLAIN = Settings({'cacher.method': 'none', 'pruner.method': 'none'})
INCREMENTAL = Settings({'cacher.method': 'incremental'})


def frames(count):
    """Noise in which a growing part changes from frame to frame, then nothing, then everything."""
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (24, 24, 3), np.uint8)
    for t in range(count):
        rows = 24 if t == count - 1 else (4 * t) % 24
        frame[:rows] = rng.integers(0, 256, (rows, 24, 3), np.uint8)
        yield frame.copy()


def seen(model, settings):
    """Each frame's share recomputed, and the stream's last hidden states."""
    stream = open_stream(model, settings)
    shares = [stream.see(frame, t).patches_recomputed for t, frame in enumerate(frames(8))]
    asked = model.decoder.embed(model.chat.suffix('what is moving ?'))
    with torch.inference_mode():
        hidden = stream.memory.open(asked).hidden
    return shares, hidden, ''.join(stream.ask('what is moving ?', 4))


@pytest.mark.parametrize('settings', [PLAIN, INCREMENTAL, (INCREMENTAL | {'cache_similarity': 0.9})])
def test_compiled_layers_compute_the_same(settings):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    plain, fast = random_model('toy'), random_model('toy')
    fast.tower.compiler = Compiler(backend)
    expected, given = seen(plain, settings), seen(fast, settings)
    assert fast.tower.compiler.failure == ''
    assert given[0] == expected[0] and given[2] == expected[2]
    torch.testing.assert_close(given[1], expected[1], rtol=0, atol=1e-5)
    assert 1 <= len(graphs) <= 4  # 3 layers, several numbers of rows


def test_layers_that_cannot_be_compiled_run_as_they_are(caplog):
    def backend(graph, inputs):
        raise RuntimeError('no C++ compiler here\nand more lines')

    plain, fast = random_model('toy'), random_model('toy')
    fast.tower.compiler = Compiler(backend)
    with caplog.at_level(logging.WARNING, logger='stc_ros'):
        expected, given = seen(plain, INCREMENTAL), seen(fast, INCREMENTAL)
    assert given[0] == expected[0] and torch.equal(given[1], expected[1])
    assert 'no C++ compiler here' in fast.tower.compiler.failure
    assert caplog.text.count('layers are not compiled') == 1
