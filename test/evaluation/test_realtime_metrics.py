"""The numbers of a replay with the clock, those of ros2_benchmark by its definitions."""

import pytest

from stc_ros.evaluation.realtime_metrics import KEY, AskRecord, CameraRecord, as_text, ask_metrics, camera_metrics

START = 1_700_000_000_000_000_000


def stamp(seconds):
    return START + round(seconds * 1e9)


def record(sent, done, **counts):
    """sent, done: (s of the stamp, s of the stream when it happened)."""
    found = CameraRecord(START, [(stamp(t), at) for t, at in sent], [(stamp(t), at) for t, at in done])
    found.count(**counts)
    return found


def test_every_frame_sent_is_processed_dropped_invalid_or_lost():
    times = [i / 10 for i in range(11)]
    found = camera_metrics(
        record([(t, t) for t in times], [(t, t + 0.05) for t in times[::2]], received=10, dropped=3, invalid=1)
    )
    assert found[KEY + 'NUM_FRAMES_SENT'] == 11 and found[KEY + 'NUM_MISSED_FRAMES'] == 5
    names = 'processed', 'dropped', 'invalid', 'lost'
    assert [found[f'frames_{name}'] for name in names] == [6, 3, 1, 1]


def test_rates_are_counted_as_ros2_benchmark_does():
    """Frames by the time between the first and the last, not the intervals."""
    times = [i / 10 for i in range(11)]
    found = camera_metrics(record([(t, t) for t in times], [(t, t + 0.05) for t in times[::2]]))
    assert found[KEY + 'MEAN_PLAYBACK_FRAME_RATE'] == pytest.approx(11 / 1.0)
    assert found[KEY + 'MEAN_FRAME_RATE'] == pytest.approx(6 / 1.0)
    assert found[KEY + 'RECEIVED_DURATION'] == pytest.approx(1000)


def test_latency_counts_from_the_sending_and_age_from_the_stamp():
    found = camera_metrics(record([(0, 0), (1, 1.2)], [(0, 0.1), (1, 1.5)]))
    assert found[KEY + 'FIRST_INPUT_LATENCY'] == pytest.approx(100)
    assert found[KEY + 'LAST_INPUT_LATENCY'] == found[KEY + 'MAX_LATENCY'] == pytest.approx(300)
    assert found[KEY + 'MEAN_LATENCY'] == pytest.approx(200)
    assert found['age_ms']['max'] == pytest.approx(500) and found['sent_late_ms']['max'] == pytest.approx(200)


def test_jitter_is_how_much_an_interval_differs_from_the_one_before():
    done = [(0, 0.0), (1, 0.1), (2, 0.4), (3, 0.5)]  # intervals of 0.1, 0.3, 0.1 s
    found = camera_metrics(record(done, done))
    assert [found[f'{KEY}{name}_JITTER'] for name in ('MIN', 'MEAN', 'MAX')] == pytest.approx([200, 200, 200])
    assert found[KEY + 'STD_DEV_JITTER'] == pytest.approx(0, abs=1e-6)


def test_counters_that_begin_anew_at_a_reset_are_added():
    found = CameraRecord(START)
    for received, dropped in ((1, 0), (5, 2), (2, 1), (3, 1)):
        found.count(received=received, dropped=dropped)
    assert found.counts['received'] == 5 + 3 and found.counts['dropped'] == 2 + 1


def test_nothing_at_all_is_no_error():
    found = {'cameras': {'/a': camera_metrics(CameraRecord(START))}, 'questions': ask_metrics([])}
    camera = found['cameras']['/a']
    assert camera[KEY + 'MEAN_FRAME_RATE'] is None and found['questions']['latency_ms']['p99'] is None
    assert camera[KEY + 'NUM_FRAMES_SENT'] == found['questions']['questions'] == 0
    assert '# of Frames Sent' in as_text(found)


def test_one_frame_has_a_latency_and_no_rate():
    found = camera_metrics(record([(0, 0)], [(0, 0.1)]))
    assert found[KEY + 'MEAN_LATENCY'] == pytest.approx(100)
    assert found[KEY + 'MEAN_FRAME_RATE'] is None and found[KEY + 'MEAN_JITTER'] is None


def test_a_deadline_is_missed_by_a_late_answer_and_by_none():
    records = [
        AskRecord(0.5, 0.1, '', behind=False, deadline=1.0),
        AskRecord(1.5, 0.1, '', behind=True, deadline=1.0),
        AskRecord(0.2, 0.0, 'TIMEOUT', behind=True, deadline=1.0),
        AskRecord(9.0, 0.3, '', behind=False),
    ]
    found = ask_metrics(records)
    assert (found['deadlines'], found['deadlines_missed'], found['answers_late']) == (3, 2, 1)
    assert found['answers'] == 3 and found['answers_behind'] == 1
    assert found['latency_ms']['max'] == pytest.approx(9000)
    assert found['first_token_ms']['median'] == pytest.approx(100)
