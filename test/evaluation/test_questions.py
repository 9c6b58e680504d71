"""Question and settings files: what they hold, and that every mistake is named with its line."""

import pytest

from stc_ros.evaluation.expectations import Choice, Exact, Number, YesNo
from stc_ros.evaluation.questions import QuestionFileError, Time, read_questions
from stc_ros.evaluation.settings_file import read_settings

WHOLE = """\
questions:
  - at: 0.5
    question: is the door open ?
    expect: {yes/no: no}
    tags: [door, first]
    deadline: 2
  - id: colour
    at: 1700000000.123456789
    camera: /front
    question: which colour ?
    expect:
      choice: b
      of: {A: red, B: blue}
  - {at: 1700000001000000001, question: "how many ?", expect: {number: 3, tolerance: 1}, tags: count}
  - {at: 1700000002, question: "what ?", expect: {exact: [no, off]}}
narration:
  - between: [0, 2.5]
    must_say: red circle
    must_not_say: [person, car]
require:
  - accuracy >= 0.9 on tag:door
"""


def write(tmp_path, text, name='q.yaml'):
    file = tmp_path / name
    file.write_text(text)
    return file


def test_everything_that_a_file_may_hold(tmp_path):
    found = read_questions(write(tmp_path, WHOLE))
    first, colour, count, last = found.questions
    assert first.id == 'q1' and first.at == Time(500_000_000) and first.expect == YesNo(False)  # `no` stays an answer
    assert first.tags == ('door', 'first') and first.deadline == 2 and first.line == 2
    assert colour.at == Time(1_700_000_000_123_456_789, absolute=True) and colour.camera == '/front'
    assert colour.expect == Choice('blue', (('A', 'red'), ('B', 'blue')))
    assert count.at == Time(1_700_000_001_000_000_001, absolute=True) and count.expect == Number(3, 1)
    assert count.tags == ('count',) and last.at == Time(1_700_000_002 * 10**9, absolute=True)
    assert last.expect == Exact(('no', 'off'))
    (narration,) = found.narration
    assert narration.between == (Time(0), Time(2_500_000_000)) and narration.must == ('red circle',)
    assert narration.must_not == ('person', 'car') and found.cameras == {'/front': 7}
    assert [each.text for each in found.requirements] == ['accuracy >= 0.9 on tag:door']


ONE = 'questions:\n  - at: 1\n    question: what ?\n    expect: {exact: red}\n'


@pytest.mark.parametrize(
    'text, line, word',
    [
        ('', 1, 'mapping'),
        ('questions: []\n', 1, 'add questions'),
        ('question:\n', 1, 'did you mean questions'),
        ('questions: [\n', 2, 'no YAML'),
        ('questions:\n  - at: 1\n\tquestion: x\n', 3, 'no YAML'),
        ('questions:\n  - what\n', 2, 'mapping'),
        ('questions:\n  - {at: 1, question: x}\n', 2, 'lacks expect'),
        ('questions:\n  - at: 1\n    ask: x\n    expect: {exact: a}\n', 3, "no field 'ask'"),
        (ONE.replace('question: what', 'qestion: what'), 3, 'did you mean question'),
        (ONE.replace('at: 1', 'at: -1'), 2, 'at has to be'),
        (ONE.replace('at: 1', 'at: soon'), 2, "not 'soon'"),
        (ONE.replace('at: 1', 'at: nan'), 2, 'at has to be'),
        (ONE.replace('what ?', '""'), 3, 'empty'),
        (ONE.replace('exact: red', ''), 4, 'exactly one of'),
        (ONE.replace('exact: red', 'exact: red, number: 1'), 4, 'exact and number'),
        (ONE.replace('exact: red', 'exact: red, tolerance: 1'), 4, 'belongs to number'),
        (ONE.replace('exact: red', 'exact: {}'), 4, 'text'),
        (ONE.replace('exact: red', 'number: many'), 4, "not 'many'"),
        (ONE.replace('exact: red', 'number: 1, tolerance: -1'), 4, '0 or more'),
        (ONE.replace('exact: red', 'yes/no: maybe'), 4, 'yes or no'),
        (ONE.replace('exact: red', 'pattern: "(red"'), 4, 'regular expression'),
        (ONE.replace('exact: red', 'pattern: ""'), 4, 'empty'),
        (ONE.replace('exact: red', 'choice: red'), 4, 'options'),
        (ONE.replace('exact: red', 'choice: blu, of: [red, blue]'), 4, 'did you mean blue'),
        (ONE + '    deadline: fast\n', 5, 'deadline'),
        (ONE + '    tags: [[a]]\n', 5, 'tags'),
        (ONE + '    id: a\n    id: b\n', 6, 'twice, first on line 5'),
        (ONE + '    id: q2\n  - {at: 2, question: x, expect: {exact: a}}\n', 6, 'taken by line 2'),
        (ONE + 'require: [accuracy >= 0.9 on tag:dor]\n', 5, "tag 'dor'"),
        (ONE + '    tags: [door]\nrequire:\n  - accuracy >= 0.9 on tag:dor\n', 7, 'did you mean door'),
        (ONE + 'require:\n  - recall >= 0.9\n', 6, 'accuracy'),
        (ONE + 'narration:\n  - {between: [3], must_say: a}\n', 6, 'two times'),
        (ONE + 'narration:\n  - {between: [3, 2], must_say: a}\n', 6, 'earlier one first'),
        (ONE + 'narration:\n  - {between: [1, 2]}\n', 6, 'must_say or must_not_say'),
        ('questions: &a\n  - *a\n', 1, 'holds itself'),
    ],
)
def test_a_mistake_is_named_with_file_and_line(tmp_path, text, line, word):
    file = write(tmp_path, text)
    with pytest.raises(QuestionFileError) as caught:
        read_questions(file)
    assert str(caught.value).startswith(f'{file}:{line}: ') and word in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(QuestionFileError, match='none.yaml: cannot be read'):
        read_questions(tmp_path / 'none.yaml')
    (tmp_path / 'binary.yaml').write_bytes(b'\xff\xfe\x80')
    with pytest.raises(QuestionFileError, match=r'binary.yaml: is no text'):
        read_questions(tmp_path / 'binary.yaml')


