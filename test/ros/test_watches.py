"""Watches of a node over real DDS: the service, events with their evidence, the file, what the lifecycle does to them.

What the model finds likely is given by the test, in `odds`; all else is real.
"""

import io
import math

import numpy as np
import pytest
from builtin_interfaces.msg import Duration
from diagnostic_msgs.msg import DiagnosticArray
from PIL import Image as Picture
from robot import robot_fixture, seconds, wait  # noqa: F401
from sensor_msgs.msg import CompressedImage

from stc_ros.msg import StreamStats
from stc_ros.msg import Watch as WatchMessage
from stc_ros.msg import WatchEvent as Event
from stc_ros.ros.watch_messages import to_message, to_watch
from stc_ros.srv import Watch
from stc_ros.watches import judge as judging
from stc_ros.watches.rule import Watch as PlainWatch

CONDITION = 'what is moving ? = red'  # the toy model has no words for yes and no
SURE = 8.0
FILE = """\
watches:
  - {name: door, condition: "what ? = red", cool_down: 2.5}
  - {condition: "who ? = blue", looks: 3}
"""


@pytest.fixture
def odds(monkeypatch):
    """`odds['all']` is what every condition is given, or an exception that judging raises."""
    given = {'all': -SURE}

    def judge(stream, conditions, whole_frame):
        if isinstance(given['all'], Exception) and stream.memory.frames[-1].stamp > 1:  # not the grey frame
            raise given['all']
        return [given['all'] if stream.memory.frames[-1].stamp > 1 else -SURE for _ in conditions]

    monkeypatch.setattr(judging, 'judge', judge)
    return given


def call(r, command=Watch.Request.LIST, **fields):
    message = WatchMessage(**fields)
    return r.call(Watch, 'stc_stream/watch', Watch.Request(command=command, watch=message))


def names(response):
    return [(state.watch.name, state.watch.camera) for state in response.watches]


def test_a_watch_rises_and_falls_with_its_frame_as_evidence_and_survives_all_but_cleanup(robot, ros, odds):
    r = robot(**{'watch.looks': 1, 'watch.max_watches': 2})
    events = r.listen(Event, 'stc_stream/events', 100)
    r.watch()
    assert call(r).success and not call(r).watches

    for fields, reason in [
        ({'condition': ' '}, 'empty'),
        ({'condition': 'x' * 5000}, '5000 characters'),
        ({'condition': 'is it red ?'}, 'QUESTION = WORD'),
        ({'condition': CONDITION, 'camera': 'left'}, 'there are: camera'),
        ({'condition': CONDITION, 'threshold': 2.0}, 'threshold'),
        ({'condition': CONDITION, 'threshold': math.nan}, 'threshold'),
        ({'condition': CONDITION, 'name': 'a/b'}, 'name'),
        ({'condition': CONDITION, 'hold': Duration(sec=-1)}, 'hold'),
    ]:
        refused = call(r, Watch.Request.ADD, **fields)
        assert not refused.success and reason in refused.message and not refused.watches, fields
    assert 'no command 9' in call(r, 9).message

    added = call(r, Watch.Request.ADD, condition=CONDITION)
    assert added.success and added.message == 'watch1 added' and names(added) == [('watch1', 'camera')]
    assert (added.watches[0].watch.threshold, added.watches[0].watch.looks) == (pytest.approx(0.9), 1)
    assert ros.spin_until(lambda: call(r).watches[0].frames > 0) and not events
    odds['all'] = SURE
    assert ros.spin_until(lambda: events)
    rising = events[0]
    assert (rising.kind, rising.watch, rising.condition, rising.camera) == (
        Event.RISING, 'watch1', CONDITION, 'camera'
    )  # fmt: skip
    assert rising.probability > 0.99 and rising.header.frame_id == 'camera' and 0 <= rising.latency < 10
    assert rising.since == rising.header.stamp and rising.evidence == ''  # nobody looks at it yet
    assert call(r).watches[0].active

    pictures = r.listen(CompressedImage, 'stc_stream/evidence/compressed', 10)
    stats = r.listen(StreamStats, 'stc_stream/stats', 500)
    odds['all'] = -SURE
    assert ros.spin_until(lambda: len(events) == 2 and pictures)
    assert events[1].kind == Event.FALLING and events[1].evidence == '/stc_stream/evidence/compressed'
    assert pictures[0].header == events[1].header and pictures[0].format == 'jpeg'
    assert np.asarray(Picture.open(io.BytesIO(pictures[0].data))).shape == (24, 32, 3)
    assert ros.spin_until(lambda: any(s.header == events[1].header for s in stats))

    odds['all'] = RuntimeError('broken')  # frames go on, and everybody can see why no event comes
    statuses = []

    def note(message):
        model = next(status for status in message.status if status.name.endswith(': model'))
        statuses.append({value.key: value.value for value in model.values} | {'said': model.message})

    ros.node.create_subscription(DiagnosticArray, '/diagnostics', note, 10)
    before = len(stats)
    assert ros.spin_until(lambda: len(stats) > before + 3 and statuses and int(statuses[-1]['watch failures']) > 0)
    assert statuses[-1]['watches'] == '1' and 'failures' in statuses[-1]['said'] and r.session.resets == 0
    odds['all'] = -SURE

    second = call(r, Watch.Request.ADD, name='b', condition=CONDITION)
    full = call(r, Watch.Request.ADD, name='c', condition=CONDITION)
    assert second.success and not full.success and 'max_watches' in full.message
    assert call(r, Watch.Request.REMOVE, name='b').success
    gone = call(r, Watch.Request.REMOVE, name='b')
    assert not gone.success and "no watch 'b'" in gone.message

    assert r.transition('deactivate') and names(call(r)) == [('watch1', 'camera')]
    r.node.worker.pause().result(10)  # no frame is in work any more
    odds['all'] = SURE
    wait(ros, 0.3)
    assert len(events) == 2
    assert r.transition('activate') and ros.spin_until(lambda: len(events) == 3)
    assert r.transition('deactivate') and r.transition('cleanup') and not call(r).watches
    refused = call(r, Watch.Request.ADD, condition=CONDITION)
    assert not refused.success and 'configure the node first' in refused.message


