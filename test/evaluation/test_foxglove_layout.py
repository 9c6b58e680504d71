"""config/foxglove.json: every topic and field that it shows is in a result bag, and is the live node's."""

import json
import re

import pytest
from conftest import ROOT
from evaluation.result_calls import QUESTIONS, calls_of, messages, write

from stc_ros.evaluation.result_messages import DIAGNOSTICS, IMAGE, LOG, NUMBER, STATS
from stc_ros.io.bags import Bag

LAYOUT = ROOT / 'config' / 'foxglove.json'


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    return write(tmp_path_factory.mktemp('result'), calls_of(questions=QUESTIONS))


def panels(layout):
    """The panels that the tree shows."""
    return [layout] if isinstance(layout, str) else [p for part in ('first', 'second') for p in panels(layout[part])]


def paths(layout):
    """Every topic or topic.field that a panel shows, and the types of message that the panel takes; (): any."""
    for name, panel in layout['configById'].items():
        kind = name.split('!')[0]
        if kind == 'Image':
            yield panel['imageMode']['imageTopic'], (IMAGE,)
        elif kind == 'Plot':
            yield from ((path['value'], (STATS, NUMBER)) for path in panel['paths'])
        elif kind == 'RawMessages':
            yield panel['topicPath'], ()
        elif kind == 'RosOut':
            yield panel['topicToRender'], (LOG,)
        elif kind == 'DiagnosticSummary':
            yield panel['topicToRender'], (DIAGNOSTICS,)
        else:
            raise AssertionError(f'this test knows no panel {name}')


def missing(layout, file):
    """What the layout shows and the file has not."""
    types = {name: (type, count) for name, type, count in Bag([file]).topics()}
    found = messages(file)
    for path, taken in paths(layout):
        topic, _, field = path.partition('.')
        if topic not in types or not types[topic][1] or (taken and types[topic][0] not in taken):
            yield path
        elif field and not hasattr(found[topic][0][1], field):
            yield path


def test_the_layout_shows_only_what_is_there(made):
    layout = json.loads(LAYOUT.read_text())
    assert sorted(panels(layout['layout'])) == sorted(layout['configById'])
    assert {'configById', 'globalVariables', 'userNodes', 'playbackConfig', 'layout'} == set(layout)
    assert list(missing(layout, made)) == []
    shown = {path.split('.')[-1] for path, _ in paths(layout)}
    assert shown >= {'patches_recomputed', 'visual_tokens_kept', 'memory_tokens', 'total_ms', '/rosout', '/diagnostics'}


@pytest.mark.parametrize('wrong', ['stats.memory_token', 'stat.memory_tokens', 'answers'])
def test_a_wrong_path_in_the_layout_would_be_found(made, wrong):
    text = LAYOUT.read_text().replace('/stc_stream/stats.memory_tokens', f'/stc_stream/{wrong}')
    assert list(missing(json.loads(text), made)) == [f'/stc_stream/{wrong}']


def test_the_layout_is_of_the_live_node_too():
    """Its topics are named in the sources: `~/stats`, or, with several cameras, `~/{prefix}stats`."""
    source = (ROOT / 'stc_ros' / 'ros' / 'publishers.py').read_text()
    live = {f'/stc_stream/{name}' for name in re.findall(r"'~/(?:\{prefix\})?([a-z_/]+)'", source)}
    shown = {path.split('.')[0] for path, _ in paths(json.loads(LAYOUT.read_text()))}
    assert {topic for topic in shown if topic.startswith('/stc_stream/')} <= live
    assert shown - live == {'/image/compressed', '/rosout', '/diagnostics'}


def test_one_word_makes_it_the_layout_of_another_camera(tmp_path):
    """As docs/evaluation.md says."""
    cameras = '/front/image_raw', '/rear/image_raw'
    frames = [(camera, t / 2, t) for t in range(5) for camera in cameras]
    file = write(tmp_path, calls_of(frames, topics=cameras), cameras)
    page = (ROOT / 'docs' / 'evaluation.md').read_text()
    (edit,) = re.findall(r"sed '(s#.*?)' config/foxglove.json", page)
    text = LAYOUT.read_text()
    for each in edit.split('; '):
        _, old, new, _ = each.split('#')
        text = text.replace(old, new)
    assert list(missing(json.loads(text), file)) == []
    assert len(list(missing(json.loads(LAYOUT.read_text()), file))) > 5
