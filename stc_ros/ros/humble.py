"""What rclpy has had since Iron, and Humble lacks: tried by taking it away, on no Humble yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter

try:
    from rclpy.service_introspection import ServiceIntrospectionState
except ImportError:
    ServiceIntrospectionState = None  # type: ignore[assignment,misc]

Given = list[Parameter]


def on_parameters(
    node: Any,
    before: Callable[[Given], Given],
    check: Callable[[Given], SetParametersResult],
    after: Callable[[Given], None],
) -> None:
    """Have parameters looked at `before` they are checked, and `after` they are committed.

    On Humble nothing looks at them before: a value has to have its parameter's own type, 2.0 and not 2. `after` comes
    with the executor's next turn.
    """
    if hasattr(node, 'add_post_set_parameters_callback'):
        node.add_pre_set_parameters_callback(before)
        node.add_on_set_parameters_callback(check)
        node.add_post_set_parameters_callback(after)
        return

    def check_and_tell(given: Given) -> SetParametersResult:
        result = check(given)
        if result.successful:
            if node.executor is None:  # nobody spins it yet
                after(given)
            else:
                node.executor.create_task(after, given)
        return result

    node.add_on_set_parameters_callback(check_and_tell)


def introspect(service: Any, clock: Any, qos: Any) -> bool:
    """Have a service or action publish what it is asked and replies -> whether it can: an action's is since Jazzy."""
    if ServiceIntrospectionState is None or not hasattr(service, 'configure_introspection'):
        return False
    service.configure_introspection(clock, qos, ServiceIntrospectionState.CONTENTS)
    return True
