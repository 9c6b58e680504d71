"""Levels fitted to made-up log odds whose false alarms and events are known, and the command on a small bag."""

import argparse
import math

import pytest

from stc_ros.evaluation import cli_watches
from stc_ros.evaluation.watch_calibration import Labels, Trace, as_yaml, fit, read_labels
from stc_ros.io.marked_yaml import FileError
from stc_ros.settings import Settings
from stc_ros.watches.rule import Watch
from stc_ros.watches.watch_file import read_watches

FRAME_NS = 125_000_000
START = 1_700_000_000_000_000_000
WATCH = Watch('door', 'is the door open ?', '', threshold=0.0, rearm=0.0, looks=0)
LOW = -6.0


def trace(*pieces, blank=LOW):
    """pieces: (frames, log odds)."""
    odds = [value for frames, value in pieces for _ in range(frames)]
    return Trace(blank, [START + i * FRAME_NS for i in range(len(odds))], odds)


def fitted(seen, labels, alarms=1.0, watch=WATCH, **settings):
    return fit(watch, seen, labels, START, Settings(settings), alarms)


def test_a_model_that_is_rather_sure_of_what_is_wrong_gets_a_higher_level():
    seen = trace((80, LOW), (16, 3.5), (80, LOW), (16, 7.0), (80, LOW))  # p 0.97 at 10 s is wrong, 22 s is right
    labels = Labels(true=((22.0, 24.0),))
    found = fitted(seen, labels)
    assert found.kept and found.after.f1 == 1.0 and found.after.false_alarms == 0
    assert found.before.false_alarms == 1  # the control: the defaults
    assert 1 / (1 + math.exp(-3.5)) < found.watch.threshold < 1 / (1 + math.exp(-7.0))
    assert found.watch.hold == 0 and found.watch.looks == 1  # nothing that would be later, and is not needed
    assert fitted(seen, Labels(unknown=((10.0, 12.0),), true=((22.0, 24.0),))).before.false_alarms == 0


def test_short_flickers_cost_looks_or_hold_and_one_that_misses_gets_a_lower_level():
    flicker = [piece for _ in range(5) for piece in ((16, LOW), (2, 8.0))]
    found = fitted(trace(*flicker, (16, LOW), (24, 8.0), (16, LOW)), Labels(true=((13.25, 16.25),)))
    assert found.kept and found.after.f1 == 1.0 and (found.watch.looks, found.watch.hold) == (3, 0)
    shy = fitted(trace((40, LOW), (24, 0.6), (40, LOW)), Labels(true=((5.0, 8.0),)))
    assert shy.before.f1 == 0.0 and shy.after.f1 == 1.0 and shy.watch.threshold < 0.65


def test_where_no_level_helps_it_says_so():
    seen = trace((80, LOW), (24, 9.0), (80, LOW), (24, 9.0), (80, LOW))
    found = fitted(seen, Labels(true=((10.0, 13.0),)))
    assert not found.kept and found.after.false_alarms == 1
    assert fitted(seen, Labels(true=((10.0, 13.0),)), alarms=1000.0).kept


def test_the_lean_of_an_empty_frame_is_taken_off_as_in_the_node():
    seen = trace((40, 1.5), (24, 4.0), (40, 1.5), blank=1.5)
    assert fitted(seen, Labels(true=((5.0, 8.0),))).after.f1 == 1.0
    plain = fitted(seen, Labels(true=((5.0, 8.0),)), **{'watch.correct_bias': False})
    assert plain.watch.threshold > 1 / (1 + math.exp(-1.5))


@pytest.mark.parametrize(
    'text, line, reason',
    [
        ('labels:\n  - watch: gate\n    true: []\n', 2, 'none of the watches'),
        ('labels:\n  - watch: door\n    true: [12, 14]\n', 3, r'\[from, to\]'),
        ('labels:\n  - watch: door\n    true: [[14, 12]]\n', 3, r'\[from, to\]'),
        ('labels:\n  - watch: door\n    true: []\n  - watch: door\n    true: []\n', 4, 'twice'),
        ('labels: []\n', 1, 'no labels of door'),
    ],
)
def test_labels_that_are_wrong_are_named_by_line(tmp_path, text, line, reason):
    file = tmp_path / 'labels.yaml'
    file.write_text(text)
    with pytest.raises(FileError, match=f':{line}: .*{reason}'):
        read_labels(file, ['door'])


def test_the_command_writes_watches_that_the_node_reads(tmp_path, capsys):
    from stc_ros.__main__ import main

    main(['bag', 'from-synthetic', '--seconds', '3', '--rate', '4', '--out', str(tmp_path / 'bag')])
    watches, labels, out = (tmp_path / name for name in ('watches.yaml', 'labels.yaml', 'out.yaml'))
    watches.write_text('watches:\n  - condition: is there a circle ?\n    name: circle\n    cool_down: 2.5\n')
    labels.write_text('labels:\n  - watch: circle\n    true: [[0, 100]]\n')
    given = {'bag': [tmp_path / 'bag'], 'watches': watches, 'labels': labels, 'alarms': 1.0, 'out': out}
    options = argparse.Namespace(**given, camera='', settings=None)
    assert cli_watches.run(options) in (0, 1)
    (watch,) = read_watches(out).watches
    assert (watch.name, watch.condition, watch.cool_down) == ('circle', 'is there a circle ?', 2_500_000_000)
    assert 0 < watch.threshold < 1 and watch.looks and as_yaml([watch])['watches'][0]['cool_down'] == 2.5
    assert 'circle: threshold' in capsys.readouterr().out
    options.labels = tmp_path / 'missing.yaml'
    assert cli_watches.run(options) == 2 and 'missing.yaml' in capsys.readouterr().err
