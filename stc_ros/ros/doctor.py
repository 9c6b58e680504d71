"""The checks that need ROS's graph: publishers of a topic, their QoS, images that come, the clock, other middleware."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import rclpy
from rcl_interfaces.srv import GetParameters
from rclpy import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from stc_ros.doctor.finding import Finding, Level
from stc_ros.io.transports import TRANSPORTS
from stc_ros.parameter_spec import SettingError
from stc_ros.ros.camera_input import NEWEST_ONLY
from stc_ros.ros.no_image_causes import misfit, no_image_causes, nobody, of

PATIENCE_S = 2.0  # of each check
OUR_NODE = 'stc_stream'
VENDORS = {  # of RTPS, the first two bytes of an endpoint's GID: omg.org/dds vendor ids
    b'\x01\x01': 'rmw_connextdds',
    b'\x01\x0f': 'rmw_fastrtps',
    b'\x01\x10': 'rmw_cyclonedds',
}
TOPIC, CLOCK, MIDDLEWARE = 'image topic', 'clock', 'middleware'


class Examiner:
    """A node of its own that looks at what the others do."""

    def __init__(self, context: Context | None = None):
        self._own = context is None
        self.context = context or Context()
        if self._own:
            self.context.init()
        self.node = rclpy.create_node(f'stc_doctor_{os.getpid()}', context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        if self._own:
            self.context.shutdown()

    def spin_until(self, condition: Callable[[], bool], patience: float = PATIENCE_S) -> bool:
        end = time.monotonic() + patience
        while not condition():
            if time.monotonic() > end:
                return False
            self._executor.spin_once(timeout_sec=0.05)
        return True

    def watched_topics(self) -> list[tuple[str, str]]:
        """(topic, transport) of what our nodes subscribe to, of all that can be found."""
        found = []
        for name, namespace in self.our_nodes():
            for topic, types in self.node.get_subscriber_names_and_types_by_node(name, namespace):
                found += [(topic, each.name) for each in TRANSPORTS.values() if each.type in types]
        return found

    def our_nodes(self) -> list[tuple[str, str]]:
        """(name, namespace) of the nodes that are ours."""
        return [pair for pair in self.node.get_node_names_and_namespaces() if pair[0] == OUR_NODE]

    def uses_sim_time(self, name: str, namespace: str) -> bool | None:
        """Whether a node takes its time from /clock; None: it does not say."""
        service = f'{namespace.rstrip("/")}/{name}/get_parameters'
        client = self.node.create_client(GetParameters, service)
        try:
            if not self.spin_until(client.service_is_ready, PATIENCE_S / 2):
                return None
            asked = client.call_async(GetParameters.Request(names=['use_sim_time']))
            if not self.spin_until(asked.done, PATIENCE_S / 2):
                return None
            return bool(asked.result().values and asked.result().values[0].bool_value)
        finally:
            self.node.destroy_client(client)


def check_topic(examiner: Examiner, topic: str, transport: str = 'raw') -> Iterator[Finding]:
    """Whether somebody publishes images on a topic, with a type and QoS that fit, and whether they come."""
    node, came = examiner.node, []
    try:
        kind = TRANSPORTS[transport].message_class()
    except SettingError as error:
        yield Finding(TOPIC, Level.ERROR, *_split(str(error)))
        return
    subscription = node.create_subscription(kind, topic, came.append, NEWEST_ONLY)
    try:
        if not examiner.spin_until(lambda: node.count_publishers(subscription.topic_name)):
            yield Finding(TOPIC, Level.ERROR, *_split(nobody(node, subscription.topic_name)))
            return
        publishers = node.get_publishers_info_by_topic(subscription.topic_name)
        topic_name, wanted, qos = of(subscription)
        ours = [s for s in node.get_subscriptions_info_by_topic(topic_name) if s.node_name == OUR_NODE]
        qos = ours[0].qos_profile if ours else qos  # qos_overrides may have changed it
        bad = [words for each in publishers if (words := misfit(each, topic_name, wanted, qos))]
        for words in bad:
            yield Finding(TOPIC, Level.ERROR, *_split(words))
        if len(publishers) > 1:
            names = ', '.join(sorted(f'{p.node_namespace.rstrip("/")}/{p.node_name}' for p in publishers))
            text = f'{len(publishers)} publishers on {subscription.topic_name} ({names}): their images alternate'
            yield Finding(TOPIC, Level.WARN, text, 'end or remap all but one')
        yield from _vendors(topic, publishers)
        if len(bad) == len(publishers):
            return
        began = time.monotonic()
        if not examiner.spin_until(lambda: bool(came)):
            causes = '; '.join(no_image_causes(node, subscription))
            yield Finding(TOPIC, Level.ERROR, *_split(f'no image came in {PATIENCE_S:.0f} s: {causes}'))
            return
        examiner.spin_until(lambda: len(came) > 9, max(0.0, PATIENCE_S - (time.monotonic() - began)))
        yield from _of_images(node, subscription.topic_name, came, time.monotonic() - began)
    finally:
        node.destroy_subscription(subscription)


def _of_images(node, topic: str, came: list, seconds: float) -> Iterator[Finding]:
    newest = came[-1]
    taken = newest.header.stamp if hasattr(newest, 'header') else newest.timestamp  # CompressedVideo has no header
    stamp = taken.sec + taken.nanosec / 1e9
    if not stamp:
        text = f'images on {topic} carry no header.stamp, and are refused'
        yield Finding(TOPIC, Level.ERROR, text, 'let the driver stamp them')
        return
    sized = hasattr(newest, 'width')
    size = f'{newest.width} x {newest.height} {newest.encoding}' if sized else newest.format
    said = f'{topic}: {size}, {len(newest.data) >> 10} KiB, {len(came) / max(seconds, 1e-9):.1f} images/s'
    age = time.time() - stamp
    if abs(age) > 60:
        yield Finding(
            TOPIC,
            Level.WARN,
            f'{said}, but their stamps are {abs(age):.0f} s {"old" if age > 0 else "ahead"}: a bag or a simulation, '
            'or another clock',
            'bag or simulation: use_sim_time:=true and ros2 bag play --clock; else synchronise the clocks (chrony)',
        )
    else:
        yield Finding(TOPIC, Level.OK, said)


def check_clock(examiner: Examiner, use_sim_time: bool | None = None) -> Iterator[Finding]:
    """Whether /clock runs where a node waits for it. use_sim_time: None asks our nodes."""
    node, times = examiner.node, []
    quick = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    subscription = node.create_subscription(Clock, '/clock', times.append, quick)
    try:
        who = OUR_NODE
        if use_sim_time is None:
            answers = {pair: examiner.uses_sim_time(*pair) for pair in examiner.our_nodes()}
            use_sim_time = any(answers.values())
            who = ', '.join(f'{ns.rstrip("/")}/{name}' for (name, ns), sim in answers.items() if sim) or who
        examiner.spin_until(lambda: node.count_publishers('/clock'), PATIENCE_S / 2)
        if node.count_publishers('/clock'):
            examiner.spin_until(lambda: len({_ns(m) for m in times}) > 1, PATIENCE_S)
        yield clock_finding(who, use_sim_time, node.count_publishers('/clock'), len({_ns(m) for m in times}) > 1)
    finally:
        node.destroy_subscription(subscription)


def clock_finding(who: str, use_sim_time: bool, publishers: int, runs: bool) -> Finding:
    """What a node's source of time and /clock mean together."""
    if use_sim_time and not publishers:
        text = f'{who} takes its time from /clock (use_sim_time), and nobody publishes it: its time stands still'
        return Finding(
            CLOCK, Level.ERROR, text, 'start the simulation, or ros2 bag play --clock; or use_sim_time:=false'
        )
    if use_sim_time and not runs:
        text = f'{who} takes its time from /clock, which stands still'
        return Finding(CLOCK, Level.WARN, text, 'go on with the simulation or the bag, if it is paused')
    if publishers and not use_sim_time:
        text = f'/clock is published, but {who} takes the time of the machine'
        return Finding(CLOCK, Level.WARN, text, 'start it with use_sim_time:=true, or end the simulation or bag')
    return Finding(CLOCK, Level.OK, 'taken from /clock, which runs' if use_sim_time else "the machine's")


