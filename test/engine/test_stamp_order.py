"""Stamps that go back: late frames, bags that start over, two cameras on one topic. One reset each, never a stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stc_ros.engine.stamp_order import LATE_NS, QUIET_S, StampOrder
from stc_ros.io.image_messages import FrameInvalid

S = 1_000_000_000


class Topic:
    """Frames that come at times of one clock, and what became of them."""

    def __init__(self):
        self.order, self.newest, self.now = StampOrder(), None, 0.0
        self.resets, self.refused, self.seen = 0, 0, []

    def frame(self, stamp, now):
        self.now = now
        try:
            back = self.order.check(round(stamp * S), self.newest, now)
        except FrameInvalid as invalid:
            assert invalid.kind == 'order'
            self.refused += 1
            return
        self.resets += back > 0
        self.newest = round(stamp * S)
        self.seen.append(stamp)


@pytest.mark.parametrize('apart, resets', [(0.3, 0), (0.6, 1), (30.0, 1), (1e6, 1)])
def test_two_cameras_on_one_topic_cost_one_reset_and_the_newer_is_seen(apart, resets):
    topic = Topic()
    for number in range(300):
        now = number / 30
        topic.frame(1e7 + now, now)
        topic.frame(1e7 + now - apart, now + 0.01)
    assert topic.resets == resets and topic.refused >= 290
    assert len(topic.seen) >= 300 and topic.seen[-1] > 1e7 + 9.9
    assert topic.order.doubted(topic.now) == (resets > 0)


def test_a_bag_that_loops_begins_anew_each_time_and_at_its_first_frame():
    topic = Topic()
    for loop in range(5):
        for number in range(100):
            topic.frame(50 + number / 10, loop * 10 + number / 10)
    assert topic.resets == 4 and topic.refused == 0 and len(topic.seen) == 500


def test_when_the_newer_camera_stops_the_older_is_taken_up_within_a_second():
    topic = Topic()
    for number in range(60):
        topic.frame(100 + number / 30, number / 30)
        topic.frame(90 + number / 30, number / 30 + 0.01)
    assert topic.resets == 1
    for number in range(60, 120):
        topic.frame(90 + number / 30, number / 30)
    assert topic.resets == 2
    assert topic.seen[-1] == 90 + 119 / 30
    assert sum(stamp < 95 for stamp in topic.seen) > 119 - 60 - QUIET_S * 30 - 3


def test_what_is_a_little_late_is_refused_and_costs_no_reset():
    topic = Topic()
    for number in range(100):  # a clock that is set back by 5 ms twice a second
        topic.frame(number / 30 - 0.005 * (number // 15), number / 30)
    assert (topic.resets, topic.refused) == (0, 0)
    topic.frame(topic.newest / S - LATE_NS / S, 4.0)
    assert (topic.resets, topic.refused) == (0, 1)


def test_a_doubt_is_forgotten():
    topic = Topic()
    for number in range(10):
        topic.frame(100 + number / 30, number / 30)
        topic.frame(90 + number / 30, number / 30 + 0.01)
    assert topic.order.doubted(topic.now) and not topic.order.doubted(topic.now + 11)
    topic.frame(120, 20.0)
    topic.frame(10, 20.1)
    assert topic.resets == 2  # a bag that starts over, as ever


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 0.5)), max_size=80))
def test_whatever_comes_a_second_never_holds_more_than_a_few_resets(frames):
    topic, now, at = Topic(), 0.0, []
    for stamp, pause in frames:
        now += pause
        before = topic.resets
        topic.frame(1000 + stamp, now)
        at += [now] * (topic.resets - before)
    for first, fifth in zip(at, at[4:]):
        assert fifth - first >= QUIET_S
