"""Messages, services and actions: what their files say, and that what was built is what they say."""

import re

import pytest
from conftest import ROOT

INTERFACES = [*ROOT.glob('msg/*.msg'), *ROOT.glob('srv/*.srv'), *ROOT.glob('action/*.action')]


def fields_of(part: str) -> list[str]:
    """Type, name and constant of each line, without comments and blanks."""
    lines = (re.sub(r'\s*#.*', '', line) for line in part.splitlines())
    return [' '.join(line.split()) for line in lines if line]


def test_service_and_action_ask_and_answer_the_same():
    service = (ROOT / 'srv/Ask.srv').read_text().split('---')
    action = (ROOT / 'action/AskStream.action').read_text().split('---')
    for of_service, of_action in zip(service, action):
        assert fields_of(of_service) == fields_of(of_action)


def test_error_codes_are_distinct_and_none_is_zero():
    codes = dict(re.findall(r'^uint16 (\w+) = (\d+)', (ROOT / 'srv/Ask.srv').read_text(), re.MULTILINE))
    assert codes['NONE'] == '0'
    assert len(set(codes.values())) == len(codes) >= 10


def complaints(interface: str) -> list[str]:
    """What `ros2 interface show` would leave open: lines without a comment, quantities without a unit."""
    wrong = [] if interface.startswith('# ') else ['it does not begin with what it is for']
    for line in filter(None, interface.splitlines()):
        field, _, comment = line.partition('#')
        if not field.strip() or field.strip() == '---':
            continue
        if not comment.strip():
            wrong.append(f'no comment: {line}')
        elif re.match(r'float|builtin_interfaces/Duration', field) or re.search(r'bytes|budget', field):
            if not re.match(r' [[(][^])]+[])] \w', comment):
                wrong.append(f'no unit: {line}')
    return wrong


@pytest.mark.parametrize('path', INTERFACES, ids=lambda path: path.name)
def test_every_field_says_what_it_is_and_in_which_unit(path):
    assert not complaints(path.read_text())


@pytest.mark.parametrize(
    'line',
    [
        'float32 age  # of the frame',
        'uint64 memory_bytes  # held',
        'bool on',
        'builtin_interfaces/Duration timeout  # then it ends',
        'uint16 NONE = 0',
        'string text  #',
    ],
)
def test_a_field_that_leaves_something_open_is_found(line):
    assert complaints(f'# A message.\n{line}\n') and complaints('bool on  # it is on\n')
    assert not complaints('# A message.\nfloat32 age  # [s] of the frame\nfloat32[] scores  # [0, 1] of each token\n')


def test_every_interface_is_generated():
    listed = set(re.findall(r'"((?:msg|srv|action)/\w+\.\w+)"', (ROOT / 'CMakeLists.txt').read_text()))
    assert listed == {str(path.relative_to(ROOT)) for path in INTERFACES}


def test_the_built_interfaces_are_those_of_the_files():
    srv = pytest.importorskip('stc_ros.srv', reason='the interfaces are not built: run ./dev build')
    request = fields_of((ROOT / 'srv/Ask.srv').read_text().split('---')[0])
    assert [line.split()[1] for line in request] == list(srv.Ask.Request.get_fields_and_field_types())
    assert srv.Ask.Response.OUT_OF_MEMORY == 9
