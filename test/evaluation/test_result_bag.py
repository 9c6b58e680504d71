"""result.mcap: what stands in it, that the official library reads it by its index, and that it survives a kill."""

import io
import json
import tracemalloc

import numpy as np
import pytest
from conftest import ROOT
from evaluation.fake_bag import SECOND, START
from evaluation.result_calls import CAMERA, FRAMES, QUESTIONS, Calls, calls_of, messages, planned, tell, write
from PIL import Image
from rosbags.typesys import get_types_from_msg

from stc_ros.evaluation.result_bag import RESULT_BAG, SPOOL, ResultBag
from stc_ros.evaluation.result_messages import STATS, STATS_DEFINITION, TEXT, Messages
from stc_ros.evaluation.result_topics import camera_names
from stc_ros.evaluation.sinks import Sinks
from stc_ros.evaluation.spool import Spool
from stc_ros.settings import Settings

mcap = pytest.importorskip('mcap.reader', reason='pip install mcap, which reads the file as viewers do')


def seconds(stamp):
    return (stamp.sec * SECOND + stamp.nanosec - START) / SECOND


@pytest.fixture(scope='module')
def calls():
    return calls_of([*FRAMES, (CAMERA, 2.6, 'wrong encoding')], QUESTIONS)


@pytest.fixture(scope='module')
def made(calls, tmp_path_factory):
    return write(tmp_path_factory.mktemp('result'), calls)


def test_the_official_library_reads_it_by_its_index(made):
    with made.open('rb') as file:
        reader = mcap.make_reader(file)
        summary = reader.get_summary()
        assert reader.get_header().profile == 'ros2'
        assert {schema.encoding for schema in summary.schemas.values()} == {'ros2msg'}
        assert {channel.message_encoding for channel in summary.channels.values()} == {'cdr'}
        statistics, topics = summary.statistics, {c.topic: n for n, c in summary.channels.items()}
        counts = {topic: statistics.channel_message_counts.get(n) for topic, n in topics.items()}
        assert counts['/image/compressed'] == counts['/stc_stream/overlay/compressed'] == len(FRAMES)
        assert counts['/stc_stream/stats'] == len(FRAMES) and counts['/stc_stream/answers'] == 2
        assert (statistics.message_start_time, statistics.message_end_time) == (START, START + round(2.6 * SECOND))
        indexed = {n for chunk in summary.chunk_indexes for n in chunk.message_index_offsets}
        assert indexed == {n for n, count in statistics.channel_message_counts.items() if count}
        assert {chunk.compression for chunk in summary.chunk_indexes} == {'zstd'}
        times = [message.log_time for _, _, message in reader.iter_messages(log_time_order=False)]
        assert times == sorted(times) and len(times) == statistics.message_count
        sought = reader.iter_messages('/stc_stream/stats', starting_at=START + SECOND, ending_before=START + 2 * SECOND)
        assert [(m.log_time - START) / SECOND for _, _, m in sought] == [1, 1.5]  # the end is not in it


def test_pictures_bear_the_frames_stamp_and_show_it(made):
    found = messages(made)
    for topic in ('/image/compressed', '/stc_stream/overlay/compressed'):
        for (at, message), (_, t, level) in zip(found[topic], FRAMES, strict=True):
            picture = np.asarray(Image.open(io.BytesIO(message.data)))
            assert at == seconds(message.header.stamp) == t
            assert (message.format, message.header.frame_id) == ('jpeg', 'optical')
            if topic == '/image/compressed':
                assert abs(int(picture.mean()) - level) <= 2
            else:  # enlarged, with the legend below
                assert picture.shape[1] == 240 and picture.shape[0] > 240


def test_large_pictures_are_reduced_and_keep_their_shape(tmp_path, calls):
    name, (camera, event) = next(call for call in calls if call[0] == 'frame')
    large = np.zeros((1080, 1920, 3), np.uint8)
    large[:, 960:] = 200
    picture = type(event.frame.picture)(large, (0, 1, 2), lambda: large)
    event = event.__class__(event.frame.__class__(event.frame.header, START, picture), *list_fields(event)[1:])
    found = messages(write(tmp_path, [('received', (camera, START)), (name, (camera, event))]))
    (_, message), *_ = found['/image/compressed']
    shown = np.asarray(Image.open(io.BytesIO(message.data))).astype(int)
    assert shown.shape == (270, 480, 3) and shown[:, :220].max() < 20 and abs(shown[:, 260:] - 200).max() < 20


