"""The images of benchmarks/malformed.py, without a node: each is a picture or a refusal."""

import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from stc_ros.io.image_messages import FrameInvalid
from stc_ros.io.transports import TRANSPORTS
from stc_ros.parameters import parameters

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
if not BENCHMARKS.is_dir():
    pytest.skip('the benchmarks are not installed', allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

from malformed_messages import good, malformed  # noqa: E402

BOUND = parameters()['input.max_pixels'].default
KINDS = {'cut off', 'serialization', 'no stamp', 'size', 'too many pixels'}  # of any image; beside them by transport
OWN = {'raw': {'encoding', 'step', 'data'}, 'compressed': {'compressed format', 'compressedDepth', 'compressed data'}}


@pytest.mark.parametrize('camera, transport', [('front', 'raw'), ('rear', 'compressed')])
def test_every_malformed_image_is_a_picture_or_a_refusal_of_a_known_kind(camera, transport):
    rng, kinds, decoder = random.Random(7), Counter(), TRANSPORTS[transport].decoder()
    for _ in range(800):
        try:
            decoder.decode(malformed(camera, rng), BOUND)[2].array()
            kinds['picture'] += 1
        except FrameInvalid as refused:
            kinds[refused.kind] += 1
            assert len(str(refused)) < 600
    assert set(kinds) - {'picture'} <= KINDS | OWN[transport], kinds
    assert OWN[transport] <= set(kinds) and kinds['picture'] < 400
    assert decoder.decode(good(camera), BOUND)[2].array().shape == (24, 32, 3)
