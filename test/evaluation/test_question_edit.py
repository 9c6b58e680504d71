"""Single questions are changed in a file's text; whatever else stands there stays as it is, to the byte."""

import pytest
import yaml

from stc_ros.evaluation.question_edit import EditError, Plain, change, entry, inline, insert, remove, seconds, written

FILE = """\
# what the robot was asked
questions:
  - id: one   # the first
    at: 1700000000123456789
    question: "is it: red ?"
    proposed: yes   # it said
    tags:
      - door
      - night

  # about the second
  - {id: two, at: 2, question: 'how many ?', proposed: '3'}
  - at: 3
    question: what ?
    expect:
      choice: red
      of: [red, blue]
# the end
require: accuracy >= 0.5
"""


def other_lines(before, after):
    """The lines of `before` that `after` does not have, and the other way round."""
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


def test_a_label_takes_the_place_of_what_was_proposed_and_nothing_else_moves():
    after = change(FILE, 0, {'expect': {'yes/no': Plain('yes')}})
    assert other_lines(FILE, after) == (
        ['    proposed: yes   # it said'], ['    expect: {yes/no: yes}   # it said'])  # fmt: skip
    after = change(FILE, 2, {'expect': {'exact': 'dark: red'}, 'tags': ['a', 'b']})
    assert other_lines(FILE, after) == (
        ['    expect:', '      choice: red', '      of: [red, blue]'],
        ["    expect: {exact: 'dark: red'}", '    tags: [a, b]'],
    )
    assert after.endswith('# the end\nrequire: accuracy >= 0.5\n')


@pytest.mark.parametrize('end', ['\n', '\r\n', ''])
@pytest.mark.parametrize('place', range(3))
def test_each_kind_of_layout_can_be_labelled(end, place):
    text = FILE.replace('\n', end) if end else FILE.rstrip('\n').rsplit('# the end')[0].rstrip('\n')
    fields = {'expect': {'contains': ['a "b"', 'c, d: {e}', 'ö #', 'no', '7']}, 'tags': ['x: y']}
    found = yaml.safe_load(change(text, place, fields))
    before = yaml.safe_load(text)
    assert (
        found['questions'][place] == {k: v for k, v in before['questions'][place].items() if k != 'proposed'} | fields
    )
    found['questions'][place] = before['questions'][place]
    assert found == before


@pytest.mark.parametrize('place', range(3))
def test_what_is_removed_takes_nothing_with_it(place):
    before = yaml.safe_load(FILE)
    del before['questions'][place]
    after = remove(FILE, place)
    assert yaml.safe_load(after) == before
    assert '# what the robot' in after and '# the end' in after and not other_lines(FILE, after)[1]


@pytest.mark.parametrize('place', range(4))
def test_a_new_question_stands_where_it_is_wanted(place):
    before = yaml.safe_load(FILE)
    fields = {'id': 'new', 'at': 1.5, 'question': 'why: "so" ?', 'proposed': ''}
    before['questions'].insert(place, fields)
    after = insert(FILE, place, fields)
    assert yaml.safe_load(after) == before and not other_lines(FILE, after)[0]


@pytest.mark.parametrize(
    'text', ['', 'questions:\n', 'questions: []\n', 'require: []\n', 'questions: # none\nrequire: []\n']
)
def test_the_first_question_of_a_file(text):
    found = yaml.safe_load(insert(text, 0, {'at': 1, 'question': 'x'}))
    assert found['questions'] == [{'at': 1, 'question': 'x'}] and ('require' in text) == ('require' in found)


@pytest.mark.parametrize('text', ['questions: [{at: 1, question: x, proposed: y}]\n', 'questions: {at: 1}\n'])
def test_a_list_in_brackets_is_left_to_its_owner(text):
    with pytest.raises(EditError, match='in one line'):
        change(text, 0, {'expect': {'exact': 'a'}})


@pytest.mark.parametrize(
    'ns, text', [(0, '0'), (12_300_000_000, '12.3'), (12_000_000_001, '12.000000001'), (10**9, '1')]
)
def test_times_keep_all_their_digits(ns, text):
    assert seconds(ns) == text


def test_texts_that_look_like_something_else_are_quoted():
    for text in ('yes', '3', 'a: b', '# c', '', '- d', '"', "'", 'null', '[', '*a', '&b', '2024-01-01', 'e\nf', '  g '):
        assert yaml.safe_load(inline({'exact': text})) == {'exact': text}
        assert yaml.safe_load(entry({'a': text, 'b': [text]})) == [{'a': text, 'b': [text]}]
    assert inline(Plain('3.50')) == '3.50' and inline(Plain('yes')) == 'yes'


def test_what_is_written_is_told_with_all_its_digits():
    assert written(FILE, 0, 'at') == '1700000000123456789'
