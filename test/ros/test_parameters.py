"""Every setting is a parameter: with a slider's range, refused with a reason, all of a batch or none."""

import math
import time

import pytest
from fake_stream import FakeStream
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParametersAtomically
from rclpy.parameter import Parameter
from robot import Robot, robot_fixture  # noqa: F401

from stc_ros.evaluation.tune_front import node_file
from stc_ros.parameter_spec import MEANS_NONE, SettingError
from stc_ros.parameters import in_use, parameters
from stc_ros.settings import Settings


@pytest.fixture
def fake(robot):
    """A node on a fake stream: `fake.stream`."""
    stream = FakeStream()
    r = robot(lambda settings: stream).until_active()
    r.stream = stream
    return r


def test_every_setting_is_declared_with_its_default(fake):
    names = list(in_use(Settings()))
    reply = fake.call(GetParameters, 'stc_stream/get_parameters', GetParameters.Request(names=names))
    got = {name: Parameter.from_parameter_msg(_named(name, value)).value for name, value in zip(names, reply.values)}
    assert got == {name: Settings({'memory.max_tokens': 90})[name] for name in names}


def _named(name, value):
    from rcl_interfaces.msg import Parameter as Message

    return Message(name=name, value=value)


def test_descriptors_make_sliders(fake):
    specs = in_use(Settings())
    request = DescribeParameters.Request(names=list(specs))
    descriptors = fake.call(DescribeParameters, 'stc_stream/describe_parameters', request).descriptors
    for spec, descriptor in zip(specs.values(), descriptors):
        assert spec.text.split()[0] in descriptor.description and descriptor.read_only == (not spec.live), spec.name
        assert max(map(len, descriptor.description.splitlines())) <= 72  # rqt does not wrap it
        ranges = [*descriptor.floating_point_range, *descriptor.integer_range]
        assert len(ranges) == (spec.type in (int, float)), f'{spec.name}: rqt shows a slider only for a range'
        for limits in ranges:
            assert math.isfinite(limits.from_value) and math.isfinite(limits.to_value)
            assert limits.from_value < limits.to_value and limits.step == 0
        for choice in spec.choices:  # rqt shows the description only
            assert choice in descriptor.additional_constraints and choice in descriptor.description


def test_autostart_is_there_with_a_text_and_read_only(fake):
    request = DescribeParameters.Request(names=['autostart'])
    (about,) = fake.call(DescribeParameters, 'stc_stream/describe_parameters', request).descriptors
    assert about.read_only and 'lifecycle' in about.description


def test_the_everyday_parameters_come_first(fake):
    listed = list(fake.node.get_parameters_by_prefix(''))
    ours = [name for name in listed if name in parameters()]
    assert ours == list(in_use(Settings()))


@pytest.mark.parametrize(
    'values, words',
    [
        ({'prune_ratio': 0.96}, ['prune_ratio', '0.95']),
        ({'cache_similarity': -0.1}, ['cache_similarity', '0.0']),
        ({'cache_similarity': math.nan}, ['cache_similarity']),
        ({'input.max_rate': math.inf}, ['max_rate']),
        ({'query.max_queue': 0}, ['max_queue', '1']),
        ({'cacher.method': 'magic'}, ['cacher', 'threshold', 'none']),
        ({'prune_ratio': 'much'}, ['type']),
        ({'model.name': 'another'}, ['read-only']),
    ],
)
def test_wrong_values_are_refused_with_the_reason(fake, values, words):
    before = fake.node.settings
    for result in fake.set(**values).values():
        assert not result.successful
        assert all(word in result.reason for word in words), result.reason
    assert fake.node.settings == before and ('configure', 0.96) not in fake.stream.log


def test_a_batch_is_taken_whole_or_not_at_all(fake, ros):
    def batch(**values):
        parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        return fake.call(
            SetParametersAtomically,
            'stc_stream/set_parameters_atomically',
            SetParametersAtomically.Request(parameters=parameters),
        ).result

    refused = batch(prune_ratio=0.1, **{'cacher.method': 'magic'})
    assert not refused.successful and 'magic' in refused.reason
    assert fake.node.settings['prune_ratio'] == 0.67 and fake.stream.settings['prune_ratio'] == 0.67
    assert batch(prune_ratio=0.1, **{'cacher.method': 'none'}).successful
    assert ros.spin_until(lambda: fake.stream.settings['cacher.method'] == 'none')
    assert fake.stream.settings['prune_ratio'] == 0.1
    assert fake.stream.names().count('configure') == 1, 'one batch is one change'