def test_a_file_of_watches_is_read_at_configure_and_what_is_wrong_named_by_line(robot, ros, tmp_path, odds):
    file = tmp_path / 'watches.yaml'
    file.write_text(FILE.replace('looks', 'lookz'))
    r = robot(cameras='front, rear', autostart=False, **{'watch.file': str(file)})
    assert not r.transition('configure') and f'{file}:3: a watch has no field' in r.node.fault
    file.write_text(FILE.replace('who ? = blue', 'who is there ?'))  # which this model cannot read
    assert not r.transition('configure') and f'{file}:3: this model has no tokens' in r.node.fault
    assert not call(r).watches  # all or none
    file.write_text(FILE)
    assert r.transition('configure') and r.node.fault == ''
    cameras = ['front', 'rear']
    assert names(call(r)) == [(name, camera) for name in ('door', 'watch2') for camera in cameras]
    door = call(r).watches[0].watch
    assert (door.cool_down.sec, door.cool_down.nanosec, door.looks) == (2, 500_000_000, 2)
    assert r.transition('cleanup') and not call(r).watches
    assert r.transition('configure') and len(call(r).watches) == 4
    refused = r.set(**{'watch.file': ''})['watch.file']
    assert not refused.successful
    r.film(topic='rear/image')
    events = r.listen(Event, 'stc_stream/events', 100)
    r.listen(CompressedImage, 'stc_stream/rear/evidence/compressed')
    assert r.transition('activate')
    odds['all'] = SURE
    assert ros.spin_until(lambda: len(events) >= 2)
    assert {(e.watch, e.camera) for e in events} == {('door', 'rear'), ('watch2', 'rear')}
    assert {e.evidence for e in events} == {'/stc_stream/rear/evidence/compressed'}


def test_the_model_itself_judges(robot, ros):
    """Without `odds`: the toy's words mean nothing, but it gives every word some probability."""
    r = robot()
    events = r.listen(Event, 'stc_stream/events', 100)
    r.watch()
    added = call(r, Watch.Request.ADD, condition=CONDITION, threshold=1e-6, rearm=1e-7, once=True)
    assert added.success
    assert ros.spin_until(lambda: events) and 0 < events[0].probability < 1
    assert events[0].since.nanosec != events[0].header.stamp.nanosec and not call(r).watches  # two looks, and once


def test_a_watch_is_the_same_on_both_sides():
    plain = PlainWatch('a', 'b', 'c', 0.5, 0.25, 3, 1_500_000_000, 2 * 10**9, 10**9 + 1, True)
    assert to_watch(to_message(plain)) == plain
    assert seconds(to_message(plain).hold) == 1.5
