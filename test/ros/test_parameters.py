"""Every setting is a parameter: with a slider's range, refused with a reason, all of a batch or none."""

import math
import time

import pytest
from fake_stream import FakeStream
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParametersAtomically
from rclpy.parameter import Parameter
from robot import Robot, robot_fixture  # noqa: F401

from stc_ros.settings import KNOBS, SettingError, Settings


@pytest.fixture
def fake(robot):
    """A node on a fake stream: `fake.stream`."""
    stream = FakeStream()
    r = robot(lambda settings: stream).until_active()
    r.stream = stream
    return r


def test_every_setting_is_declared_with_its_default(fake):
    names = list(KNOBS)
    reply = fake.call(GetParameters, 'stc_stream/get_parameters', GetParameters.Request(names=names))
    got = {name: Parameter.from_parameter_msg(_named(name, value)).value for name, value in zip(names, reply.values)}
    assert got == {name: getattr(Settings({'memory.max_tokens': 90}), name) for name in names}


def _named(name, value):
    from rcl_interfaces.msg import Parameter as Message

    return Message(name=name, value=value)


def test_descriptors_make_sliders(fake):
    request = DescribeParameters.Request(names=list(KNOBS))
    descriptors = fake.call(DescribeParameters, 'stc_stream/describe_parameters', request).descriptors
    for knob, descriptor in zip(KNOBS.values(), descriptors):
        assert descriptor.description and descriptor.read_only == (not knob.live), knob.name
        ranges = [*descriptor.floating_point_range, *descriptor.integer_range]
        assert len(ranges) == (knob.type in (int, float)), f'{knob.name}: rqt shows a slider only for a range'
        for limits in ranges:
            assert math.isfinite(limits.from_value) and math.isfinite(limits.to_value)
            assert limits.from_value < limits.to_value and limits.step == 0
        if knob.choices:
            assert all(choice in descriptor.additional_constraints for choice in knob.choices)


@pytest.mark.parametrize(
    'values, words',
    [
        ({'prune_ratio': 0.96}, ['prune_ratio', '0.95']),
        ({'cache_similarity': -0.1}, ['cache_similarity', '0.0']),
        ({'cache_similarity': math.nan}, ['cache_similarity']),
        ({'max_rate': math.inf}, ['max_rate']),
        ({'cache_interval': 0}, ['cache_interval', '1']),
        ({'cacher': 'magic'}, ['cacher', 'similarity', 'none']),
        ({'prune_ratio': 'much'}, ['type']),
        ({'model': 'another'}, ['read-only']),
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

    refused = batch(prune_ratio=0.1, cacher='magic')
    assert not refused.successful and 'magic' in refused.reason
    assert fake.node.settings['prune_ratio'] == 0.67 and fake.stream.settings['prune_ratio'] == 0.67
    assert batch(prune_ratio=0.1, cacher='none').successful
    assert ros.spin_until(lambda: fake.stream.settings['cacher.method'] == 'none')
    assert fake.stream.settings['prune_ratio'] == 0.1
    assert fake.stream.names().count('configure') == 1, 'one batch is one change'


def test_a_whole_number_is_taken_for_a_float(fake):
    assert fake.set(narration_period=3)['narration_period'].successful
    assert fake.node.settings['narration.period'] == 3.0 and isinstance(fake.node.settings['narration.period'], float)


def test_parameters_of_others_are_left_alone(fake):
    assert fake.set(use_sim_time=False)['use_sim_time'].successful


@pytest.mark.parametrize(
    'given, words',
    [
        ({'prune_ratio': 5.0}, ['prune_ratio', '0.95']),
        ({'max_rate': 10}, ['max_rate', 'float', 'point']),
        ({'cacher': 'magic'}, ['cacher', 'similarity']),
    ],
)
def test_a_wrong_start_value_is_named(ros, given, words):
    with pytest.raises(SettingError) as refusal:
        Robot(ros, **given)
    assert all(word in str(refusal.value) for word in words), refusal.value


def test_a_value_set_while_inactive_counts_when_active(robot, ros):
    stream = FakeStream()
    r = robot(lambda settings: stream).until_active()
    assert r.transition('deactivate')
    assert r.set(prune_ratio=0.25)['prune_ratio'].successful
    assert r.transition('activate')
    assert ros.spin_until(lambda: stream.settings['prune_ratio'] == 0.25)


def test_the_narration_period_changes_while_it_runs(robot, ros):
    r = robot(lambda settings: FakeStream(), narration_period=3600.0)
    from std_msgs.msg import String

    told = r.listen(String, 'stc_stream/narration_text')
    r.watch()
    assert not told
    assert r.set(narration_period=0.1)['narration_period'].successful
    assert ros.spin_until(lambda: len(told) >= 2)
    assert r.set(narration_period=0.0)['narration_period'].successful
    assert ros.spin_until(lambda: r.node._narration_timer is None)


def test_other_parameters_do_not_put_narration_off(robot, ros):
    from std_msgs.msg import String

    r = robot(lambda settings: FakeStream(), narration_period=0.5)
    told = r.listen(String, 'stc_stream/narration_text')
    r.watch()
    before, end = len(told), time.monotonic() + 3
    while time.monotonic() < end:
        assert r.set(max_rate=100 + 100 * (end - time.monotonic()) / 3)['max_rate'].successful
    assert len(told) - before >= 3


def test_the_narration_timer_is_made_anew_for_another_period_only(robot):
    r = robot(lambda settings: FakeStream(), narration_period=4.1).until_active()  # 4.1 * 1e9 is no whole number
    timer = r.node._narration_timer
    assert r.set(max_rate=5.0)['max_rate'].successful and r.node._narration_timer is timer
    assert r.set(narration_period=4.2)['narration_period'].successful and r.node._narration_timer is not timer


def test_a_prompt_of_the_users_own(robot, ros):
    from std_msgs.msg import String

    stream = FakeStream()
    r = robot(lambda settings: stream, narration_period=0.1, narration_prompt='what of {frames}?')
    r.listen(String, 'stc_stream/narration_text')
    r.watch()
    assert ros.spin_until(lambda: 'ask' in stream.names())
    question = next(entry[1] for entry in stream.log if entry[0] == 'ask')
    assert question.startswith('what of ') and question.split()[-1].rstrip('?').isdigit()
