"""A narration says nothing twice, and loses nothing else."""

import pytest

from stc_ros.repetition import say_once
from stc_ros.synthetic import PROFILES, record
from stc_ros.synthetic.narration import parse, tell


@pytest.mark.parametrize(('said', 'told'), [
    ('A man walks in. A man walks in. He sits down.', 'A man walks in. He sits down.'),
    ('a red cross left, a blue star left, a red cross left.', 'a red cross left, a blue star left.'),
    ('a red cross left, A RED CROSS left. the end', 'a red cross left. the end'),
    ('The door opens; the door opens!', 'The door opens!'),
    ('one,\ntwo,\none,\nthree', 'one,\ntwo,\nthree'),
    ('go. go.', 'go.'),
])
def test_what_is_said_twice_is_said_once(said, told):
    assert say_once(said) == told


@pytest.mark.parametrize('text', [
    '', 'nothing .', 'He walks, then stops, then walks on.', 'It costs 1,000,000 or 2.50 and 2.50 more.',
    'A man. A man with a dog.\n\n- a dog: brown\n- a cat: black', 'no end', 'wait...', 'Is it? It is.'])
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
