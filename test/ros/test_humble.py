"""A node where rclpy lacks what Humble's lacks."""

import pytest
from rclpy.node import Node
from robot import robot_fixture  # noqa: F401

from stc_ros.ros import humble
from stc_ros.srv import Ask


@pytest.fixture
def as_on_humble(monkeypatch):
    for name in ('add_pre_set_parameters_callback', 'add_post_set_parameters_callback'):
        monkeypatch.delattr(Node, name)
    monkeypatch.setattr(humble, 'ServiceIntrospectionState', None)


def test_parameters_are_checked_and_taken(as_on_humble, robot, ros):
    r = robot(**{'query.introspection': True}).watch()  # asked for what is not there: said, and no more
    assert r.set(prune_ratio=0.25)['prune_ratio'].successful
    assert ros.spin_until(lambda: r.node.settings['prune_ratio'] == 0.25)
    assert ros.spin_until(lambda: r.session.settings['prune_ratio'] == 0.25)
    refused = r.set(prune_ratio=7.0)['prune_ratio']
    assert not refused.successful and '0.95' in refused.reason
    assert r.node.settings['prune_ratio'] == 0.25
    assert r.set(**{'pruner.method': 'stc'})['pruner.method'].successful
    assert ros.spin_until(lambda: r.node.has_parameter('pruner.stc.history_frames'))
    assert r.ask().error_code == Ask.Response.NONE


def test_a_wrong_type_is_refused_and_the_node_goes_on(as_on_humble, robot, ros):
    r = robot().watch()
    assert not r.set(prune_ratio=1)['prune_ratio'].successful
    assert r.ask().error_code == Ask.Response.NONE
