"""Several nodes in one process and one executor: what rclpy has in place of the composable nodes of C++."""

import threading

import numpy as np
import pytest
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from robot import PATIENCE_S, picture, request
from sensor_msgs.msg import Image

from stc_ros.msg import StreamStats
from stc_ros.ros.main import spin, stop_spinning
from stc_ros.ros.node import StreamNode
from stc_ros.srv import Ask

NAMESPACES = 'front', 'rear'


@pytest.fixture
def nodes(ros, toy):
    """Two nodes that load a model at the same time, each on a worker thread of its own."""
    given = [Parameter('model.name', value=str(toy)), Parameter('memory.max_tokens', value=90)]
    nodes = [StreamNode(namespace=name, context=ros.context, parameter_overrides=given) for name in NAMESPACES]
    executor, ended = SingleThreadedExecutor(context=ros.context), threading.Event()
    for node in nodes:
        executor.add_node(node)
    thread = threading.Thread(target=spin, args=(executor, nodes[0], ended))
    thread.start()
    yield nodes
    for node in nodes:
        node.close()
    stop_spinning(executor, ended)
    thread.join(10)
    executor.shutdown()
    for node in nodes:
        assert node.worker.join(5)
        node.destroy_node()


def test_two_nodes_of_one_executor_load_and_watch_and_answer(ros, nodes):
    stats = {name: [] for name in NAMESPACES}
    for name in NAMESPACES:
        ros.node.create_subscription(StreamStats, f'{name}/stc_stream/stats', stats[name].append, 10)
    assert ros.spin_until(lambda: all(node.active for node in nodes), PATIENCE_S), [node.fault for node in nodes]

    cameras = {name: ros.node.create_publisher(Image, f'{name}/image', 1) for name in NAMESPACES}

    def film():
        for name, camera in cameras.items():
            image = np.random.default_rng().integers(0, 255, (24, 32, 3), np.uint8)
            camera.publish(picture(image, ros.node.get_clock().now().to_msg(), frame_id=name))

    ros.node.create_timer(0.1, film)
    assert ros.spin_until(lambda: all(stats.values())), {name: len(seen) for name, seen in stats.items()}
    for name, seen in stats.items():
        assert {message.header.frame_id for message in seen} == {name}  # its own camera's, and nothing of the other's

    clients = [ros.node.create_client(Ask, f'{name}/ask') for name in NAMESPACES]
    assert ros.spin_until(lambda: all(client.service_is_ready() for client in clients))
    replies = [client.call_async(request(max_new_tokens=4)) for client in clients]
    assert ros.spin_until(lambda: all(reply.done() for reply in replies))
    assert [reply.result().error_code for reply in replies] == [Ask.Response.NONE] * 2
