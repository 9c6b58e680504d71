"""The node over real DDS with a real stream: what goes in comes out, with the right header, counted and reported."""

import io

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from fake_stream import FakeStream
from PIL import Image as Picture
from robot import picture, robot_fixture, seconds, toy_stream, wait  # noqa: F401
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from stc_ros.msg import StreamStats
from stc_ros.srv import Ask


def test_statistics_of_every_frame_carry_its_header_and_add_up(robot, ros):
    r = robot(**{'pruner.method': 'stc'})
    stats = r.listen(StreamStats, 'stc_stream/stats', 50)
    r.watch()
    assert ros.spin_until(lambda: len(stats) >= 10)
    for earlier, later in zip(stats, stats[1:]):
        assert later.frames_processed == earlier.frames_processed + 1
        assert seconds(later.header.stamp) > seconds(earlier.header.stamp)
    newest = stats[-1]
    assert newest.header.frame_id == 'camera'
    assert newest.frames_received - (newest.frames_processed + newest.frames_dropped + newest.frames_invalid) in (0, 1)
    assert (newest.patches, newest.visual_tokens, newest.visual_tokens_kept) == (
        36,
        9,
        3,
    )  # the toy's grids; 1 - 0.67 of 9
    assert 0 <= newest.patches_recomputed <= 36
    assert newest.total_ms >= newest.preprocess_ms + newest.vision_ms + newest.prune_ms + newest.prefill_ms > 0
    assert 0 < newest.memory_bytes <= newest.memory_budget and newest.memory_tokens <= 90
    assert 0 <= newest.frame_age < 5 and 5 < newest.input_rate < 50


def test_settings_show_within_two_frames(robot, ros):
    r = robot(**{'pruner.method': 'stc', 'cacher.method': 'threshold'})
    stats = r.listen(StreamStats, 'stc_stream/stats', 50)
    r.watch()
    assert r.set(prune_ratio=0.0, cache_similarity=1.0)['prune_ratio'].successful
    before = r.session.slot.counts().processed
    assert ros.spin_until(lambda: stats and stats[-1].frames_processed >= before + 2)
    after = [s for s in stats if s.frames_processed >= before + 2][0]
    assert after.visual_tokens_kept == 9 and after.prune_ratio == 0.0
    assert after.patches_recomputed == 36 and after.cache_similarity == 1.0


def test_prefill_may_overlap_the_next_frame(robot, ros):
    r = robot(**{'expert.overlap': True, 'pruner.method': 'stc'})
    stats = r.listen(StreamStats, 'stc_stream/stats', 50)
    r.watch()
    assert ros.spin_until(lambda: len(stats) >= 8)
    assert all(s.prefill_ms > 0 and s.memory_tokens > 0 for s in stats[-3:])
    newest = seconds(stats[-1].header.stamp)
    reply = r.ask(max_new_tokens=5)
    assert reply.error_code == Ask.Response.NONE and reply.answer and seconds(reply.last_stamp) >= newest
    assert reply.tokens == 5 or reply.finished


def test_inactive_node_says_so_and_works_again(robot, ros):
    r = robot().watch()
    assert r.transition('deactivate')
    reply = r.ask()
    assert reply.error_code == Ask.Response.INACTIVE and 'activate' in reply.error_msg
    received = r.session.slot.counts().received
    wait(ros, 0.3)
    assert r.session.slot.counts().received == received
    assert r.transition('activate')
    for _ in range(50):  # the counts of before stand until the worker has begun anew
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
    assert ros.spin_until(
        lambda: any('no such model' in s.message and s.level == b'\x02' for array in health for s in array.status)
    )
    assert r.transition('configure') and r.transition('activate')
    assert r.node.fault == ''


def test_reset_forgets(robot, ros):
    r = robot().watch()
    r.stop_filming()
    wait(ros, 0.3)
    reply = r.call(Trigger, 'stc_stream/reset', Trigger.Request())
    assert reply.success and reply.message
    assert r.ask().error_code == Ask.Response.NO_FRAMES


def jpeg(image):
    file = io.BytesIO()
    Picture.fromarray(image).save(file, 'JPEG')
    return file.getvalue()


def test_compressed_images_on_the_topic_beside_the_remapped_one(robot, ros):
    r = robot(cli=['-r', 'image:=/cam/image_raw'], **{'input.transport': 'compressed'}).until_active()
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
    counts = r.session.slot.counts
    bad = [{'encoding': '32FC1'}, {'encoding': '32FC1'}, {'step': 7}, {'height': 0}, {'data': b''}]
    for number, changes in enumerate(bad, 1):
        camera.publish(picture(image, ros.node.get_clock().now().to_msg(), **changes))
        assert ros.spin_until(lambda: counts().invalid == number), changes  # noqa: B023
    camera.publish(picture(image, ros.node.get_clock().now().to_msg()))
    assert ros.spin_until(lambda: stats)
    assert (stats[0].frames_received, stats[0].frames_invalid, stats[0].frames_processed) == (6, 5, 1)


def test_a_camera_that_turns_bad_later_is_an_error_too(robot, ros):
    r = robot().until_active()
    health = r.listen(DiagnosticArray, '/diagnostics')
    camera = ros.node.create_publisher(Image, 'image', 10)
    assert ros.spin_until(camera.get_subscription_count)
    image, counts = np.zeros((24, 32, 3), np.uint8), r.session.slot.counts

    def send(**changes):
        done = counts().processed + counts().invalid
        camera.publish(picture(image, ros.node.get_clock().now().to_msg(), **changes))
        assert ros.spin_until(lambda: counts().processed + counts().invalid > done)

    send()
    for _ in range(10):
        send(encoding='16UC1')
    assert ros.spin_until(lambda: health and health[-1].status[0].level == b'\x02')
    assert 'the last 10 frames were invalid' in health[-1].status[0].message
    send()
    assert ros.spin_until(lambda: health[-1].status[0].level == b'\x00')


def test_drops_are_counted_when_the_model_is_slow(robot, ros):
    r = robot(lambda settings: FakeStream(see_s=0.15))
    stats = r.listen(StreamStats, 'stc_stream/stats')
    r.film(rate=60).until_active()
    assert ros.spin_until(lambda: len(stats) >= 6)
    r.stop_filming()
    assert ros.spin_until(lambda: not r.session.slot.waits)
    wait(ros, 0.5)
    counts = r.session.slot.counts()
    assert counts.dropped > counts.processed
    assert counts.received == counts.processed + counts.dropped <= r.pictures


def test_overlay_is_drawn_for_those_who_look(robot, ros):
    r = robot(**{'overlay.rate': 20.0}).watch()
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
    assert ros.spin_until(
        lambda: (
            health
            and 'frames/s' in health[-1].status[0].message
            and float(values(health[-1].status[0])['processed']) > 5
        )
    )
    camera, model, machine = health[-1].status
    assert camera.name == '/stc_stream: camera' and camera.level == b'\x00' == model.level
    assert machine.name == '/stc_stream: machine'
    assert {'dropped', 'invalid', 'age of the newest frame [s]'} <= set(values(camera))
    assert {'recomputed share', 'kept share', 'memory [MiB]', 'questions waiting', 'vision [ms]'} <= set(values(model))
    assert all(v for v in values(camera).values())


def values(status):
    return {pair.key: pair.value for pair in status.values}