def list_fields(event):
    return [getattr(event, name) for name in event.__dataclass_fields__]


def test_answers_stand_at_the_time_of_the_question_as_text_log_and_number(made):
    found = messages(made)
    answers = [(at, json.loads(message.data)) for at, message in found['/stc_stream/answers']]
    assert [at for at, _ in answers] == [0.7, 1.2]
    first, second = (line for _, line in answers)
    assert first['answer'] == 'right 10 60' and first['expected'] == {'contains': '10 60'} and first['passed']
    assert second['answer'] == 'wrong 10 60 110' and not second['passed'] and second['score'] == 0
    assert [message.data for _, message in found['/stc_stream/accuracy']] == [1, 0.5]
    logs = {message.name: message for _, message in found['/rosout'] if message.name.endswith('answer')}
    assert list(logs) == ['stc_stream.answer']
    levels = {m.msg.split(' -> ')[0]: m.level for _, m in found['/rosout'] if m.name == 'stc_stream.answer'}
    assert levels == {'right': 20, 'wrong': 30}


def test_narrations_and_trouble_are_in_the_log_at_their_time(made):
    found = messages(made)
    told = [(at, message.data) for at, message in found['/stc_stream/narration_text']]
    logged = [(at, m.msg) for at, m in found['/rosout'] if m.name == 'stc_stream.narration']
    assert told == logged and [at for at, _ in told] == [1, 2]
    ((at, event),) = found['/stc_stream/event_text']
    assert at == 2.6 and json.loads(event.data) == {'event': 'invalid frame', 'text': 'wrong encoding'}
    assert [m.level for _, m in found['/rosout'] if m.name == 'stc_stream.event'] == [40]
    assert all(at == seconds(m.stamp) for at, m in found['/rosout'])


def test_numbers_are_those_of_the_frame_and_the_counters(made, calls):
    found = messages(made)
    events = [values[1] for name, values in calls if name == 'frame']
    methods = Settings()['cacher.method'], Settings()['pruner.method']
    for number, ((_, message), event) in enumerate(zip(found['/stc_stream/stats'], events, strict=True), 1):
        report = event.report
        assert (message.patches, message.patches_recomputed, message.visual_tokens_kept) == (16, 4, len(report.kept))
        assert message.vision_ms == 2 and message.total_ms == pytest.approx(event.total_ms)
        assert message.frames_received == message.frames_processed == number and message.frames_dropped == 0
        assert message.input_rate == pytest.approx(2 if number > 1 else 0)
        assert (message.cacher, message.pruner) == methods and message.memory_budget > 0
    assert message.answers == 2 and message.answers_failed == 0
    assert {m.data for _, m in found['/stc_stream/recomputed_share']} == {0.25}
    times = [at for at, _ in found['/diagnostics']]
    assert times == [0, 1, 2]  # once a second of the stream
    names = [status.name for _, message in found['/diagnostics'] for status in message.status]
    assert set(names) == {'/stc_stream: camera', '/stc_stream: model'}


def test_frames_that_max_rate_leaves_out_are_counted(tmp_path):
    fast = [(CAMERA, t / 10, t) for t in range(11)]
    found = messages(write(tmp_path, calls_of(fast, settings={'input.max_rate': 2.5})))['/stc_stream/stats']
    last = found[-1][1]
    assert last.frames_dropped > 0 and last.frames_received == last.frames_processed + last.frames_dropped
    assert last.frames_processed == len(found)


def test_a_reset_sets_the_counters_back_and_is_said(tmp_path):
    def prepare(stream):
        see = stream.see

        def broken(frame, stamp):
            if stamp == START + SECOND and not stream.faults.get('seen'):
                stream.faults['seen'] = True
                raise RuntimeError('broken')
            return see(frame, stamp)

        stream.see = broken

    found = messages(write(tmp_path, calls_of(prepare=prepare)))
    assert [m.frames_received for _, m in found['/stc_stream/stats']] == [1, 2, 1, 2, 3]
    events = [json.loads(m.data)['event'] for _, m in found['/stc_stream/event_text']]
    assert events == ['failure', 'reset']
    levels = {s.name: s.level for s in found['/diagnostics'][-1][1].status}
    assert levels == {'/stc_stream: camera': 0, '/stc_stream: model': 1}


