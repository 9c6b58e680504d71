"""`Settings` as ROS parameters: declared with ranges and texts, accepted by the stream before they are committed.

Where `cameras` names some, each has its own parameters under its name: front.prune_ratio. The plain prune_ratio sets
that of every camera.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.parameter import Parameter

from stc_ros.parameter_spec import ParameterSpec, SettingError, nearest
from stc_ros.parameters import METHODS, SHORT, in_use, parameters
from stc_ros.ros.camera_names import ONLY, TEXT, is_of_each, read_names
from stc_ros.ros.humble import on_parameters
from stc_ros.settings import Settings

WRAP = 72  # columns of a description in rqt, which does not wrap it
STEPS = 100  # of rqt's sliders
CAMERAS = 'cameras'
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
    CAMERAS,
    'use_sim_time',
    'start_type_description_service',
)  # of the node's overrides, beside qos_*


class Parameters:
    """A node's settings, always valid; of the methods' parameters those of the methods in use are declared.

    settings: those of the node. cameras: those of each camera, by its name. accept: called with new `cameras` before
    they are committed, raises `SettingError` when they cannot be. changed: called once they are. Raises `SettingError`
    when a start value is refused.
    """

    def __init__(self, node, accept: Callable[[Mapping[str, Settings]], None], changed: Callable[[], None]):
        self._node, self._accept, self._changed = node, accept, changed
        self.settings = Settings(self._methods_given(''))
        for name, spec in in_use(self.settings).items():  # in this order rqt shows them
            self.settings |= {name: _declare(node, spec, self.settings[name])}
        self.autostart = _declare(node, AUTOSTART, True)
        about = ParameterDescriptor(description=textwrap.fill(TEXT, WRAP), dynamic_typing=True)
        self.named = read_names(node.declare_parameter(CAMERAS, '', about).value)
        self.cameras = {name: self._declare_camera(name) for name in self.named} or {ONLY: self.settings}
        on_parameters(node, self._plain_values, self._check, self._take)

    def _methods_given(self, prefix: str, common: Mapping | None = None) -> dict:
        """The methods that are given under a prefix: they decide which parameters there are."""
        found = {}
        for name in METHODS:
            full = f'{name}.method'
            default = common[full] if common else parameters()[full].default
            found[full] = _override(self._node, prefix + full, _override(self._node, prefix + name, default))
        return found if common else {**{n: v for n in SHORT if (v := _override(self._node, n)) is not None}, **found}

    def _declare_camera(self, camera: str) -> Settings:
        """Declare the parameters of a camera, at the node's values where none is given -> its settings."""
        settings = self.settings | self._methods_given(f'{camera}.', self.settings)
        for name, spec in in_use(settings).items():
            if is_of_each(name):
                settings |= {name: _declare(self._node, spec, settings[name], f'{camera}.')}
        return settings

    def _check(self, given: list[Parameter]) -> SetParametersResult:
        """Accept all of what is `given` or none."""
        try:
            settings, cameras = self._with(given)
            if (settings, cameras) != (self.settings, self.cameras):
                self._accept(cameras)
        except SettingError as error:
            names = ', '.join(p.name for p in given)
            self._node.get_logger().warning(f'refused to set {names}: {error}')
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _take(self, given: list[Parameter]) -> None:
        settings, cameras = self._with(given)
        if (settings, cameras) == (self.settings, self.cameras):
            return
        gone = [name for name in self.named if name not in cameras]
        self.settings, self.cameras = settings, cameras
        self.named = self._names(given, self.named)
        self._changed()
        self._declare_methods('', settings)
        for name in self.named:
            self._declare_methods(f'{name}.', cameras[name])
        for name in gone:
            for each, spec in parameters().items():
                if spec.live and self._node.has_parameter(f'{name}.{each}'):  # rclpy keeps those that are read-only
                    self._node.undeclare_parameter(f'{name}.{each}')
        self._mirror()

    def _declare_methods(self, prefix: str, settings: Settings) -> None:
        """Declare the parameters of methods that are in use now, and take back those of others."""
        wanted = in_use(settings)
        for name, spec in parameters().items():
            if prefix and not is_of_each(name):
                continue
            declared = self._node.has_parameter(prefix + name)
            if name in wanted and not declared:
                self._node.declare_parameter(prefix + name, settings[name], describe(spec), ignore_override=True)
            elif declared and name not in wanted:
                self._node.undeclare_parameter(prefix + name)

    def _mirror(self) -> None:
        """Show on each camera's parameters what the node's have set there."""
        for camera in self.named:
            for name, value in self.cameras[camera].items():
                full = f'{camera}.{name}'
                if self._node.has_parameter(full) and self._node.get_parameter(full).value != value:
                    self._node.set_parameters([Parameter(full, value=value)])

    def _names(self, given: list[Parameter], names: tuple[str, ...]) -> tuple[str, ...]:
        return next((read_names(p.value) for p in given if p.name == CAMERAS), names)

    def _given(self, camera: str) -> dict:
        """What was given at start for a camera that comes now."""
        given = getattr(self._node, '_parameter_overrides', {})
        return {
            name: given[full].value
            for name in parameters()
            if is_of_each(name) and (full := f'{camera}.{name}') in given
        }

    def _with(self, given: list[Parameter]) -> tuple[Settings, dict[str, Settings]]:
        """The settings of node and cameras with what is given."""
        common = {p.name: p.value for p in given if p.name in parameters()}
        settings = self.settings | common
        names = self._names(given, self.named)
        if not names:
            return settings, {ONLY: settings}
        cameras = {}
        for camera in names:
            own = {
                n: p.value for p in given if (n := p.name.removeprefix(f'{camera}.')) != p.name and n in parameters()
            }
            cameras[camera] = self.cameras[camera] if camera in self.named else settings | self._given(camera)
            cameras[camera] |= common | {name: value for name, value in own.items() if is_of_each(name)}
        return settings, cameras

    def _plain_values(self, given: list[Parameter]) -> list[Parameter]:
        """Take what `ros2 param set` makes of a text: 2 for 2.0, and false for `off`; rclpy alone would refuse it."""
        plain = []
        for p in given:
            camera, _, rest = p.name.partition('.')
            if spec := parameters().get(rest if camera in self.named else p.name):
                try:
                    p = Parameter(p.name, value=spec.check(p.value))
                except SettingError:
                    pass  # `_check` says why
            plain.append(p)
        return plain


