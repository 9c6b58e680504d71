"""A narration leaves out what the model is unsure of, and repeats neither a sentence nor, within one, a clause."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stc_ros.models.narration_filter import drop_repeated, drop_reported, drop_uncertain, tidy
from stc_ros.synthetic import PROFILES, record
from stc_ros.synthetic.narration import EVENT, parse, tell


@pytest.mark.parametrize(
    ('said', 'told'),
    [
        ('A man walks in. A man walks in. He sits down.', 'A man walks in. He sits down.'),
        ('a red cross left, a blue star left, a red cross left.', 'a red cross left, a blue star left.'),
        ('a red cross left, A RED CROSS left. the end', 'a red cross left. the end'),
        ('A red cross left. Then nothing. a red  cross left. the end', 'A red cross left. Then nothing. the end'),
        ('The door opens; the door opens!', 'The door opens!'),
        ('the cup fell, the cup broke, the cup fell', 'the cup fell, the cup broke'),
        ('one red cup,\na blue cup,\none red cup,\nthree', 'one red cup,\na blue cup,\nthree'),
    ],
)
def test_what_is_said_twice_is_said_once(said, told):
    assert drop_repeated(said) == told


@pytest.mark.parametrize(
    'text',
    [
        '',
        'nothing .',
        'He walks, then stops, then walks on.',
        'It costs 1,000,000 or 2.50 and 2.50 more.',
        'A man. A man with a dog.\n\n- a dog: brown\n- a cat: black',
        'no end',
        'wait...',
        'Is it? It is.',
        'On the left side, a car. On the left side, a dog.',
        'In frame one, a man walks. In frame two, a man walks.',
        'Mr. Smith sits. Mr. Jones stands.',
        'a, b, a',
        'Go. Go.',
    ],
)
def test_other_text_stays_as_it_is(text):
    assert drop_repeated(text) == text


def test_a_true_story_stays_as_it_is():
    for profile in PROFILES:
        clip = record(profile, 31, 24)
        for t in (8, 16, 23):
            story = tell(clip, t, t - 8).replace(' ,', ',').replace(' .', '.')
            if len(set(parse(story))) == len(parse(story)):
                assert drop_repeated(story) == story
                assert drop_repeated(f'{story} {story}') == story


def given_chances(marked: str) -> tuple[str, list[tuple[int, float]]]:
    """Text and token_probs of `word word? .`: a token for each piece; those with a `?` behind are as likely as not."""
    text, token_probs = '', []
    for piece in re.findall(r'\s*[^\s?]+\??', marked):
        text += piece.rstrip('?')
        token_probs.append((len(text), 0.5 if piece.endswith('?') else 1.0))
    return text, token_probs


@pytest.mark.parametrize(
    ('said', 'told'),
    [
        ('a cup, a red? dog, a cat. it left.', 'a cup, a cat. it left.'),
        ('a cup, a red? dog. it left.', 'a cup. it left.'),
        ('a red? cup, a dog. it left.', ' a dog. it left.'),
        ('a cup. it? left.', 'a cup.'),
        ('it? left. a cup', 'a cup'),
        ('nothing? .', ''),
        ('a cup , a dog? . it left .', 'a cup . it left .'),
        ('a cup ,? a dog .?', 'a cup , a dog .'),  # punctuation says nothing of what stands before it
    ],
)
def test_what_is_unsure_is_not_told(said, told):
    text, token_probs = given_chances(said)
    assert tidy(text, token_probs, 0.6) == told.strip()
    assert tidy(text, token_probs, 0.5) == tidy(text, token_probs) == text


def test_words_are_unsure_together():
    text, token_probs = given_chances('a red? cup? fell, it? broke')
    assert [tidy(text, token_probs, least) for least in (0.2, 0.3, 0.6)] == [text, 'it broke', '']


def test_what_is_unsure_does_not_count_as_said():
    text, token_probs = given_chances('a red? cup fell, a red cup fell')
    assert tidy(text, token_probs, 0.6) == 'a red cup fell'


@given(st.lists(st.tuples(st.text(' ab,.;\n', max_size=3), st.floats(0, 1))), st.floats(0, 1))
def test_only_whole_clauses_go_and_nothing_is_added(tokens, certainty):
    text, token_probs = '', []
    for piece, chance in tokens:
        text += piece
        token_probs.append((len(text), chance))
    told = drop_uncertain(text, token_probs, certainty)
    assert len(told) <= len(text) and set(re.findall(r'\w+', told)) <= set(re.findall(r'\w+', text))
    assert drop_uncertain(text, token_probs, 0.0) == text.strip()
    if math.prod(chance for _, chance in token_probs) >= certainty:
        assert told == text.strip()


BEFORE = 'a red cup stays. the cat left, the blue star entered.'


@pytest.mark.parametrize(
    ('said', 'told'),
    [
        ('a red cup stays. the dog left.', 'a red cup stays. the dog left.'),  # not an event: told again
        ('a red cup stays. The cat left, the dog left.', 'a red cup stays. the dog left.'),
        ('a red cup stays. the dog left, the cat left.', 'a red cup stays. the dog left.'),
        ('a red cup stays. the cat left.', 'a red cup stays.'),
        ('the cat left, the blue star entered.', ''),
        ('the red star entered. the cat left', 'the red star entered.'),
    ],
)
def test_an_event_that_was_told_is_not_told_again(said, told):
    assert drop_reported(said, BEFORE, r'the .*(left|entered)') == told
    assert drop_reported(said, '', r'the .*(left|entered)') == said
    assert drop_reported(said, BEFORE, '') == said


def test_the_events_of_the_worlds_are_told_once():
    for profile in PROFILES:
        clip = record(profile, 32, 40)
        first, second = (tell(clip, t, 0).replace(' ,', ',').replace(' .', '.') for t in (20, 39))
        clauses = [c.text() for c in parse(drop_reported(second, first, EVENT))]
        seen = [c for c in parse(second) if c.kind == 'object']
        happened = [c for c in parse(second) if c.kind != 'object' and c not in parse(first)]
        assert clauses == [c.text() for c in seen + happened]
