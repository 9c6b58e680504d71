"""The numbers of a replay with the clock."""

import pytest

from stc_ros.evaluation.realtime_metrics import AskRecord, CameraRecord, ask_metrics, camera_metrics

S = 1_000_000_000


def test_frames_that_came_were_dropped_and_got_lost():
    sent = [(i * S // 10, i / 10) for i in range(11)]
    done = [(stamp, 0.05) for stamp, _ in sent[::2]]
    found = camera_metrics(CameraRecord(sent, done, received=10, dropped=3, invalid=1))
    assert found['Number of Frames Sent'] == 11 and found['Number of Frames Received'] == 6
    assert found['Number of Missed Frames'] == 5 and found['Frames Lost on the Way'] == 1
    assert found['Mean Playback Frame Rate (fps)'] == pytest.approx(10)
    assert found['Mean Frame Rate (fps)'] == pytest.approx(5)
    assert found['Median End-to-End Latency (ms)'] == pytest.approx(50)
    assert found['Max. Frame-to-Frame Jitter (ms)'] == pytest.approx(0, abs=1e-6)


def test_jitter_is_how_much_an_interval_differs_from_the_one_before():
    ends = (0.0, 0.1, 0.3, 0.4)  # intervals of 0.1, 0.2, 0.1 s
    found = camera_metrics(CameraRecord([], [(0, end) for end in ends]))
    assert found['Max. Frame-to-Frame Jitter (ms)'] == pytest.approx(100)
    assert found['Mean Frame-to-Frame Jitter (ms)'] == pytest.approx(100)


def test_nothing_at_all_is_no_error():
    found = camera_metrics(CameraRecord()) | ask_metrics([])
    assert found['Mean Frame Rate (fps)'] is None and found['P99 Answer Latency (ms)'] is None
    assert found['Number of Frames Sent'] == found['Number of Questions'] == 0


def test_a_deadline_is_missed_by_a_late_answer_and_by_none():
    records = [
        AskRecord(0.5, 0.1, '', deadline=1.0),
        AskRecord(1.5, 0.1, '', deadline=1.0),
        AskRecord(0.2, 0.0, 'TIMEOUT', deadline=1.0),
        AskRecord(9.0, 0.3, ''),
    ]
    found = ask_metrics(records)
    assert (found['Number of Deadlines'], found['Number of Missed Deadlines']) == (3, 2)
    assert found['Number of Answers'] == 3 and found['Max. Answer Latency (ms)'] == pytest.approx(9000)
    assert found['Median Time to First Token (ms)'] == pytest.approx(100)
