"""`wait_until` and `look` of `stc_ros.client`, against a node of the test's own."""

import io
import math
import time

import numpy as np
import pytest
from fake_node import FakeNode, until
from PIL import Image as Picture
from sensor_msgs.msg import CompressedImage, Image

from stc_ros import client as planner
from stc_ros.client import Client
from stc_ros.msg import Narration, WatchEvent
from stc_ros.ros.client.looking import LATCHED
from stc_ros.ros.client.until import as_question, says_yes


@pytest.fixture
def node(ros):
    one = FakeNode(ros)
    yield one
    one.close()


@pytest.fixture
def client(ros):
    """In the same context as the node: participants that have just met now and then need seconds to find each other."""
    with Client(ros.node) as one:
        yield one


def added(node):
    assert until(lambda: node.watches), 'no watch was added'
    return next(iter(node.watches))


def test_it_waits_by_a_watch_and_takes_the_watch_away(node, client):
    future = client.wait_until_later('the door is open', 20, camera='front', threshold=0.7, looks=3, hold=0.5)
    name = added(node)
    watch = node.watches[name].watch
    assert (watch.condition, watch.camera, watch.looks) == ('the door is open', 'front', 3)
    assert watch.threshold == pytest.approx(0.7) and watch.hold.nanosec == 500_000_000
    assert 15 < watch.time_limit.sec < 30, 'it ends by itself, should this client die'
    node.rise('another')
    node.rise(name, kind=WatchEvent.FALLING)
    time.sleep(0.2)
    assert not future.done()
    node.rise(name, probability=0.75, stamp=42)
    moment = future.result(5)
    assert (moment.by, moment.stamp, moment.camera) == ('watch', 42, 'front')
    assert moment.probability == pytest.approx(0.75)
    assert until(lambda: node.removed and not node.watches)
    assert not node.asked, 'nothing was asked'


def test_an_event_that_was_lost_is_found_in_the_list(node, client):
    future = client.wait_until_later('the door is open', 20)
    state = node.watches[added(node)]
    state.events, state.probability, state.last_stamp.sec = 1, 0.875, 43
    moment = future.result(5)
    assert (moment.stamp, moment.probability) == (43, 0.875)


def test_what_does_not_become_true_is_a_timeout_and_the_watch_goes(node, client):
    with pytest.raises(planner.NotTrue, match="not true within 1.5 s: 'the door is open'"):
        client.wait_until('the door is open', timeout=1.5)
    assert until(lambda: node.removed and not node.watches)
    future = client.wait_until_later('the door is open')
    added(node)
    future.cancel()
    assert until(lambda: not node.watches), 'given up: it is removed, too'
    future = client.wait_until_later('the door is open')
    node.watches.pop(added(node))
    with pytest.raises(planner.Gone, match='started anew'):
        future.result(5)
    node.refuses = 'there is no camera of that name'
    with pytest.raises(planner.WatchRefused, match=node.refuses):
        client.wait_until('the door is open', timeout=5)


@pytest.fixture
def plain(ros):
    """A node that offers no watches; what it sees is one second newer with each question."""
    one = FakeNode(ros, watch=False)
    one.says = []

    def reply(request):
        said = one.says.pop(0) if len(one.says) > 1 else one.says[0]
        return {**(said if isinstance(said, dict) else {'answer': said}), 'last_stamp': 100 + len(one.asked)}

    one.reply = reply
    yield one
    one.close()


def test_without_watches_it_asks_until_answers_in_a_row_say_yes(plain, client):
    plain.says = ['no', 'Yes.', {'error': 'BUSY'}, 'yes', 'No', 'yes', ' Yes, it is']
    moment = client.wait_until('the door is open', timeout=20, camera='front')
    assert moment.by == 'asking' and moment.stamp == 107 and math.isnan(moment.probability)
    assert {(r.question, r.camera) for r in plain.asked} == {
        ('Is it true that the door is open ? Answer yes or no.', 'front')
    }
    plain.says = ['yes, no, whichever', 'yes']
    assert client.wait_until('is it open?', timeout=10, looks=1).stamp == 108


