"""What counts as a right answer."""

import pytest

from stc_ros.evaluation.expectations import Choice, Contains, Exact, Number, Pattern, YesNo, mentions
from stc_ros.evaluation.intervals import sign_test, wilson
from stc_ros.evaluation.requirements import read_requirement

PLAIN = Choice('red', (('', 'red'), ('', 'dark red'), ('', 'blue')))
LETTERS = Choice('blue', (('A', 'red'), ('B', 'blue')))


@pytest.mark.parametrize(
    'expect, right, wrong',
    [
        (Exact(('red',)), ['red', ' Red.', 'RED'], ['', 'dark red', 'red red']),
        (Exact(('red', 'a red one')), ['red', 'A red  one!'], ['one']),
        (Contains(('red', 'circle')), ['a red, small circle', 'Circle: red'], ['', 'infrared circles']),
        (PLAIN, ['red', 'It is red.'], ['', 'dark red', 'red or blue', 'green']),
        (LETTERS, ['B', 'b.', '(B) blue', 'B: blue', 'blue'], ['A', 'A. blue', 'red or blue', 'Bavaria', '']),
        (Number(3, 0), ['3', 'three', 'There are three.', '3.0', '+3 of 7'], ['', 'thirty', '13', 'b3', '2.99', 'two']),
        (Number(2.5, 0.1), ['2.6', '2.4 m'], ['2.61', '2']),
        (Number(-1, 0), ['-1'], ['1']),
        (YesNo(True), ['yes', 'Yes, it is.', 'It is: yes'], ['', 'no', 'no, yes', 'yesterday', 'maybe']),
        (YesNo(False), ['no', 'No.', 'it is not'], ['', 'yes', 'nothing', 'know']),
        (Pattern('re+d|orange'), ['reed', 'an orange'], ['', 'Red']),
        (Pattern('(?i)^red$'), ['Red'], ['red one']),
    ],
)
def test_right_and_wrong_answers(expect, right, wrong):
    assert [answer for answer in right if expect.score(answer) != 1] == []
    assert [answer for answer in wrong if expect.score(answer) == 1] == []


def test_part_of_what_has_to_be_contained_is_part_of_the_score():
    assert Contains(('red', 'circle')).score('a red square') == 0.5


def test_an_empty_answer_is_never_right():
    kinds = Exact(('',)), Contains(('red',)), PLAIN, Number(0, 9), YesNo(False), Pattern('.*')
    assert [kind.score('') for kind in kinds] == [0.0] * len(kinds)


def test_words_are_found_as_whole_words_in_their_order():
    assert mentions('The red, large circle.', 'red large') and mentions('Türe', 'TÜRE')
    assert not mentions('a large red', 'red large') and not mentions('reddish', 'red') and not mentions('red', '')


def test_the_wilson_interval_is_the_published_one():
    assert wilson(0.5, 10) == pytest.approx([0.236593, 0.763407], abs=1e-5)  # Newcombe 1998 has the formula
    assert wilson(15 / 148, 148) == pytest.approx([0.0624, 0.1605], abs=1e-4)  # its table I, method 3
    assert wilson(1.0, 5)[1] == 1.0 and wilson(0.0, 5)[0] == 0.0 and wilson(0.0, 0) == [0.0, 1.0]


def test_the_sign_test_is_exact():
    assert sign_test(0, 5) == sign_test(5, 0) == pytest.approx(2 / 2**5)
    assert sign_test(1, 8) == pytest.approx(2 * (1 + 9) / 2**9)
    assert sign_test(4, 4) == 1.0 and sign_test(0, 0) == 1.0 and sign_test(400, 600) < 1e-9


def rows(*scores, tags=('door',), blank=0.25):
    return [{'camera': '/a', 'tags': list(tags), 'score': s, 'controls': {'blank': {'score': blank}}} for s in scores]


@pytest.mark.parametrize(
    'text, passed',
    [
        ('accuracy >= 0.75', True),
        ('accuracy > 0.75', False),
        ('accuracy >= 75 %', True),
        ('accuracy >= 0.8 on tag:door', False),
        ('accuracy == 1 on tag:lamp', True),
        ('accuracy >= 0.1 on tag:none', False),  # nothing measured is nothing met
        ('accuracy <= 0.75 on camera:/a', True),
        ('gain >= 0.5', True),
        ('gain > 0.5', False),
        ('narration >= 1', False),
    ],
)
def test_requirements(text, passed):
    asked = rows(1, 1, 1, 0)
    asked[0]['tags'] = ['door', 'lamp']
    assert read_requirement(text).check(asked, [])['passed'] is passed


def test_a_requirement_is_not_missed_by_rounding():
    assert read_requirement('accuracy >= 0.1').check(rows(*[0.1] * 3), [])['passed']


@pytest.mark.parametrize(
    'text, word',
    [
        ('accuracy', 'form'),
        ('f1 >= 0.9', 'narration'),
        ('accuracy >= 90', '90 %'),
        ('accuracy => 1', 'form'),
        ('', 'form'),
    ],
)
def test_what_is_no_requirement_says_what_one_is(text, word):
    with pytest.raises(ValueError, match=word):
        read_requirement(text)