def test_order_and_range_are_checked_where_the_start_is_known(tmp_path):
    late = ONE + '  - {at: 1700000000.5, question: x, expect: {exact: a}}\n'
    found = read_questions(write(tmp_path, late))
    found.check_order(1_699_999_999_500_000_000)
    with pytest.raises(QuestionFileError, match=r":5: question 'q2', at 0.5 s, stands behind 'q1' of line 2, at 1 s"):
        found.check_order(1_700_000_000_000_000_000)

    def out_of_range(index, start, end):
        question = found.questions[index]
        return found.out_of_range(question, question.at.stamp(start), start, end)

    start, end = 10**18, 10**18 + 900_000_000
    assert ':2: question' in (told := out_of_range(0, start, end))
    assert '0.9 s long' in told and 'behind its end' in told
    assert out_of_range(0, start, end + 100_000_000) == ''
    assert 'before its start' in out_of_range(1, 2 * 10**18, 3 * 10**18)


@pytest.mark.parametrize(
    'text',
    [
        'prune_ratio: 0.5\ncacher: stc\n',
        'prune_ratio: 0.5\ncacher.method: stc\n',
        'prune_ratio: 0.5\ncacher:\n  method: stc\n',
        '/**:\n  ros__parameters:\n    use_sim_time: true\n    prune_ratio: 0.5\n    cacher:\n      method: "stc"\n',
        'ros__parameters:\n  prune_ratio: 0.5\n  cacher.method: stc\n',
    ],
)
def test_settings_may_be_flat_or_as_the_node_takes_them(tmp_path, text):
    assert read_settings(write(tmp_path, text)).changed() == {'prune_ratio': 0.5, 'cacher.method': 'stc'}


def test_the_shipped_settings_are_the_defaults(tmp_path):
    from conftest import ROOT

    assert read_settings(ROOT / 'config' / 'stream.yaml').changed() == {}
    assert read_settings(write(tmp_path, '')).changed() == {}


@pytest.mark.parametrize(
    'text, line, word',
    [
        ('cacher: stc\nprun_ratio: 0.5\n', 2, 'did you mean prune_ratio'),
        ('/**:\n  ros__parameters:\n    pruner:\n      methud: delta\n', 4, 'pruner.method'),
        ('prune_ratio: 2.0\n', 1, 'must lie in'),
        ('prune_ratio: [0.5]\n', 1, 'not a list'),
        ('- prune_ratio\n', 1, 'mapping'),
        ('a:\n  ros__parameters: {}\nb:\n  ros__parameters: {}\n', 3, 'one node'),
        ('prune_ratio: 0.5\nprune_ratio: 0.6\n', 2, 'twice'),
    ],
)
def test_a_mistake_in_settings_is_named_with_file_and_line(tmp_path, text, line, word):
    file = write(tmp_path, text)
    with pytest.raises(QuestionFileError) as caught:
        read_settings(file)
    assert str(caught.value).startswith(f'{file}:{line}: ') and word in str(caught.value)