def test_a_whole_number_is_taken_for_a_float(fake):
    assert fake.set(**{'narration.period': 3})['narration.period'].successful
    assert fake.node.settings['narration.period'] == 3.0 and isinstance(fake.node.settings['narration.period'], float)


def test_parameters_of_others_are_left_alone(fake):
    assert fake.set(use_sim_time=False)['use_sim_time'].successful


@pytest.mark.parametrize(
    'given, words',
    [
        ({'prune_ratio': 5.0}, ['prune_ratio', '0.95']),
        ({'input.max_rate': 'fast'}, ['max_rate', 'float', 'point']),
        ({'cacher.method': 'magic'}, ['cacher', 'threshold']),
        ({'query.full_latest_frame': True}, ['full_latest_frame', 'auto, always, never']),
    ],
)
def test_a_wrong_start_value_is_named(ros, given, words):
    with pytest.raises(SettingError) as refusal:
        Robot(ros, **given)
    assert all(word in str(refusal.value) for word in words), refusal.value


@pytest.mark.parametrize('value', ['off', 'false', 'none'])
@pytest.mark.parametrize('name', ['cacher', 'pruner.method'])
def test_off_on_the_command_line_is_none(robot, name, value):
    """YAML, as which -p reads its values, makes false of a bare `off`."""
    r = robot(lambda settings: FakeStream(), cli=['-p', f'{name}:={value}'])
    assert r.node.settings[name.removesuffix('.method') + '.method'] == 'none'
    assert r.node.get_parameter(name.removesuffix('.method') + '.method').value == 'none'


@pytest.mark.parametrize(
    'text',
    ['cacher: {method: off}\n    pruner: {method: "off"}', 'cacher: off\n    pruner: false'],
    ids=['grouped', 'short'],
)
def test_off_in_a_parameters_file_is_none(robot, tmp_path, text):
    file = tmp_path / 'mine.yaml'
    file.write_text(f'/**:\n  ros__parameters:\n    {text}\n    prune_ratio: 0.5\n')
    r = robot(lambda settings: FakeStream(), cli=['--params-file', str(file)])
    settings = r.node.settings
    assert (settings['cacher.method'], settings['pruner.method'], settings['prune_ratio']) == ('none', 'none', 0.5)


@pytest.mark.parametrize('value', [*MEANS_NONE, 'none'], ids=repr)
def test_off_by_the_parameter_service_is_none(fake, ros, value):
    assert fake.set(**{'pruner.method': value})['pruner.method'].successful
    assert ros.spin_until(lambda: fake.stream.settings['pruner.method'] == 'none')
    reply = fake.call(GetParameters, 'stc_stream/get_parameters', GetParameters.Request(names=['pruner.method']))
    assert reply.values[0].string_value == 'none'


def test_the_parameters_of_a_method_appear_with_it_and_keep_their_values(fake, ros):
    def there(name):
        return fake.node.has_parameter(name)

    assert there('pruner.delta.temporal_weight') and not there('pruner.stc.history_frames')
    assert fake.set(**{'pruner.delta.temporal_weight': 0.25})['pruner.delta.temporal_weight'].successful
    assert fake.set(**{'pruner.method': 'stc'})['pruner.method'].successful
    assert ros.spin_until(lambda: there('pruner.stc.history_frames') and not there('pruner.delta.temporal_weight'))
    assert fake.set(**{'pruner.stc.history_frames': 5})['pruner.stc.history_frames'].successful
    assert ros.spin_until(lambda: fake.stream.settings['pruner.stc.history_frames'] == 5)
    assert fake.set(**{'pruner.method': 'delta'})['pruner.method'].successful
    assert ros.spin_until(lambda: there('pruner.delta.temporal_weight'))
    assert fake.node.get_parameter('pruner.delta.temporal_weight').value == 0.25


def test_a_methods_parameter_given_at_start_counts_once_it_is_chosen(robot, ros):
    r = robot(lambda settings: FakeStream(), **{'pruner.method': 'stc', 'pruner.stc.history_frames': 3})
    assert r.node.settings['pruner.stc.history_frames'] == 3
    assert r.node.get_parameter('pruner.stc.history_frames').value == 3


