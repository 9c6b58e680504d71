"""The demo's command line: what follows from it, and what is refused before anything starts."""

import pytest

from demo import options as command_line


def test_questions_come_from_the_model(tmp_path):
    options = command_line.parse(['--model', str(tmp_path)])
    assert command_line.questions(options) == list(command_line.QUESTIONS)
    (tmp_path / 'stc.json').write_text('{"questions": ["how many circles?"]}')
    assert command_line.questions(options) == ['how many circles?']
    assert command_line.questions(command_line.parse(['--ask', 'a?', '--ask', 'b?'])) == ['a?', 'b?']


def test_a_watch_fits_the_model_unless_others_are_given():
    assert command_line.watches(command_line.parse([])) == [command_line.EMBEDDED_WATCH]
    assert command_line.watches(command_line.parse(['--model', 'a/b'])) == [command_line.WATCH]
    assert command_line.watches(command_line.parse(['--watch', 'a', '--watch', 'b'])) == ['a', 'b']


def test_only_settings_that_were_given_reach_the_node():
    assert command_line.node_arguments(command_line.parse([])) == ['--ros-args', '-p', 'autostart:=true']
    options = command_line.parse(['--model', 'a/b', '--prune-ratio', '0'])
    assert command_line.node_arguments(options)[3:] == ['-p', 'prune_ratio:=0.0', '-p', 'model.name:="a/b"']


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['--source', '/nowhere.mp4'], ['/nowhere.mp4', 'no such file']),
        (['--prune-ratio', '2'], ['prune_ratio', '0.95']),
        (['--seconds', '-1'], ['must not be negative']),
        (['--json', '/nowhere/figures.json'], ['no folder /nowhere']),
        (['--profile', 'seaside'], ['busy']),
        (['--quiz', '--source', __file__], ['--source']),
        (['--quiz', '--ask', 'what ?'], ['--ask']),
    ],
)
def test_arguments_without_sense_are_refused_before_anything_starts(capsys, arguments, words):
    with pytest.raises(SystemExit) as exit:
        command_line.parse(arguments)
    assert exit.value.code == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words), said


def test_on_real_video_it_says_what_the_embedded_model_knows():
    embedded = command_line.parse(['--source', __file__])
    assert 'synthetic world' in command_line.caution(embedded)
    assert f'--model {command_line.REAL_MODEL}' in command_line.caution(embedded)
    assert command_line.caution(command_line.parse(['--source', __file__, '--model', 'a/b'])) == ''
    assert command_line.caution(command_line.parse([])) == ''
