"""What comes over ROS is bounded, and what the node does is what its SROS 2 policy allows."""

from conftest import ROOT
from robot import PATIENCE_S, request, robot_fixture  # noqa: F401
from security.policy import read

from stc_ros.srv import Ask

MEBIBYTE = 'x' * (1 << 20)
RARE = {'/clock', '/image/compressed', '/stc_stream/events', '/stc_stream/watch'}  # by parameter, or where watches are
NEWER = {'/stc_stream/get_type_description', '/stc_stream/get_transition_graph'}  # that some ROS versions lack


def test_the_policy_allows_what_the_node_does_and_no_more(robot):
    node = robot().until_active().node
    rules = read((ROOT / 'config' / 'sros2' / 'stc_ros.policy.xml').read_text())['/stc_stream', 'stc_stream']

    def of_graph(query):
        found = {name for name, _ in getattr(node, query)('stc_stream', '/')}
        return {name for name in found if '/_action/' not in name}

    for rule, query in (
        ('topics publish', 'get_publisher_names_and_types_by_node'),
        ('topics subscribe', 'get_subscriber_names_and_types_by_node'),
        ('services reply', 'get_service_names_and_types_by_node'),
    ):
        used = of_graph(query)
        assert used <= rules[rule], f'{rule}: the policy lacks {used - rules[rule]}'
        assert rules[rule] - used <= RARE | NEWER, f'{rule}: nobody needs {rules[rule] - used}'


def test_megabytes_in_a_request_are_refused_in_few_bytes(robot):
    r = robot().until_active()
    long = r.call(Ask, 'ask', request(MEBIBYTE), PATIENCE_S)
    assert long.error_code == Ask.Response.QUESTION_TOO_LONG and len(long.error_msg) < 200
    spaces = r.call(Ask, 'ask', request(' ' * (1 << 20)), PATIENCE_S)
    assert spaces.error_code == Ask.Response.QUESTION_TOO_LONG
    other = request()
    other.camera = MEBIBYTE
    unknown = r.call(Ask, 'ask', other, PATIENCE_S)
    assert unknown.error_code == Ask.Response.INVALID_REQUEST and len(unknown.error_msg) < 400
    assert all(len(a.camera) < 100 and len(a.error_msg) < 400 for a in unknown.answers)


def test_megabytes_in_a_parameter_are_refused_in_few_bytes(robot):
    r = robot().until_active()
    for name in ('narration.prompt', 'cameras'):
        refused = r.set(**{name: MEBIBYTE})[name]
        assert not refused.successful and 0 < len(refused.reason) < 400, name
    assert r.node.settings['narration.prompt'] == ''
