"""`Settings` as ROS parameters: declared with ranges and texts, accepted by the stream before they are committed."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.parameter import Parameter

from stc_ros.parameter_spec import ParameterSpec, SettingError, nearest
from stc_ros.parameters import METHODS, SHORT, in_use, parameters
from stc_ros.settings import Settings

WRAP = 72  # columns of a description in rqt, which does not wrap it
STEPS = 100  # of rqt's sliders
AUTOSTART = ParameterSpec(
    'autostart',
    'autostart',
    bool,
    True,
    'Configure and activate when the node starts; false leaves that to a lifecycle manager.',
    live=False,
)
OTHERS = (
    *SHORT,
    'autostart',
    'use_sim_time',
    'start_type_description_service',
)  # of the node's overrides, beside qos_*


class Parameters:
    """A node's settings, always valid; of the methods' parameters those of the methods in use are declared.

    accept: called with new `Settings` before they are committed, raises `SettingError` when they cannot be. changed:
    called with them once they are. Raises `SettingError` when a start value is refused.
    """

    def __init__(self, node, accept: Callable[[Settings], None], changed: Callable[[Settings], None]):
        self._node, self._accept, self._changed = node, accept, changed
        given = {name: value for name in SHORT if (value := _override(node, name)) is not None}
        for name in METHODS:  # which methods: they decide which parameters there are
            full = f'{name}.method'
            given[full] = _override(node, full, given.pop(name, parameters()[full].default))
        self.settings = Settings(given)
        for name, spec in in_use(self.settings).items():  # in this order rqt shows them
            self.settings |= {name: _declare(node, spec, self.settings[name])}
        self.autostart = _declare(node, AUTOSTART, True)
        node.add_pre_set_parameters_callback(_plain_values)
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._take)

    def _check(self, given: list[Parameter]) -> SetParametersResult:
        """Accept all of what is `given` or none."""
        try:
            settings = self._with(given)
            if settings != self.settings:
                self._accept(settings)
        except SettingError as error:
            names = ', '.join(p.name for p in given)
            self._node.get_logger().warning(f'refused to set {names}: {error}')
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _take(self, given: list[Parameter]) -> None:
        settings = self._with(given)
        if settings == self.settings:
            return
        self.settings = settings
        self._changed(settings)
        if any(p.name.endswith('.method') for p in given):
            self._declare_methods()

    def _declare_methods(self) -> None:
        """Declare the parameters of methods that are in use now, and take back those of others."""
        wanted = in_use(self.settings)
        for name, spec in parameters().items():
            declared = self._node.has_parameter(name)
            if name in wanted and not declared:
                self._node.declare_parameter(name, self.settings[name], describe(spec), ignore_override=True)
            elif declared and name not in wanted:
                self._node.undeclare_parameter(name)

    def _with(self, given: list[Parameter]) -> Settings:
        return self.settings | {p.name: p.value for p in given if p.name in parameters()}


def unknown_overrides(node, names) -> list[str]:
    """What was given with -p or in a file, for which there is no parameter: a sentence for each of `names`."""
    known = [*parameters(), *OTHERS]
    return [
        f'there is no parameter {name!r}{nearest(name, known)}; it has no effect'
        for name in names
        if name not in known and not name.startswith('qos_overrides.') and not node.has_parameter(name)
    ]


def _plain_values(given: list[Parameter]) -> list[Parameter]:
    """Take what `ros2 param set` makes of a text: 2 for 2.0, and false for `off`; rclpy alone would refuse it."""
    plain = []
    for p in given:
        if spec := parameters().get(p.name):
            try:
                p = Parameter(p.name, value=spec.check(p.value))
            except SettingError:
                pass  # `_check` says why
        plain.append(p)
    return plain


def describe(spec: ParameterSpec) -> ParameterDescriptor:
    """A descriptor from which rqt_reconfigure makes a slider: finite limits, no step, read-only where fixed.

    Its sliders have 100 steps, so that a wide range of numbers is left without limits there: it becomes a field, and
    what is typed is checked here.
    """
    about = ParameterDescriptor(
        name=spec.name,
        description=textwrap.fill(spec.describe(), WRAP),
        additional_constraints=f'one of: {", ".join(spec.choices)}' if spec.choices else '',
        read_only=not spec.live,
    )
    if spec.low is None:
        return about
    if spec.type is float:
        about.floating_point_range = [FloatingPointRange(from_value=spec.low, to_value=spec.high, step=0.0)]
    else:
        about.integer_range = [IntegerRange(from_value=spec.low, to_value=spec.high, step=0)]
    return about


def _declare(node, spec: ParameterSpec, default):
    """Declare a parameter -> its start value, checked by us: rclpy would not say what is allowed."""
    try:
        value = spec.check(_override(node, spec.name, default))
    except SettingError as error:
        raise SettingError(f'parameter {error}') from None
    return node.declare_parameter(spec.name, value, describe(spec), ignore_override=True).value


def _override(node, name: str, default=None):
    """What was given for `name` on the command line or in a file."""
    value = node.declare_parameter(name, default, ParameterDescriptor(dynamic_typing=True)).value
    node.undeclare_parameter(name)
    return value
