"""The report of a run that was played with the clock says what the clock cost, and nothing of one that was not."""

import json
import shutil

import pytest
import sample_results as sample

from stc_ros.evaluation.realtime_metrics import METRICS, AskRecord, CameraRecord, ask_metrics, camera_metrics
from stc_ros.evaluation.report_data import read_runs
from stc_ros.evaluation.report_tables import settings_table

SENT = [(number * 10**8, number / 10) for number in range(10)]
GROUP = 'Played with the clock'


@pytest.fixture
def folders(tmp_path):
    """The same results, without the clock and with it."""
    sample.write_run(tmp_path / 'exact', frames=10)
    shutil.copytree(tmp_path / 'exact', tmp_path / 'played')
    camera = CameraRecord(0, SENT, [(stamp, at + 0.1) for stamp, at in SENT[:7]])
    camera.count(received=9, dropped=2)
    asked = [AskRecord(2.0, 0.1, '', behind=True, deadline=1.0), AskRecord(0.1, 0.1, 'BUSY', behind=True, deadline=1.0)]
    found = {'rate': 0.5, 'cameras': {'/a': camera_metrics(camera)}, 'questions': ask_metrics(asked)}
    (tmp_path / 'played' / METRICS).write_text(json.dumps(found))
    return tmp_path / 'exact', tmp_path / 'played'


def test_what_the_clock_cost_stands_beside_a_run_without_one(folders):
    (group,) = (each for each in settings_table(read_runs(folders)) if each['name'] == GROUP)
    rows = {row['name']: row['cells'] for row in group['rows']}
    assert rows == {
        'rate': ['–', '0.500'],
        'frames sent': ['–', '10'],
        'frames missed': ['–', '3'],
        'dropped for newer ones': ['–', '2'],
        'lost on the way': ['–', '1'],
        'answers behind their deadline': ['–', '1'],
        'deadlines missed': ['–', '2'],
        'answers that did not know the newest frame': ['–', '1'],
    }


def test_without_a_clock_nothing_is_said_of_it(folders):
    assert GROUP not in [group['name'] for group in settings_table(read_runs(folders[:1]))]


def test_damaged_metrics_are_a_note(folders):
    (folders[1] / METRICS).write_text('{')
    (run,) = read_runs(folders[1:])
    assert any(METRICS in note for note in run.notes)
