"""A file of watches: what it may say, and how what is wrong is named."""

import pytest

from stc_ros.io.marked_yaml import FileError
from stc_ros.watches.checks import WatchError
from stc_ros.watches.rule import Watch
from stc_ros.watches.watch_file import __doc__ as documented
from stc_ros.watches.watch_file import read_watches

SECOND = 1_000_000_000


@pytest.fixture
def file(tmp_path):
    def write(text):
        (tmp_path / 'w.yaml').write_text(text)
        return tmp_path / 'w.yaml'

    return write


def test_what_it_documents_is_read(file):
    found = read_watches(file(documented.split('\n\n', 1)[1]))
    assert found.watches == (
        Watch('circle', 'is there a red circle ?', 'front', 0.9, 0.05, 2, SECOND // 2, 10 * SECOND, 60 * SECOND, False),
    )
    assert found.lines == (2,) and len(found.digest) == 64


def test_all_but_the_condition_may_be_left_out_and_is_the_parameters(file):
    found = read_watches(file('watches:\n  - condition: is it ?\n  - {condition: "what ? = red", once: yes}\n'))
    first, second = found.watches
    assert first == Watch('watch1', 'is it ?', '', 0.0, 0.0, 0)
    assert (second.name, second.condition, second.once) == ('watch2', 'what ? = red', True)
    assert found.refusal(WatchError('no', number=1)) == f'{found.file}:3: no'


@pytest.mark.parametrize(
    'text, line, reason',
    [
        ('', 1, 'a mapping'),
        ('watches:\n', 1, 'no watch'),
        ('watch:\n  - condition: a\n', 1, 'did you mean watches'),
        ('watches:\n  - name: a\n', 2, 'lacks condition'),
        ('watches:\n  - condition: a\n    tresh: 1\n', 3, "no field 'tresh'"),
        ('watches:\n  - condition: a\n    threshold: 1\n', 3, 'threshold must lie'),
        ('watches:\n  - condition: a\n    threshold: high\n', 3, 'threshold has to be a number'),
        ('watches:\n  - condition: a\n    looks: 1.5\n', 3, 'whole number'),
        ('watches:\n  - condition: a\n    threshold: 0.5\n    rearm: 0.6\n', 4, 'rearm must lie'),
        ('watches:\n  - condition: a\n    once: perhaps\n', 3, 'true or false'),
        ('watches:\n  - condition: a\n    hold: -1\n', 3, 'hold'),
        ('watches:\n  - condition: "  "\n', 2, 'empty'),
        ('watches:\n  - {condition: a, name: x}\n\n  - {condition: b, name: x}\n', 4, 'taken by line 2'),
        ('watches:\n  - {condition: a, name: a b}\n', 2, 'letters, digits'),
        ('watches: [', 1, 'no YAML'),
    ],
)
def test_what_is_wrong_is_named_by_file_and_line(file, text, line, reason):
    path = file(text)
    with pytest.raises(FileError) as error:
        read_watches(path)
    assert str(error.value).startswith(f'{path}:{line}: ') and reason in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileError, match='nothing.yaml'):
        read_watches(tmp_path / 'nothing.yaml')
