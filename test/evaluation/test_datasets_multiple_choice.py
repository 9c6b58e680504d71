"""Lettered options: how they are read, and when an answer has chosen one."""

import pytest

from stc_ros.evaluation.datasets.base import Question
from stc_ros.evaluation.datasets.multiple_choice import first_letter, lenient, letter, texts

COLOURS = ('red', 'dark red', 'blue', 'grey')


def choice(right, options=COLOURS):
    return Question(0, 'which ?', right, options=options)


@pytest.mark.parametrize('answer, right', [
    ('C', 1), ('C.', 1), ('(C)', 1), ('blue', 1), ('It is blue.', 1), ('The best answer is C.', 1),
    ('Answer: (C) blue', 1), ('The correct option is C', 1), ('C. blue', 1), ('A', 0), ('', 0),
    ('I do not know', 0), ('red or blue', 0),
    ('C. red', 0), ('A B C D', 0), ('Blueprint', 0), ('The answer is A. It is not C', 0),
])  # fmt: skip
def test_lenient_takes_the_letter_or_the_text_and_nothing_undecided(answer, right):
    assert lenient(choice('C'), answer) == right


def test_an_option_within_another_is_not_chosen_by_it():
    assert lenient(choice('A'), 'a dark red one') == 0 and lenient(choice('B'), 'a dark red one') == 1


def test_options_that_are_letters_themselves_can_be_chosen():
    assert lenient(choice('C', ('C', 'N', 'M', 'D')), 'C') == 1


@pytest.mark.parametrize('given, found', [
    (['A. red', 'B. blue'], ('red', 'blue')),
    (['red', 'B. blue'], ('red', 'B. blue')),
    (['A.Lebrun.', 'Fan Z.D.', 'Xu xin.', 'Ma Lin.'], ('Lebrun.', 'Fan Z.D.', 'Xu xin.', 'Ma Lin.')),
    (['A. one', 'C. three', 'B. two', 'D. four'], ('one', 'two', 'three', 'four')),
    (['A. 107.', 'B. 93.', 'B. 91.', 'D. 99.'], ('107.', '93.', '91.', '99.')),
    (['A. red', '', 'B. one', 'more', 'C. blue', 'D. grey'], ('red', 'one more', 'blue', 'grey')),
    (['A. a', 'B. b', 'C. c', 'D. d', 'E. .', 'F. Translated'], ('a', 'b', 'c', 'd')),
    (['A. a', 'B. b', 'C. c', 'D. d', 'D. again'], ('a', 'b', 'c', 'd')),
])  # fmt: skip
def test_options_are_read_whatever_letters_they_came_with(given, found):
    assert texts(given, 4) == found


def test_an_answer_that_is_no_option_is_damage():
    for index in (-1, 4, True, '2', None):
        with pytest.raises(ValueError, match='of 4'):
            letter(index, COLOURS)


def test_only_a_letter_that_stands_alone_is_one():
    found = [first_letter(each) for each in ('C', '(C) x', '"B"', 'Apple', 'apple', '', 'the A')]
    assert found == ['C', 'C', 'B', '', '', '', '']
