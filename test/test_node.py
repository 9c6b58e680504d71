"""The node over real DDS with a real stream: what goes in comes out, with the right header, and errors are typed."""

import io
import time

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from fake_stream import FakeStream
from PIL import Image as Picture
from rclpy import Context
from rclpy.action import ActionClient
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from robot import PATIENCE_S, picture, request, robot_fixture, seconds, toy_stream, wait  # noqa: F401
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from stc_ros.action import AskStream
from stc_ros.msg import Narration, StreamStats
from stc_ros.ros.questions import Error
from stc_ros.ros.silence import causes_of_silence
from stc_ros.srv import Ask

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def test_statistics_of_every_frame_carry_its_header_and_add_up(robot, ros):
    r = robot(pruner='paper')
    stats = r.listen(StreamStats, 'stc_stream/stats', 50)
    r.watch()
    assert ros.spin_until(lambda: len(stats) >= 10)
    for earlier, later in zip(stats, stats[1:]):
        assert later.frames_seen == earlier.frames_seen + 1
        assert seconds(later.header.stamp) > seconds(earlier.header.stamp)
    newest = stats[-1]
    assert newest.header.frame_id == 'camera'
    assert newest.frames_received - (newest.frames_seen + newest.frames_dropped + newest.frames_refused) in (0, 1)
    assert (newest.tokens, newest.visual_tokens, newest.tokens_kept) == (36, 9, 3)      # the toy's grids; 1 - 0.67 of 9
    assert 0 <= newest.tokens_recomputed <= 36
    assert newest.total_ms >= newest.gate_ms + newest.vision_ms + newest.prune_ms + newest.prefill_ms > 0
    assert 0 < newest.memory_bytes <= newest.memory_budget and newest.memory_tokens <= 90
    assert 0 <= newest.frame_age < 5 and 5 < newest.input_rate < 50


def test_settings_show_within_two_frames(robot, ros):
    r = robot(pruner='paper', cacher='similarity')
    stats = r.listen(StreamStats, 'stc_stream/stats', 50)
    r.watch()
    assert r.set(prune_ratio=0.0, cache_similarity=1.0)['prune_ratio'].successful
    before = r.node.worker.mailbox.counts().seen
    assert ros.spin_until(lambda: stats and stats[-1].frames_seen >= before + 2)
    after = [s for s in stats if s.frames_seen >= before + 2][0]
    assert after.tokens_kept == 9 and after.prune_ratio == 0.0
    assert after.tokens_recomputed == 36 and after.cache_similarity == 1.0


def test_narration_comes_by_the_clock_with_the_newest_header(robot, ros):
    r = robot(narration_period=0.3, scene_change=1.0, max_new_tokens=8)
    told = r.listen(Narration, 'stc_stream/narration', LATCHED)
    text = r.listen(String, 'stc_stream/narration_text', LATCHED)
    stats = r.listen(StreamStats, 'stc_stream/stats', 200)
    r.watch()
    assert ros.spin_until(lambda: len(told) >= 3 and len(text) >= 3)
    by_clock = [t for t in told if not t.scene_change]
    assert by_clock and all(t.text for t in told)
    assert [t.text for t in told[:3]] == [t.data for t in text[:3]]
    stamps = {seconds(s.header.stamp) for s in stats}
    for earlier, later in zip(told, told[1:]):
        assert seconds(later.header.stamp) in stamps and later.header.frame_id == 'camera'
        assert seconds(earlier.header.stamp) < seconds(later.first_stamp) <= seconds(later.header.stamp)
        assert later.frames >= 1 and 0 < later.latency < 5


def test_nobody_listens_nothing_is_narrated_and_a_late_listener_gets_the_newest(robot, ros):
    r = robot(narration_period=0.1, max_new_tokens=4)
    r.watch()
    wait(ros, 0.6)
    assert r.node.worker.session.tally.narrations == 0
    told = r.listen(Narration, 'stc_stream/narration', LATCHED)
    assert ros.spin_until(lambda: told)
    r.stop_filming()
    wait(ros, 0.5)
    late = r.listen(Narration, 'stc_stream/narration', LATCHED)
    assert ros.spin_until(lambda: late)
    assert late[0].text == told[-1].text


def test_ask(robot, ros):
    r = robot().watch()
    began = time.monotonic()
    reply = r.ask(max_new_tokens=5)
    took = time.monotonic() - began
    assert (reply.error_code, reply.error_msg) == (Ask.Response.NONE, '')
    assert reply.answer and 1 <= reply.tokens <= 5
    assert reply.frames_seen >= 1 and 0 < seconds(reply.first_stamp) <= seconds(reply.last_stamp)
    assert 0 <= reply.frame_age < 5 and 0 < reply.time_to_first_token <= took


def test_every_error_has_its_constant_and_a_sentence():
    for kind in (Ask.Response, AskStream.Result):
        values = [getattr(kind, error.name) for error in Error]
        assert len(set(values)) == len(values)
    assert all(error.value for error in Error if error is not Error.NONE)


def test_before_the_first_frame(robot):
    reply = robot().until_active().ask()
    assert reply.error_code == Ask.Response.NO_FRAMES and reply.error_msg and not reply.answer


