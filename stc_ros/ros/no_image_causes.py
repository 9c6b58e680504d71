"""Why do no images arrive? The likely causes that can be found from here, each with its remedy."""

from __future__ import annotations

import os

from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.utilities import get_rmw_implementation_identifier

from stc_ros.io.transports import TRANSPORTS
from stc_ros.ros.fastdds import VARIABLE

TYPES = {name: transport.type for name, transport in TRANSPORTS.items()}


def no_image_causes(node, subscription) -> list[str]:
    """Sentences about the topic of an image `subscription` on which nothing arrives; at least one."""
    publishers = node.get_publishers_info_by_topic(subscription.topic_name)
    if not publishers:
        return [nobody(node, subscription.topic_name)]
    if causes := [words for publisher in publishers if (words := misfit(publisher, *of(subscription)))]:
        return causes
    if not os.environ.get(VARIABLE) and 'fastrtps' in get_rmw_implementation_identifier():
        causes.append(
            f'{VARIABLE} is not set: without a profile images above 512 KiB are lost between processes; '
            'set it to share/stc_ros/config/fastdds.xml'
        )
    else:
        causes.append(
            f'{len(publishers)} publisher(s) fit, but send nothing, or images above 512 KiB are lost because '
            f'{VARIABLE} is not set where they run (set it to share/stc_ros/config/fastdds.xml)'
        )
    return causes


def misfit(publisher, topic: str, wanted: str, qos: QoSProfile) -> str:
    """Why what a publisher sends never reaches a subscription, by its type or QoS; '' where nothing stands against it.

    wanted: the type that is subscribed to, sensor_msgs/msg/Image, say.
    """
    who = _name(publisher)
    if publisher.topic_type != wanted:
        fits = [f'set input.transport to {name} or ' for name, kind in TYPES.items() if kind == publisher.topic_type]
        return f'{who} publishes {publisher.topic_type} there, not {wanted}: {"".join(fits[:1])}remap image'
    compatible, reason = qos_check_compatible(publisher.qos_profile, qos)
    if compatible == QoSCompatibility.ERROR:
        return f'the QoS of {who} does not fit ({reason.strip()}): change qos_overrides.{topic}.subscription.*'
    return ''


def of(subscription) -> tuple[str, str, QoSProfile]:
    """Topic, type and QoS of a subscription."""
    return subscription.topic_name, type_name(subscription.msg_type), subscription.qos_profile


def publisher_names(node, topic: str) -> list[str]:
    """The nodes that publish on a topic, by name; one that has two publishers stands twice."""
    if node.count_publishers(topic) < 2:  # a look at each takes longer
        return []
    return sorted(map(_name, node.get_publishers_info_by_topic(topic)))


def type_name(message_type) -> str:
    """sensor_msgs/msg/Image, say."""
    package, kind, *_ = message_type.__module__.split('.')
    return f'{package}/{kind}/{message_type.__name__}'


def _name(publisher) -> str:
    return f'{publisher.node_namespace.rstrip("/")}/{publisher.node_name}'


def nobody(node, topic: str) -> str:
    images = [
        name
        for name, types in node.get_topic_names_and_types()
        if any(t in TYPES.values() for t in types)
        and name != topic
        and node.count_publishers(name)
        and not name.endswith('/overlay/compressed')
    ]
    hint = f'; images are published on {", ".join(sorted(images))}' if images else ''
    return (
        f'nobody publishes on {topic}{hint}: start the camera, or name its topic '
        '(image:=... with ros2 launch, -r image:=... with ros2 run)'
    )
