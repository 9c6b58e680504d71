"""Every second: /diagnostics, a camera's silence in the log, and whether the worker still works."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray
from std_msgs.msg import Header

from stc_ros.ros import diagnostics
from stc_ros.ros.machine_check import MachineCheck
from stc_ros.ros.publishers import Publishers


class Health:
    """Of a `StreamNode`, on its steady clock. machine: what was found of the computer at configure."""

    def __init__(self, node, sink: Publishers):
        self._node, self._sink, self.machine = node, sink, MachineCheck(node)
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        node.create_timer(1.0, self._report, clock=node.steady)

    def _report(self) -> None:
        node = self._node
        node.supervisor.look()
        self._sink.forget_stale_texts()
        cameras, now = node.cameras.values(), node.now()
        status = [diagnostics.camera_status(node, camera, now) for camera in cameras]
        status += [diagnostics.model_status(node), self.machine.status()]
        header = Header(stamp=node.get_clock().now().to_msg())
        self._publisher.publish(DiagnosticArray(header=header, status=status))
        if node.active:
            for camera in cameras:
                camera.report_trouble()