@pytest.mark.parametrize('fields, code, words', [
    ({'question': ''}, 'EMPTY_QUESTION', 'empty'),
    ({'question': ' \n '}, 'EMPTY_QUESTION', 'empty'),
    ({'question': 'why? ' * 5000}, 'QUESTION_TOO_LONG', '20000'),
    ({'question': 'why? ' * 500}, 'QUESTION_TOO_LONG', 'tokens'),
    ({'max_new_tokens': 3000}, 'INVALID_REQUEST', 'max_new_tokens'),
    ({'timeout': 4000.0}, 'INVALID_REQUEST', 'timeout'),
    ({'timeout': -1.0}, 'INVALID_REQUEST', 'timeout'),
])
def test_questions_that_cannot_be_answered(shared, fields, code, words):
    reply = shared.ask(**fields)
    assert reply.error_code == getattr(Ask.Response, code)
    assert words in reply.error_msg and reply.answer == ''


@pytest.fixture
def shared(robot):
    return robot().watch()


def test_inactive_node_says_so_and_works_again(robot, ros):
    r = robot().watch()
    assert r.transition('deactivate')
    reply = r.ask()
    assert reply.error_code == Ask.Response.INACTIVE and 'activate' in reply.error_msg
    received = r.node.worker.mailbox.counts().received
    wait(ros, 0.3)
    assert r.node.worker.mailbox.counts().received == received
    assert r.transition('activate')
    for _ in range(50):         # the counts of before stand until the worker has begun anew
        reply = r.ask()
        if reply.error_code != Ask.Response.NO_FRAMES:
            break
        wait(ros, 0.1)
    assert reply.error_code == Ask.Response.NONE


def test_ask_is_not_offered_before_it_can_be_served(robot, ros):
    r = robot(autostart=False)
    assert ros.spin_until(lambda: ros.node.count_publishers('stc_stream/stats'))
    client = ros.node.create_client(Ask, 'ask')
    wait(ros, 0.5)
    assert not client.service_is_ready() and r.node.state == 'unconfigured'
    assert r.transition('configure') and r.transition('activate')
    assert ros.spin_until(client.service_is_ready)


def test_a_model_that_cannot_be_loaded_leaves_the_node_unconfigured_and_able_to_try_again(robot, ros):
    attempts = []

    def load(settings):
        attempts.append(settings)
        if len(attempts) == 1:
            raise OSError('no such model: give an existing folder')
        return toy_stream(settings)

    r = robot(load)
    health = r.listen(DiagnosticArray, '/diagnostics')
    assert ros.spin_until(lambda: r.node.fault)
    assert r.node.state == 'unconfigured' and 'no such model' in r.node.fault
    assert ros.spin_until(lambda: any('no such model' in s.message and s.level == b'\x02'
                                      for array in health for s in array.status))
    assert r.transition('configure') and r.transition('activate')
    assert r.node.fault == ''


def test_reset_forgets(robot, ros):
    r = robot().watch()
    r.stop_filming()
    wait(ros, 0.3)
    reply = r.call(Trigger, 'stc_stream/reset', Trigger.Request())
    assert reply.success and reply.message
    assert r.ask().error_code == Ask.Response.NO_FRAMES


def act(ros, question='what is moving?', **fields):
    """Send a goal; returns (goal handle, feedback so far, future of the result)."""
    client = ActionClient(ros.node, AskStream, 'ask_stream')
    assert ros.spin_until(client.server_is_ready, 10)
    feedback = []
    goal = request(question, kind=AskStream.Goal, **fields)
    sent = client.send_goal_async(goal, lambda message: feedback.append(message.feedback))
    assert ros.spin_until(sent.done)
    assert sent.result().accepted
    return sent.result(), feedback, sent.result().get_result_async(), client


def test_action_streams_the_answer(robot, ros):
    robot().watch()
    _, feedback, done, client = act(ros, max_new_tokens=6)
    assert ros.spin_until(done.done)
    result = done.result().result
    assert done.result().status == 4 and result.error_code == AskStream.Result.NONE      # SUCCEEDED
    assert ros.spin_until(lambda: ''.join(f.text for f in feedback) == result.answer)
    assert feedback[-1].tokens == result.tokens > 1
    client.destroy()


def test_action_errors_are_those_of_the_service(robot, ros):
    robot().watch()
    _, _, done, client = act(ros, '')
    assert ros.spin_until(done.done)
    assert done.result().status == 6                                                     # ABORTED
    assert done.result().result.error_code == AskStream.Result.EMPTY_QUESTION
    client.destroy()


def jpeg(image):
    file = io.BytesIO()
    Picture.fromarray(image).save(file, 'JPEG')
    return file.getvalue()


