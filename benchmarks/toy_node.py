"""A node on a model with random weights, in this process; where no ROS domain is set, in one of its own."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

MEMORY = {'memory.max_tokens': 90}


def resident_mib() -> float:
    """Memory of this process (Linux)."""
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20


@contextlib.contextmanager
def toy_node(open_stream: Callable[[Any, Any], Any] | None = None, **parameters) -> Iterator[tuple[Any, Any]]:
    """The node, spun in a thread of its own, and its context.

    open_stream: (model, settings) -> stream.
    """
    os.environ.setdefault('ROS_DOMAIN_ID', str(1 + os.getpid() % 100))
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    from stc_ros.ros import fastdds

    fastdds.set_default()
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.parameter import Parameter

    from stc_ros.models.random import random_model
    from stc_ros.ros.main import spin, stop_spinning
    from stc_ros.ros.node import StreamNode
    from stc_ros.stream import open_stream as open_plain

    model, context = random_model('toy'), rclpy.Context()
    context.init()
    overrides = [Parameter(name, value=value) for name, value in (MEMORY | parameters).items()]
    node = StreamNode(lambda settings: model, open_stream or open_plain, context=context, parameter_overrides=overrides)
    executor, ended = SingleThreadedExecutor(context=context), threading.Event()
    executor.add_node(node)
    thread = threading.Thread(target=spin, args=(executor, node, ended))
    thread.start()
    try:
        yield node, context
    finally:
        node.close()
        stop_spinning(executor, ended)
        thread.join(10)
        executor.shutdown()
        node.worker.join(10)
        node.destroy_node()
        context.shutdown()
