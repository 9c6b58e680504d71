"""`stc_ros watches calibrate`: levels for watches from a recording whose events somebody has marked."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

CALIBRATE = """Fit threshold, rearm, looks and hold of each watch to a recording, and write the watches with them.

--labels is YAML; times are seconds from the recording's start, and what is not named was false:

labels:
  - watch: fallen
    true: [[12.0, 14.5], [30, 41]]
    unknown: [[41, 43]]
  - watch: door
    true: []

Exit code: 0 all watches keep to the wished rate on this recording, 1 one does not, 2 the input was wrong."""


def add_parser(subparsers: Any) -> None:
    """Adds `watches` to the program's commands."""
    commands = subparsers.add_parser(
        'watches',
        help='fit the levels of watches to a labelled bag',
        description='Fit the levels of watches to a labelled bag.',
    ).add_subparsers(dest='watches_command', required=True, metavar='COMMAND')
    parser = commands.add_parser(
        'calibrate',
        help='levels for watches from a labelled bag',
        description=CALIBRATE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('bag', nargs='+', type=Path, metavar='BAG', help='folder or file; split files count as one')
    parser.add_argument('--watches', type=Path, required=True, metavar='FILE', help='the watches (YAML)')
    parser.add_argument('--labels', type=Path, required=True, metavar='FILE', help='when each was true (YAML)')
    parser.add_argument('--alarms', type=float, default=1.0, metavar='N', help='false alarms an hour at most (1)')
    parser.add_argument('--camera', default='', metavar='TOPIC', help='topic of images (the only one)')
    parser.add_argument('--settings', type=Path, metavar='FILE', help='parameters as in config/stream.yaml (defaults)')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE', help='the watches with what was fitted')


def run(options: argparse.Namespace) -> int:
    """The exit code; what is wrong with the input stands on stderr."""
    from stc_ros.answer import QuestionError
    from stc_ros.io.bags import BagError
    from stc_ros.io.marked_yaml import FileError
    from stc_ros.parameter_spec import SettingError

    try:
        return _calibrate(options)
    except (BagError, FileError, QuestionError, SettingError, OSError) as error:
        print(f'stc_ros watches: {error}', file=sys.stderr)
        return 2


def _calibrate(options: argparse.Namespace) -> int:
    import yaml
    from tqdm import tqdm

    from stc_ros.evaluation.settings_file import read_settings
    from stc_ros.evaluation.watch_calibration import as_yaml, fit, read_labels, trace
    from stc_ros.io.bags import Bag
    from stc_ros.models import load_model
    from stc_ros.settings import Settings
    from stc_ros.stream import open_stream
    from stc_ros.watches.watch_file import read_watches

    watches = read_watches(options.watches).watches
    labels = read_labels(options.labels, [watch.name for watch in watches])
    settings = read_settings(options.settings) if options.settings else Settings()
    with Bag(options.bag) as bag:
        topic = bag.choose(options.camera)
        model, start = load_model(settings), bag.start_ns
        total = next(each.count for each in bag.image_topics() if each.name == topic)
        traces = trace(
            open_stream(model, settings),
            open_stream(model, settings),
            tqdm(bag.frames([topic]), desc='frames', total=total, disable=None),
            [watch.condition for watch in watches],
            settings['watch.whole_frame'],
        )
    fitted = [
        fit(watch, seen, labels[watch.name], start, settings, options.alarms) for watch, seen in zip(watches, traces)
    ]
    for each in fitted:
        print(_line(each))
    options.out.write_text(yaml.safe_dump(as_yaml([each.watch for each in fitted]), sort_keys=False), encoding='utf-8')
    print(options.out)
    return 0 if all(each.kept for each in fitted) else 1


def _line(fitted: Any) -> str:
    """What became of one watch."""
    watch, now, before = fitted.watch, fitted.after, fitted.before
    text = (
        f'{watch.name}: threshold {watch.threshold:g}, rearm {watch.rearm:g}, looks {watch.looks}, '
        f'hold {watch.hold / 1e9:g} s: F1 {now.f1:.3f} (before {before.f1:.3f}) of {now.onsets} onsets, '
        f'{now.false_alarms} (before {before.false_alarms}) false alarms in {now.hours:.2f} h'
    )
    if not fitted.kept:
        return f'{text}: MORE THAN WISHED: put the condition in other words'
    if not now.false_alarms and now.hours:
        text += f', so fewer than {3 / now.hours:.1f} an hour (95 %)'
    return text