def test_a_camera_that_has_stopped_decides_nothing(plain, client):
    plain.reply = lambda request: {'answer': 'yes', 'last_stamp': 5}
    with pytest.raises(planner.Timeout, match="the answer was 'yes'"):
        client.wait_until('the door is open', timeout=1.5)


def test_what_asking_again_does_not_mend_ends_it(plain, client):
    plain.says = [{'error': 'INVALID_REQUEST'}]
    with pytest.raises(planner.InvalidRequest):
        client.wait_until('the door is open', timeout=10)
    assert len(plain.asked) == 1


@pytest.mark.parametrize(
    'condition, question',
    [
        ('the door is open', 'Is it true that the door is open ? Answer yes or no.'),
        (' the door is open. ', 'Is it true that the door is open ? Answer yes or no.'),
        ('is it open ?', 'is it open ? Answer yes or no.'),
    ],
)
def test_a_condition_becomes_a_question(condition, question):
    assert as_question(condition) == question


def test_yes_is_the_first_word_and_not_a_part_of_one():
    assert all(map(says_yes, ('yes', ' Yes.', 'YES, it is', 'true')))
    assert not any(map(says_yes, ('', 'no', 'no, yes', 'yesterday', 'untrue', '42')))


def camera_of(node, kind, topic, message):
    """A camera, and a node that watches it."""
    node.node.create_subscription(kind, topic, lambda m: None, 1)
    publisher = node.node.create_publisher(kind, topic, 1)
    node.node.create_timer(0.05, lambda: publisher.publish(message))


def test_look_is_the_newest_frame_of_the_nodes_own_topic_and_the_narration(node, client):
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, 40:] = (250, 10, 10)
    image = Image(height=40, width=80, encoding='rgb8', step=240, data=pixels.tobytes())
    image.header.stamp.sec = 12
    camera_of(node, Image, '/kitchen/front/image_raw', image)
    told = Narration(text='a red wall')
    told.header.stamp.sec = 11
    node.node.create_publisher(Narration, '~/narration', LATCHED).publish(told)

    seen = client.look(timeout=10, longest=64)
    assert (seen.stamp, seen.topic) == (12, '/kitchen/front/image_raw')
    assert (seen.narration, seen.narration_stamp) == ('a red wall', 11)
    shown = Picture.open(io.BytesIO(seen.jpeg))
    assert shown.format == 'JPEG' and shown.size == (64, 32)
    red, green, _ = shown.getpixel((60, 16))
    assert red > 200 and green < 50 and sum(shown.getpixel((4, 16))) < 60
    assert client.look('front', timeout=10).narration == '', 'the narration of that camera, of which there is none'
    with pytest.raises(planner.InvalidRequest, match='/kitchen/front/image_raw'):
        client.look('rear', timeout=10)


def test_look_takes_compressed_images_and_says_why_there_is_none(ros, node, client):
    with pytest.raises(planner.NotFound, match='image topic of /stc_stream'):
        client.look(timeout=0.5)
    file = io.BytesIO()
    Picture.new('RGB', (32, 16), (0, 0, 255)).save(file, 'PNG')
    message = CompressedImage(format='png', data=file.getvalue())
    camera_of(node, CompressedImage, '/cam/compressed', message)
    assert Picture.open(io.BytesIO(client.look(timeout=10).jpeg)).size == (32, 16)
    message.data = b'nothing'
    with pytest.raises(planner.NoFrames, match='neither jpeg nor png'):
        for _ in range(50):
            client.look(timeout=10)
    node.node.create_subscription(Image, '/silent', lambda m: None, 1)
    with Client(ros.node, image='/silent') as other, pytest.raises(planner.NoFrames, match='is the camera started'):
        other.look(timeout=1.0)
