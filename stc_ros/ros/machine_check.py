"""What the doctor finds when a node is configured: in its log as warnings, and in /diagnostics while it runs."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus

from stc_ros import doctor
from stc_ros.doctor import Finding, Level, Machine
from stc_ros.doctor.finding import worst
from stc_ros.ros.diagnostics import make_status
from stc_ros.ros.doctor import clock_finding
from stc_ros.settings import Settings


class MachineCheck:
    """The findings about a node's machine; what is made of them never keeps it from starting."""

    def __init__(self, node, machine: Machine | None = None):
        self._node, self._machine = node, machine or Machine()
        self._found: list[Finding] = []

    def examine(self, settings: Settings) -> None:
        """Look, and log what is not green. Takes milliseconds, where nvidia-smi is asked longer: on any thread."""
        self._found = [f for f in doctor.examine(self._machine, settings) if f.level > Level.OK]
        for finding in self._found:
            self.log(str(finding))

    def log(self, text: str) -> None:
        self._node.get_logger().warning(text)

    def status(self) -> DiagnosticStatus:
        """For /diagnostics: never more than a warning, since the node runs all the same."""
        node, found = self._node, list(self._found)
        sim, publishers = node.get_parameter('use_sim_time').value, node.count_publishers('/clock')
        clock = clock_finding(node.get_fully_qualified_name(), sim, publishers, runs=not sim or node.now() > 0)
        if clock.level > Level.OK and node.active:
            found.append(clock)
        level = DiagnosticStatus.WARN if worst(found) else DiagnosticStatus.OK
        message = str(found[0]) if found else 'nothing found that would go wrong'
        return make_status(node, 'machine', level, message, {f.check: f'{f.text}: {f.remedy}' for f in found})
