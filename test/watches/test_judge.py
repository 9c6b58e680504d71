"""Conditions judged on the embedded model: in one pass as each alone, and without a trace in the memory."""

import numpy as np
import pytest
import torch

from stc_ros.answer import NothingSeen, QuestionError
from stc_ros.models import load_model
from stc_ros.models.random import random_model
from stc_ros.settings import Settings
from stc_ros.stream import open_stream
from stc_ros.synthetic import record
from stc_ros.watches.judge import Condition, judge, read_condition, spellings, tree_of

SETTINGS = Settings({'model.device': 'cpu'})
TEXTS = (
    'is there a circle ?',
    'is any object moving ?',
    'how many objects are moving ? = zero',
    'what is the color of the star ? = red',
)


@pytest.fixture(scope='module')
def model():
    torch.set_num_threads(1)
    return load_model(SETTINGS)


def seen(model, frames=8, **settings):
    stream = open_stream(model, SETTINGS | settings)
    for t, frame in enumerate(record('busy', 77, frames=frames, size=112).frames):
        stream.see(frame, t + 1)
    return stream


@pytest.mark.parametrize(
    'settings', [{}, {'query.full_latest_frame': 'never'}, {'query.full_latest_frame': 'always'}], ids=str
)
@pytest.mark.parametrize('batch', [0, 200])
def test_all_in_one_pass_are_as_likely_as_each_alone(model, settings, batch):
    stream = seen(model, **settings, **{'expert.prefill_batch': batch})
    conditions = [read_condition(model, text) for text in TEXTS]
    together = judge(stream, conditions)
    alone = [judge(stream, [condition])[0] for condition in conditions]
    assert together == pytest.approx(alone, abs=1e-3)
    assert judge(stream, conditions[::-1]) == pytest.approx(together[::-1], abs=1e-3)
    assert np.ptp(together) > 1  # a control: they do differ


def test_a_condition_is_as_likely_as_the_answer_s_first_word(model):
    """The same as asking: the greedy answer is yes where the odds are above 0."""
    stream, said = seen(model, 6), set()
    for shape in ('circle', 'star', 'square', 'triangle', 'cross', 'ring'):
        text = f'is there a {shape} ?'
        answer = ''.join(stream.ask(text, 2)).split()[0]
        said.add(answer)
        if answer in ('yes', 'no'):
            assert (judge(stream, [read_condition(model, text)])[0] > 0) == (answer == 'yes')
    assert {'yes', 'no'} <= said


@pytest.mark.parametrize('whole', [True, False])
@torch.inference_mode()
def test_a_look_equals_the_first_token_of_an_answer(model, whole):
    """The look's one pass for all, over the window in place, against each asked alone, over a copy of it."""
    stream, conditions = seen(model), [read_condition(model, text) for text in TEXTS]
    looked = judge(stream, conditions, whole)
    for odds, condition in zip(looked, conditions):
        asked = torch.cat((model.newline[None], model.decoder.embed(list(condition.ids))), 1)
        context = stream.memory.open(asked, stream.latest_tokens(1000) if whole else None)
        logits = model.decoder.logits(context.hidden[0, -1]).float()
        yes, no = torch.zeros_like(logits, dtype=torch.bool), torch.zeros_like(logits, dtype=torch.bool)
        yes[list(condition.yes)] = True
        no[list(condition.no)] = True
        no = no if condition.no else ~yes
        assert odds == pytest.approx(float(logits[yes].logsumexp(0) - logits[no].logsumexp(0)), abs=1e-2)
    other = judge(stream, conditions, not whole)
    assert max(abs(a - b) for a, b in zip(looked, other)) > 0.05  # a control: it does make a difference


def test_judging_leaves_no_trace(model):
    judged, quiet = seen(model, 5), seen(model, 5)
    conditions = [read_condition(model, text) for text in TEXTS]
    first = judge(judged, conditions)
    assert judge(judged, conditions) == pytest.approx(first, abs=1e-3)
    assert judged.memory.tokens == quiet.memory.tokens
    for stream in (judged, quiet):
        stream.see(record('busy', 77, frames=6, size=112).frames[-1], 6)
    assert judge(judged, conditions) == pytest.approx(judge(quiet, conditions), abs=1e-3)
    assert ''.join(judged.ask(TEXTS[0], 4)) == ''.join(quiet.ask(TEXTS[0], 4))


def test_before_the_first_frame_there_is_nothing_to_judge(model):
    with pytest.raises(NothingSeen):
        judge(open_stream(model, SETTINGS), [read_condition(model, TEXTS[0])])


@pytest.mark.parametrize(
    'text, reason',
    [('', 'empty'), (' = zero', 'empty'), ('is there a circle ? ' * 60, 'at most 128'), ('what ? = qzx', 'one token')],
)
def test_a_condition_that_cannot_be_asked_is_refused(model, text, reason):
    with pytest.raises(QuestionError, match=reason):
        read_condition(model, text)


def test_a_model_without_yes_and_no_says_what_to_do():
    model = random_model('toy')
    with pytest.raises(QuestionError, match='QUESTION = WORD'):
        read_condition(model, 'is it red ?')


def test_spellings_are_single_tokens_of_the_word_alone(model):
    ids = spellings(model.chat, 'yes')
    assert ids and all(model.chat.decode([i]).strip().lower() == 'yes' for i in ids)
    assert not set(ids) & set(spellings(model.chat, 'no'))


def test_conditions_that_begin_alike_share_their_first_tokens():
    conditions = [Condition(ids, (0,)) for ids in ((5, 6, 7), (5, 6, 8, 9), (6, 7), (5, 6, 7))]
    ids, parents, ends = tree_of(conditions, 1)
    assert ids == [5, 6, 7, 8, 9, 6, 7] and parents == [-1, 0, 1, 2, 2, 4, 0, 6] and ends == [3, 5, 7, 3]