def _vendors(topic: str, publishers) -> Iterator[Finding]:
    """Publishers of another middleware, which DDS vendors tell in each endpoint's GID."""
    from rclpy.utilities import get_rmw_implementation_identifier

    own = get_rmw_implementation_identifier()
    for publisher in publishers:
        vendor = VENDORS.get(bytes(publisher.endpoint_gid[:2]))
        if vendor and any(own.startswith(each) for each in VENDORS.values()) and not own.startswith(vendor):
            yield Finding(
                MIDDLEWARE,
                Level.WARN,
                f'{publisher.node_name}, which publishes {topic}, uses {vendor}, and this process {own}: large images '
                'and services may not pass',
                'start all nodes with the same RMW_IMPLEMENTATION',
            )


def examine(topic: str, transport: str, use_sim_time: bool | None = None) -> Iterator[Finding]:
    """All checks of the graph; topic: '' is what our nodes watch, or `image`."""
    examiner = Examiner()
    try:
        examiner.spin_until(lambda: bool(examiner.our_nodes()), PATIENCE_S / 2)
        for each in [(topic, transport)] if topic else examiner.watched_topics() or [('image', transport)]:
            yield from check_topic(examiner, *each)
        yield from check_clock(examiner, use_sim_time)
    finally:
        examiner.close()


def _split(words: str) -> tuple[str, str]:
    """A sentence "cause: remedy" -> both."""
    cause, _, remedy = words.rpartition(': ')
    return (cause, remedy) if cause else (words, '')


def _ns(clock: Clock) -> int:
    return clock.clock.sec * 10**9 + clock.clock.nanosec
