"""`Settings` as ROS parameters: declared with ranges and texts, checked before they are taken, then handed on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.parameter import Parameter

from stc_ros.settings import KNOBS, Knob, SettingError, Settings


class Parameters:
    """A node's settings, always valid.

    changed: called with the new `Settings` after a change. Raises `SettingError` when a start value is refused.
    """

    def __init__(self, node, changed: Callable[[Settings], None]):
        self.settings = Settings(**{knob.name: _declare(node, knob) for knob in KNOBS.values()})
        self._changed = changed
        node.add_pre_set_parameters_callback(_whole_numbers)
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._take)

    def _check(self, parameters: list[Parameter]) -> SetParametersResult:
        """Accept all of `parameters` or none."""
        try:
            self._with(parameters)
        except SettingError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _take(self, parameters: list[Parameter]) -> None:
        settings = self._with(parameters)
        if settings != self.settings:
            self.settings = settings
            self._changed(settings)

    def _with(self, parameters: list[Parameter]) -> Settings:
        ours = {p.name: p.value for p in parameters if p.name in KNOBS}
        return dataclasses.replace(self.settings, **ours)


def _whole_numbers(parameters: list[Parameter]) -> list[Parameter]:
    """Take 2 for 2.0, which `ros2 param set` makes of "2"; rclpy alone would refuse it."""
    return [
        Parameter(p.name, value=float(p.value))
        if p.type_ is Parameter.Type.INTEGER and p.name in KNOBS and KNOBS[p.name].type is float
        else p
        for p in parameters
    ]


def describe(knob: Knob) -> ParameterDescriptor:
    """A descriptor from which rqt_reconfigure makes a slider: finite limits, no step, read-only where fixed."""
    descriptor = ParameterDescriptor(
        name=knob.name,
        description=f'{knob.text} [{knob.unit}]' if knob.unit else knob.text,
        additional_constraints=f'one of: {", ".join(knob.choices)}' if knob.choices else '',
        read_only=not knob.live,
    )
    if knob.low is not None and knob.type is float:
        descriptor.floating_point_range = [FloatingPointRange(from_value=knob.low, to_value=knob.high, step=0.0)]
    elif knob.low is not None:
        descriptor.integer_range = [IntegerRange(from_value=knob.low, to_value=knob.high, step=0)]
    return descriptor


def _declare(node, knob: Knob):
    try:
        return node.declare_parameter(knob.name, knob.default, describe(knob)).value
    except InvalidParameterTypeException as error:
        example = f', with a point, as in {knob.default}' if knob.type is float else ''
        raise SettingError(f'parameter {knob.name} must be a {knob.type.__name__}{example} ({error})') from None
    except InvalidParameterValueException as error:
        raise SettingError(f'parameter {knob.name} is refused: {error}') from None
