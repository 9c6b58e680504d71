"""A node that publishes its questions, heard over real DDS: what a bag of it holds becomes a question file."""

from pathlib import Path

import pytest
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from robot import robot_fixture  # noqa: F401
from rosbags.interfaces import Connection, MessageDefinition, MessageDefinitionFormat
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from small_bags import BEGIN, put

from stc_ros.evaluation.question_log import read_log
from stc_ros.io.bag_types import definitions
from stc_ros.io.bag_writer import BagWriter
from stc_ros.io.bags import Bag
from stc_ros.srv import Ask

ROOT = Path(__file__).parents[2]
TYPE = 'stc_ros/srv/Ask_Event'


@pytest.mark.parametrize('on', [True, False])
def test_what_is_asked_is_published_where_that_is_wanted(robot, ros, tmp_path, on):
    r = robot(**{'query.introspection': on}).watch()
    events = r.listen(Ask.Event, '/ask/_service_event', QoSProfile(depth=50))
    reply = r.ask('what is red?', max_new_tokens=5)
    assert ros.spin_until(lambda: len(events) >= 2, timeout=10 if on else 1) is on
    if not on:
        return
    types = get_typestore(Stores.ROS2_JAZZY)
    types.register(get_types_from_msg((ROOT / 'msg' / 'CameraAnswer.msg').read_text(), 'stc_ros/msg/CameraAnswer'))
    none = MessageDefinition(MessageDefinitionFormat.MSG, '')
    found = definitions(Connection(1, '/x', TYPE, none, '', 0, None, None))
    types.register({name: fields for name, fields in found.items() if name not in types.fielddefs})
    with BagWriter(tmp_path / 'bag', types=types) as writer:
        writer.advertise('/ask/_service_event', TYPE)
        for each in events:
            writer.record('/ask/_service_event', BEGIN, serialize_message(each))
        for stamp in (reply.first_stamp, reply.last_stamp):
            put(writer, 0, header=writer.header(stamp.sec * 10**9 + stamp.nanosec, 'lens'))
    with Bag([tmp_path / 'bag']) as bag:
        (asked,) = read_log(bag).questions
    assert (asked.question, asked.answer) == ('what is red?', reply.answer.strip())
    assert asked.stamp == reply.last_stamp.sec * 10**9 + reply.last_stamp.nanosec