@pytest.mark.parametrize('share', [0, 0.3, 0.6, 1])
def test_killed_and_restored_it_is_the_same_to_the_last_byte(tmp_path, made, calls, share):
    bag, half = ResultBag(tmp_path, (CAMERA,), START), round(share * len(calls))
    tell(bag, calls[:half])
    state = json.loads(json.dumps(bag.checkpoint()))
    tell(bag, calls[half : half + 5])  # lost, or half on the disk
    bag.close()
    with (tmp_path / SPOOL).open('ab') as spool:
        spool.write(b'cut off')
    second = ResultBag(tmp_path, (CAMERA,), START)
    second.restore(state)
    tell(second, calls[half:])
    second.finish()
    assert (tmp_path / RESULT_BAG).read_bytes() == made.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == [RESULT_BAG]


def test_without_a_restore_it_begins_anew_and_a_lost_spool_is_named(tmp_path, made, calls):
    bag = ResultBag(tmp_path, (CAMERA,), START)
    tell(bag, calls)
    state = bag.checkpoint()
    bag.close()
    assert write(tmp_path, calls).read_bytes() == made.read_bytes()
    with pytest.raises(ValueError, match='has 0 of .* bytes: remove'):
        ResultBag(tmp_path, (CAMERA,), START).restore(state)


def test_memory_does_not_grow_with_the_length(tmp_path):
    made, rng = Messages(), np.random.default_rng(0)
    spool = Spool(tmp_path / SPOOL, [('/a', TEXT)])
    for number in range(300):
        spool.add('/a', number, made.text(rng.bytes(50_000).hex()))  # 30 MB in all
    tracemalloc.start()
    spool.assemble(tmp_path / RESULT_BAG, made.types)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6 and (tmp_path / RESULT_BAG).stat().st_size > 14e6


def test_the_definition_of_stats_is_that_of_the_package():
    ours = get_types_from_msg(STATS_DEFINITION, STATS)
    assert ours == get_types_from_msg((ROOT / 'msg' / 'StreamStats.msg').read_text(), STATS)


def test_every_camera_has_its_topics(tmp_path):
    cameras = '/front/image_raw', '/rear/image_raw/compressed'
    frames = [(camera, t, 10 * t) for t in range(3) for camera in cameras]
    asked = [planned(1.5, 'right', '0 10', cameras[1])]
    found = messages(write(tmp_path, calls_of(frames, asked, topics=cameras), cameras))
    counts = {topic: len(each) for topic, each in found.items()}
    assert counts['/front/image/compressed'] == counts['/rear/image/compressed'] == 3
    assert counts['/stc_stream/front/stats'] == counts['/stc_stream/rear/stats'] == 3
    assert counts['/stc_stream/rear/answers'] == 1 and '/stc_stream/front/answers' not in counts
    names = {status.name for _, message in found['/diagnostics'] for status in message.status}
    assert names == {f'/stc_stream/{camera}: {part}' for camera in ('front', 'rear') for part in ('camera', 'model')}


@pytest.mark.parametrize(
    'topics, names',
    [
        (['/camera/color/image_raw'], ['']),
        (['/a/image', '/b/color/image_rect_color/compressed'], ['a', 'b_color']),
        (['/a/image_raw', '/a/image_raw/compressed'], ['a', 'a_image_raw_compressed']),
        (['/image', '/a'], ['image', 'a']),
    ],
)
def test_cameras_are_named_after_their_topics(topics, names):
    assert camera_names(topics) == dict(zip(topics, names))


def test_sinks_are_all_told_and_restored():
    first, second = Calls(), Calls()
    for number, sink in enumerate((first, second)):
        sink.checkpoint = lambda number=number: {'at': number}
        sink.restore = lambda state, sink=sink: sink.all.append(('restore', state))
    both, calls = Sinks(first, second), calls_of(questions=QUESTIONS)
    tell(both, calls)
    assert first.all == second.all == calls and {name for name, _ in calls} >= {
        'received',
        'frame',
        'asked',
        'narrated',
    }
    both.restore(both.checkpoint())
    assert first.all[-1] == ('restore', {'at': 0}) and second.all[-1] == ('restore', {'at': 1})


def test_what_a_watch_did_is_no_trouble(tmp_path):
    told = [('event', (CAMERA, START, name, 'text')) for name in ('door rising', 'reset', 'failure')]
    found = messages(write(tmp_path, told))
    levels = [m.level for _, m in found['/rosout'] if m.name == 'stc_stream.event']
    assert levels == [20, 30, 40]