def test_what_the_stream_refuses_is_not_committed_and_its_reason_arrives(fake):
    fake.stream.faults['check'] = [SettingError('not with this model')]
    result = fake.set(prune_ratio=0.3)['prune_ratio']
    assert not result.successful and 'not with this model' in result.reason
    assert fake.node.get_parameter('prune_ratio').value == 0.67 and fake.stream.settings['prune_ratio'] == 0.67
    assert fake.set(prune_ratio=0.3)['prune_ratio'].successful


def test_a_parameter_that_does_not_exist_is_named_at_start():
    from types import SimpleNamespace

    from stc_ros.ros.parameters import unknown_overrides

    node = SimpleNamespace(has_parameter=lambda name: False)
    given = ['update_ratio', 'use_sim_time', 'qos_overrides./image.subscription.depth', 'pruner', 'nonsense']
    found = unknown_overrides(node, given)
    assert len(found) == 2 and 'cacher.stc.update_ratio' in found[0] and 'nonsense' in found[1]


def test_a_value_set_while_inactive_counts_when_active(robot, ros):
    stream = FakeStream()
    r = robot(lambda settings: stream).until_active()
    assert r.transition('deactivate')
    assert r.set(prune_ratio=0.25)['prune_ratio'].successful
    assert r.transition('activate')
    assert ros.spin_until(lambda: stream.settings['prune_ratio'] == 0.25)


def test_the_narration_period_changes_while_it_runs(robot, ros):
    r = robot(lambda settings: FakeStream(), **{'narration.period': 60.0})
    from std_msgs.msg import String

    told = r.listen(String, 'stc_stream/narration_text')
    r.watch()
    assert not told
    assert r.set(**{'narration.period': 0.1})['narration.period'].successful
    assert ros.spin_until(lambda: len(told) >= 2)
    assert r.set(**{'narration.period': 0.0})['narration.period'].successful
    assert ros.spin_until(lambda: r.node.cameras['camera']._narration_timer is None)


def test_other_parameters_do_not_put_narration_off(robot, ros):
    from std_msgs.msg import String

    r = robot(lambda settings: FakeStream(), **{'narration.period': 0.5})
    told = r.listen(String, 'stc_stream/narration_text')
    r.watch()
    before, end = len(told), time.monotonic() + 3
    while time.monotonic() < end:
        assert r.set(**{'input.max_rate': 20 + 10 * (end - time.monotonic())})['input.max_rate'].successful
    assert len(told) - before >= 3


def test_the_narration_timer_is_made_anew_for_another_period_only(robot):
    r = robot(lambda settings: FakeStream(), **{'narration.period': 4.1}).until_active()  # 4.1 * 1e9 is no whole number
    timer = r.node.cameras['camera']._narration_timer
    assert (
        r.set(**{'input.max_rate': 5.0})['input.max_rate'].successful
        and r.node.cameras['camera']._narration_timer is timer
    )
    assert (
        r.set(**{'narration.period': 4.2})['narration.period'].successful
        and r.node.cameras['camera']._narration_timer is not timer
    )


def test_a_prompt_of_the_users_own(robot, ros):
    from std_msgs.msg import String

    stream = FakeStream()
    r = robot(lambda settings: stream, **{'narration.period': 0.1, 'narration.prompt': 'what of {frames}?'})
    r.listen(String, 'stc_stream/narration_text')
    r.watch()
    assert ros.spin_until(lambda: 'ask' in stream.names())
    question = next(entry[1] for entry in stream.log if entry[0] == 'ask')
    assert question.startswith('what of ') and question.split()[-1].rstrip('?').isdigit()


def test_the_node_takes_the_files_that_tune_writes(robot, tmp_path):
    """Among them names that YAML would misread, numbers without a point, and methods that are not the default."""
    values = {'cacher': 'threshold', 'pruner': 'none', 'cacher.threshold.cache_interval': 7, 'cache_similarity': 1.0,
              'expert.overlap': False, 'narration.min_confidence': 0.0001}  # fmt: skip
    chosen, file = Settings(values), tmp_path / 'best.yaml'
    file.write_text(node_file(chosen, ['expert.overlap', 'narration.min_confidence'], ['Trial 3']))
    r = robot(lambda settings: FakeStream(), cli=['--params-file', str(file)])
    names = in_use(chosen).keys() - {'memory.max_tokens'}  # which `robot` sets
    assert {name: r.node.settings[name] for name in names} == {name: chosen[name] for name in names}
