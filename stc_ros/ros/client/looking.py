"""The newest frame of the topic that the node watches, as a JPEG, with the newest narration."""

from __future__ import annotations

import asyncio
import io

from PIL import Image as Picture
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from stc_ros.client.answers import Look, seconds
from stc_ros.client.errors import InvalidRequest, NoFrames
from stc_ros.io import image_messages
from stc_ros.msg import Narration
from stc_ros.ros.client.link import Deadline, Link

NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
NARRATED_S = 0.5  # a narration that is there already arrives within this time
KINDS = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}


class Looking:
    """image: the topic to take frames from; empty: the one that the node subscribes to."""

    def __init__(self, link: Link, stream_node: str, image: str):
        self._link, self._image = link, link.topic_name(image) if image else ''
        self._stream_node = link.service_name(stream_node)
        self._narrations: dict[str, Narration | None] = {}  # by topic; the node narrates while somebody listens

    async def look(self, camera: str, longest: int, deadline: Deadline) -> Look:
        """longest: pixels of the picture's longer side, at most. Raises `NotFound`, `NoFrames`, `InvalidRequest`."""
        topic, kind = await self._topic(camera, deadline)
        narration = await self._narration(f'{self._stream_node}/{f"{camera}/" if camera else ""}narration')
        message = await self._newest(topic, kind, deadline)
        try:
            picture = Picture.fromarray(image_messages.to_rgb(message))
        except image_messages.FrameInvalid as error:
            raise NoFrames(f'the newest frame on {topic} is no picture: {error}') from None
        picture.thumbnail((longest, longest))
        file = io.BytesIO()
        picture.save(file, 'JPEG', quality=85)
        return Look(
            file.getvalue(),
            seconds(message.header.stamp),
            topic,
            narration.text if narration else '',
            seconds(narration.header.stamp) if narration else 0.0,
        )

    async def _topic(self, camera: str, deadline: Deadline) -> tuple[str, type]:
        namespace, _, name = self._stream_node.rpartition('/')
        node, found = self._link.node, []

        def subscribed() -> bool:
            nonlocal found
            if self._image:
                listed = [(t, kinds) for t, kinds in node.get_topic_names_and_types() if t == self._image]
            elif (name, namespace or '/') in node.get_node_names_and_namespaces():
                listed = node.get_subscriber_names_and_types_by_node(name, namespace or '/')
            else:
                listed = []
            found = [(topic, KINDS[kind]) for topic, kinds in listed for kind in kinds if kind in KINDS]
            return bool(found)

        await self._link.ready(subscribed, deadline, self._image or f'the image topic of {self._stream_node}')
        topics = {topic: kind for topic, kind in found}
        mine = [t for t in topics if camera in t.split('/')] if camera else list(topics)
        if not mine:
            raise InvalidRequest(f'no image topic of camera {camera!r}; there are: {", ".join(topics)}')
        return mine[0], topics[mine[0]]

    async def _newest(self, topic: str, kind: type, deadline: Deadline):
        came = self._link.loop.create_future()

        def take(message) -> None:
            if not came.done():
                came.set_result(message)

        subscription = self._link.node.create_subscription(kind, topic, lambda m: self._link.soon(take, m), NEWEST)
        try:
            return await asyncio.wait_for(came, deadline.left)
        except asyncio.TimeoutError:
            publishers = self._link.node.count_publishers(topic)
            raise NoFrames(
                f'no image on {topic} within {deadline.timeout:g} s, where {publishers} publish: is the camera started?'
            ) from None
        finally:
            self._link.do(self._link.node.destroy_subscription, subscription)

    async def _narration(self, topic: str) -> Narration | None:
        if topic not in self._narrations:
            self._narrations[topic] = None
            self._link.node.create_subscription(
                Narration, topic, lambda message: self._narrations.update({topic: message}), LATCHED
            )
            await asyncio.sleep(NARRATED_S)
        return self._narrations[topic]
