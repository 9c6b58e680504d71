"""Two results beside each other: what is better, what is worse, what may be chance, and how that ends."""

import json

import pytest

from stc_ros.__main__ import main


def write(folder, scores, **changes):
    """A result with a question for each score."""
    folder.mkdir(parents=True)
    lines = [{'kind': 'run', 'name': folder.name}]
    for number, score in enumerate(scores):
        lines.append(
            {
                'kind': 'question',
                'id': f'q{number}',
                'camera': '/a',
                'stamp': number,
                'question': f'what | is {number} ?',
                'answer': f'answer of {folder.name}',
                'error': 'NONE',
                'expected': {'exact': 'red'},
                'score': score,
                'passed': score == 1,
                'tags': ['even' if number % 2 == 0 else 'odd'],
                **changes,
            }
        )
    lines.append({'kind': 'summary'})
    (folder / 'result.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    return folder


@pytest.fixture
def compared(tmp_path, capsys):
    def run(before, after, *options, **changes):
        a, b = write(tmp_path / 'A', before), write(tmp_path / 'B', after, **changes)
        code = main(['compare', str(a), str(b), *options])
        found = capsys.readouterr()
        return code, found.out + found.err

    return run


def test_significantly_worse_ends_with_1(compared):
    code, said = compared([1] * 10, [0] * 7 + [1] * 3)
    assert code == 1 and '0 better, 7 worse: B is significantly worse (p = 0.0156)' in said


def test_worse_by_what_may_be_chance_ends_with_0_and_with_1_where_any_counts(compared):
    code, said = compared([1] * 10, [0] * 5 + [1] * 5)
    assert code == 0 and '0 better, 5 worse: that may be chance (p = 0.0625)' in said


def test_any_question_that_got_worse_may_end_with_1(compared):
    assert compared([1, 0, 0], [0, 1, 1], '--any')[0] == 1


def test_significantly_better_ends_with_0(compared):
    code, said = compared([0] * 8, [1] * 8)
    assert code == 0 and 'B is significantly better (p = 0.00781)' in said


def test_the_level_can_be_chosen(compared):
    assert compared([1] * 10, [0] * 5 + [1] * 5, '--alpha', '0.1')[0] == 1


def test_no_difference(compared):
    code, said = compared([1, 0, 0.5], [1, 0, 0.5])
    assert code == 0 and 'No answer got better or worse' in said and 'answer of' not in said


def test_what_got_worse_and_better_stands_there_by_question_and_tag(compared):
    code, said = compared([1, 1, 0.5, 0], [0, 1, 0.75, 0])
    lines = [line.split() for line in said.splitlines()]
    assert ['even', '2', '0.750', '0.375', '1', '1', '1'] in lines and [
        'odd',
        '2',
        '0.500',
        '0.500',
        '0',
        '0',
        '1',
    ] in lines
    worse, better = said.split('worse:')[-1].split('better:')
    assert 'q0' in worse and 'q2' in better and 'q1' not in worse + better and 'answer of A' in worse


def test_markdown_has_tables_that_no_text_breaks(compared):
    code, said = compared([1, 1], [0, 1], '--markdown')
    rows = [line for line in said.splitlines() if line.startswith('|')]
    assert {row.replace('\\|', '').count('|') for row in rows} == {8, 6}  # two tables, their cells escaped
    assert '**worse**' in said and 'what \\| is 0 ?' in said


def test_questions_that_only_one_has_are_left_out_and_counted(compared):
    code, said = compared([1, 1, 0, 0], [1, 1])
    assert code == 0 and 'Left out: 2 questions that only A has, 0 only B' in said


@pytest.mark.parametrize('key, value', [('question', 'other ?'), ('stamp', 99), ('expected', {'exact': 'blue'})])
def test_results_of_other_questions_cannot_be_compared(compared, key, value):
    code, said = compared([1], [1], **{key: value})
    assert code == 2 and "question 'q0' is not the same" in said and key in said


def test_what_is_no_result_is_named(tmp_path, capsys):
    a = write(tmp_path / 'one' / 'A', [1])
    for path, word in [
        (tmp_path / 'none', 'there is no result.jsonl'),
        (write(tmp_path / 'two' / 'A', []).parent, 'no question in common'),
        (tmp_path / 'part', 'was not finished'),
        (tmp_path / 'broken', 'result.jsonl:1: no JSON'),
        (tmp_path / 'half', 'not the whole result'),
    ]:
        path.mkdir(exist_ok=True)
        if path.name == 'part':
            (path / 'result.jsonl.part').write_text('')
        elif path.name in ('broken', 'half'):
            (path / 'result.jsonl').write_text('{"kind' if path.name == 'broken' else '{"kind": "run"}\n')
        assert main(['compare', str(a), str(path)]) == 2 and word in capsys.readouterr().err
    write(tmp_path / 'one' / 'B', [1])
    assert main(['compare', str(a), str(tmp_path / 'one')]) == 2  # which of the two?
    assert 'name one of them' in capsys.readouterr().err