def test_compressed_images_on_the_topic_beside_the_remapped_one(robot, ros):
    r = robot(cli=['-r', 'image:=/cam/image_raw'], image_transport='compressed').until_active()
    camera = ros.node.create_publisher(CompressedImage, '/cam/image_raw/compressed', 1)
    stats = r.listen(StreamStats, 'stc_stream/stats')

    def publish():
        message = CompressedImage(format='rgb8; jpeg compressed bgr8', data=jpeg(np.zeros((24, 32, 3), np.uint8)))
        message.header.stamp, message.header.frame_id = ros.node.get_clock().now().to_msg(), 'lens'
        camera.publish(message)

    ros.node.create_timer(0.1, publish)
    assert ros.spin_until(lambda: stats)
    assert stats[0].header.frame_id == 'lens'


def test_bad_images_are_counted_and_the_node_goes_on(robot, ros):
    r = robot().until_active()
    stats = r.listen(StreamStats, 'stc_stream/stats')
    camera = ros.node.create_publisher(Image, 'image', 10)
    assert ros.spin_until(camera.get_subscription_count)
    image = np.zeros((24, 32, 3), np.uint8)
    counts = r.node.worker.mailbox.counts
    bad = [{'encoding': '32FC1'}, {'encoding': '32FC1'}, {'step': 7}, {'height': 0}, {'data': b''}]
    for number, changes in enumerate(bad, 1):
        camera.publish(picture(image, ros.node.get_clock().now().to_msg(), **changes))
        assert ros.spin_until(lambda: counts().refused == number), changes  # noqa: B023
    camera.publish(picture(image, ros.node.get_clock().now().to_msg()))
    assert ros.spin_until(lambda: stats)
    assert (stats[0].frames_received, stats[0].frames_refused, stats[0].frames_seen) == (6, 5, 1)


def test_drops_are_counted_when_the_model_is_slow(robot, ros):
    r = robot(lambda settings: FakeStream(see_s=0.15))
    stats = r.listen(StreamStats, 'stc_stream/stats')
    r.film(rate=60).until_active()
    assert ros.spin_until(lambda: len(stats) >= 6)
    r.stop_filming()
    assert ros.spin_until(lambda: not r.node.worker.mailbox.waits)
    wait(ros, 0.5)
    counts = r.node.worker.mailbox.counts()
    assert counts.dropped > counts.seen
    assert counts.received == counts.seen + counts.dropped <= r.pictures


def test_overlay_is_drawn_for_those_who_look(robot, ros):
    r = robot(overlay_rate=20.0).watch()
    wait(ros, 0.3)
    pictures = r.listen(CompressedImage, 'stc_stream/overlay/compressed')
    assert ros.spin_until(lambda: pictures)
    image = Picture.open(io.BytesIO(pictures[0].data))
    assert (image.format, pictures[0].format, pictures[0].header.frame_id) == ('JPEG', 'jpeg', 'camera')
    assert image.width >= 336 and image.height > 336 * 24 / 32


def test_diagnostics_tell_how_it_goes(robot, ros):
    r = robot()
    health = r.listen(DiagnosticArray, '/diagnostics')
    r.watch()
    assert ros.spin_until(lambda: health and 'frames/s' in health[-1].status[0].message
                          and float(values(health[-1].status[0])['seen']) > 5)
    camera, model = health[-1].status
    assert camera.name == '/stc_stream: camera' and camera.level == b'\x00' == model.level
    assert {'dropped', 'refused', 'age of the newest frame [s]'} <= set(values(camera))
    assert {'recomputed share', 'kept share', 'memory [MiB]', 'questions waiting', 'vision [ms]'} <= set(values(model))
    assert all(v for v in values(camera).values())


def values(status):
    return {pair.key: pair.value for pair in status.values}


def silence(r, ros, topic, kind=Image, **options):
    """What the node says of a silent camera when another participant publishes on `topic`."""
    context = Context()
    context.init()
    camera = rclpy.create_node('camera', context=context)
    camera.create_publisher(kind, topic, QoSProfile(depth=1, **options))
    assert ros.spin_until(lambda: r.node.count_publishers(topic), PATIENCE_S)
    try:
        return ' '.join(causes_of_silence(r.node, r.node._subscription))
    finally:
        camera.destroy_node()
        context.shutdown()


def test_silence_nobody_publishes(robot, ros):
    words = silence(robot().until_active(), ros, '/front/image_raw')
    assert 'nobody publishes on /image' in words and '/front/image_raw' in words


def test_silence_other_transport(robot, ros):
    r = robot(image_transport='compressed').until_active()
    assert 'set image_transport to raw' in silence(r, ros, '/image/compressed')


def test_silence_incompatible_qos(robot, ros):
    r = robot(**{'qos_overrides./image.subscription.reliability': 'reliable'}).until_active()
    words = silence(r, ros, '/image', reliability=ReliabilityPolicy.BEST_EFFORT)
    assert 'qos_overrides./image.subscription' in words


def test_silence_large_images(robot, ros):
    assert 'FASTDDS_DEFAULT_PROFILES_FILE' in silence(robot().until_active(), ros, '/image')


def test_silence_is_named_in_log_and_diagnostics(robot, ros):
    r = robot().until_active()
    health = r.listen(DiagnosticArray, '/diagnostics')
    r.node._frame_at -= 5                   # five seconds ago
    assert ros.spin_until(lambda: health and 'no frame' in health[-1].status[0].message)
    assert health[-1].status[0].level == b'\x01'
