"""Many questions asked at once get the answers that a stream gives to each."""

import numpy as np
import pytest
import torch
from memories import kept
from worlds import moving_square

from stc_ros.engine.narrator import Narrator
from stc_ros.evaluation.answers import answer_all
from stc_ros.evaluation.measure import see
from stc_ros.models.narration_filter import normalise
from stc_ros.models.random import random_model
from stc_ros.settings import Settings
from stc_ros.stream import open_stream

SETTINGS = Settings(
    {'cacher.method': 'stc', 'cacher.stc.cache_interval': 4, 'pruner.method': 'stc', 'prune_ratio': 0.5}
)
QUESTIONS = ['what is moving ?', 'the red circle ?', 'a blue square is left . what is right ?', 'you', 'what ?']


@pytest.mark.parametrize(
    'settings',
    [
        Settings({'cacher.method': 'none', 'pruner.method': 'none'}),
        SETTINGS,
        (SETTINGS | {'expert.contiguous_positions': True}),
        (SETTINGS | {'cacher.method': 'incremental', 'pruner.method': 'delta'}),
    ],
    ids=['plain', 'stc', 'contiguous', 'ours'],
)
@pytest.mark.parametrize('frames', [3, 60], ids=['growing', 'sliding'])
def test_all_at_once_is_what_a_stream_answers_one_by_one(settings, frames):
    texts = set()
    for seed in (5, 6, 7):
        stream = open_stream(random_model(seed=seed), settings)
        see(stream, np.array(moving_square(frames)), Narrator(stream.model.narration))
        before = kept(stream)
        said = answer_all(stream, QUESTIONS, 6)
        assert said == [''.join(stream.ask(q, 6)) for q in QUESTIONS]
        assert all(map(torch.equal, kept(stream), before))
        texts.update(said)
    assert len(texts) > 2  # or equality would say little


def test_answers_are_compared_without_case_spaces_and_marks():
    assert normalise(' Top  left.') == normalise('top left') != normalise('left top')
