"""The Python that docs/planners.md shows runs, against a node of the test's own, and its table of errors is whole."""

import re

import pytest
from conftest import ROOT
from fake_node import FakeNode

from stc_ros.action import AskStream
from stc_ros.client import errors

PAGE = (ROOT / 'docs' / 'planners.md').read_text()
BLOCKS = re.findall(r'```python\n(.*?)```', PAGE, re.S)
SAID = ('is red (the newest', '[planner]: is red', 'a red circle\n2 tokens', 'found by watch')


def stream(goal):
    for piece in ('a red', ' circle'):
        goal.publish_feedback(AskStream.Feedback(text=piece))
    goal.succeed()
    return AskStream.Result(answer='a red circle', tokens=2)


@pytest.mark.parametrize('number', range(len(SAID)))
def test_a_block_runs(ros, capfd, number):
    assert len(BLOCKS) == len(SAID)
    node = FakeNode(ros)
    node.reply, node.act = lambda request: {'answer': 'is red'}, stream
    node.on_watch = node.rise
    try:
        exec(compile(BLOCKS[number], 'planners.md', 'exec'), {'__name__': 'page'})
    finally:
        node.close()
    out, err = capfd.readouterr()
    assert SAID[number] in out + err, out + err


def test_every_error_is_in_the_table():
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    listed = re.findall(r'`(\w+)`', PAGE[PAGE.index('| error | code |') : PAGE.index('An answer is no fact')])
    assert kinds - {'StcError'} <= set(listed)
