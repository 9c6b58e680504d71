"""What is said of a camera that does something wrong; without ROS, on a clock of the test's own."""

import pytest

from stc_ros.io.image_messages import FrameInvalid
from stc_ros.ros import camera_health
from stc_ros.ros.camera_health import MOST_FRAME_IDS, MOST_KINDS, RECENT_S, CameraHealth


class Clock:
    now = 1000.0

    def monotonic(self):
        return self.now

    def monotonic_ns(self):
        return round(self.now * 1e9)


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(camera_health, 'time', found)
    return found


def film(health, clock, rate, seconds, refuse_every=0, frame_ids=('front',)):
    for number in range(round(rate * seconds)):
        clock.now += 1 / rate
        health.arrived()
        if refuse_every and number % refuse_every == 0:
            health.refuse(FrameInvalid('step', 'its step is wrong'))
        else:
            health.saw(frame_ids[number % len(frame_ids)], 64, 48)


def test_a_good_camera_is_no_trouble(clock):
    health = CameraHealth()
    film(health, clock, 30, 10)
    assert health.trouble(['/camera'], doubted=False) == {} and health.frame_ids() == ['front']


@pytest.mark.parametrize(
    'how, kind, words',
    [
        ({'rate': 600}, 'flood', '600 frames/s'),
        ({'rate': 30, 'refuse_every': 3}, 'refused', '33% of the frames are refused, the newest because its step'),
        ({'rate': 30, 'frame_ids': ('front', 'rear')}, 'frame_id', "'front', 'rear'"),
    ],
)
def test_each_trouble_is_named_and_gone_when_it_is_over(clock, how, kind, words):
    health = CameraHealth()
    film(health, clock, seconds=6, **how)
    found = health.trouble([], doubted=False)
    assert list(found) == [kind] and words in found[kind]
    film(health, clock, 30, RECENT_S + 1)
    assert health.trouble([], doubted=False) == {}


def test_one_bad_frame_among_many_is_no_trouble_but_counted(clock):
    health = CameraHealth()
    film(health, clock, 30, 10, refuse_every=20)
    assert health.trouble([], doubted=False) == {} and health.refused['step'] == 15


def test_several_publishers_and_two_orders_of_stamps_are_named(clock):
    found = CameraHealth().trouble(['/a', '/b'], doubted=True)
    assert '2 publishers on one topic: /a, /b' in found['publishers'] and 'two cameras' in found['order']


def test_what_is_remembered_is_bounded(clock):
    health = CameraHealth()
    for number in range(1000):
        health.refuse(FrameInvalid(f'kind {number}', 'x'))
        health.saw(f'frame {number}', number, 1)
    assert len(health.refused) == MOST_KINDS + 1 and sum(health.refused.values()) == 1000
    assert len(health.frame_ids()) == MOST_FRAME_IDS