def unknown_overrides(node, names, cameras=()) -> list[str]:
    """What was given with -p or in a file, for which there is no parameter: a sentence for each of `names`."""
    known = [*parameters(), *OTHERS]
    known += [f'{camera}.{name}' for camera in cameras for name in known]
    complaints = []
    for name in names:
        camera, _, rest = name.partition('.')
        if name in known or name.startswith('qos_overrides.') or node.has_parameter(name):
            continue
        if rest in parameters():
            complaints.append(f'{name} is given for a camera {camera!r} that is not in cameras: it counts once it is')
        else:
            complaints.append(f'there is no parameter {name!r}{nearest(name, known)}; it has no effect')
    return complaints


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


def _declare(node, spec: ParameterSpec, default, prefix: str = ''):
    """Declare a parameter -> its start value, checked by us: rclpy would not say what is allowed."""
    try:
        value = spec.check(_override(node, prefix + spec.name, default))
    except SettingError as error:
        raise SettingError(f'parameter {prefix}{error}') from None
    return node.declare_parameter(prefix + spec.name, value, describe(spec), ignore_override=True).value


def _override(node, name: str, default=None):
    """What was given for `name` on the command line or in a file."""
    value = node.declare_parameter(name, default, ParameterDescriptor(dynamic_typing=True)).value
    node.undeclare_parameter(name)
    return value
