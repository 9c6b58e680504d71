"""A narration repeats neither a sentence nor, within one, a clause; other text stays."""

import pytest

from stc_ros.repetition import say_once
from stc_ros.synthetic import PROFILES, record
from stc_ros.synthetic.narration import parse, tell


@pytest.mark.parametrize(('said', 'told'), [
    ('A man walks in. A man walks in. He sits down.', 'A man walks in. He sits down.'),
    ('a red cross left, a blue star left, a red cross left.', 'a red cross left, a blue star left.'),
    ('a red cross left, A RED CROSS left. the end', 'a red cross left. the end'),
    ('A red cross left. Then nothing. a red  cross left. the end', 'A red cross left. Then nothing. the end'),
    ('The door opens; the door opens!', 'The door opens!'),
    ('the cup fell, the cup broke, the cup fell', 'the cup fell, the cup broke'),
    ('one red cup,\na blue cup,\none red cup,\nthree', 'one red cup,\na blue cup,\nthree'),
])
def test_what_is_said_twice_is_said_once(said, told):
    assert say_once(said) == told


@pytest.mark.parametrize('text', [
    '', 'nothing .', 'He walks, then stops, then walks on.', 'It costs 1,000,000 or 2.50 and 2.50 more.',
    'A man. A man with a dog.\n\n- a dog: brown\n- a cat: black', 'no end', 'wait...', 'Is it? It is.',
    'On the left side, a car. On the left side, a dog.', 'In frame one, a man walks. In frame two, a man walks.',
    'Mr. Smith sits. Mr. Jones stands.', 'a, b, a', 'Go. Go.'])
def test_other_text_stays_as_it_is(text):
    assert say_once(text) == text


def test_a_true_story_stays_as_it_is():
    for profile in PROFILES:
        clip = record(profile, 31, 24)
        for t in (8, 16, 23):
            story = tell(clip, t, t - 8).replace(' ,', ',').replace(' .', '.')
            if len(set(parse(story))) == len(parse(story)):
                assert say_once(story) == story
                assert say_once(f'{story} {story}') == story
