"""What benchmarks/clients.py takes for a reply to its own question, and that its stream says which one it answers."""

import sys
from pathlib import Path

import pytest
from fake_stream import FakeStream

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
if not BENCHMARKS.is_dir():
    pytest.skip('the benchmarks are not installed', allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

from clients import Echoing, is_own  # noqa: E402


def test_an_answer_bears_the_mark_of_its_question_and_no_other():
    stream = FakeStream(words=2)
    stream.stamps = [1, 2]
    echoing = Echoing(stream)
    answer = echoing.ask('#c3n7# what ?', 8)
    text = ''.join(answer)
    assert text == '#c3n7#word1 word2 ' and answer.report.finished and ('ask', ' what ?') in stream.log
    assert is_own(text, '#c3n7#') and not is_own(text, '#c3n71#') and not is_own(text, '#c3n#')
    assert not is_own('word1', '#c3n7#') and not is_own(text + text, '#c3n7#')
    assert ''.join(echoing.ask('a narration', 8)) == 'word1 word2 '
    assert echoing.settings is stream.settings
