"""Measures what compression costs: `python -m stc_ros.evaluation.quality --quick`.

Questions about seeded synthetic streams are asked of the plain model, of the model with the given settings, and under
controls that show whether a type of question can tell anything. `--sweep` draws the curves and writes docs/quality.md.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from stc_ros.evaluation.arguments import positive
from stc_ros.parameter_spec import SettingError
from stc_ros.settings_export import add_arguments, from_arguments
from stc_ros.synthetic import PROFILES

STREAMS, QUICK_STREAMS = 24, 4  # per profile
FRAMES = 32  # of a stream
SWEEP_SHARE = 4  # a sweep has so many conditions that it takes a fourth of the streams


def read_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='quality', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--profile', choices=('all', *PROFILES), default='all', help='which streams (all)')
    parser.add_argument('--streams', type=positive(int), help=f'streams per profile ({STREAMS})')
    parser.add_argument('--seed', type=int, default=0, help='any number; another one asks about other streams (0)')
    parser.add_argument(
        '--tune', action='store_true', help='take streams for choosing settings, not those for the record'
    )
    parser.add_argument('--quick', action='store_true', help=f'{QUICK_STREAMS} streams per profile: a few minutes')
    parser.add_argument(
        '--json',
        type=Path,
        metavar='FILE',
        help='write the figures there, too; an interval is the 95 %% one of retention',
    )
    parser.add_argument(
        '--sweep',
        action='store_true',
        help='measure many settings on tuning streams, then the best ones on others; writes --report',
    )
    parser.add_argument(
        '--report',
        type=Path,
        metavar='FOLDER',
        default=Path('docs'),
        help='where --sweep writes quality.md, quality.json and the pictures (docs)',
    )
    parser.add_argument('--frames', type=positive(int), default=FRAMES, help=f'of each stream ({FRAMES})')
    parser.add_argument(
        '--backdrop',
        nargs='+',
        metavar='FILE',
        help='videos to show behind the objects (real-eye: those of ../shared/clips; else none)',
    )
    parser.add_argument('--jobs', type=positive(int), help='processes (as many as there are cores; 1 on a GPU)')
    add_arguments(parser.add_argument_group('settings'))
    chosen = parser.parse_args(arguments)
    if chosen.sweep and chosen.tune:
        parser.error('--sweep chooses settings on tuning streams and measures them on others: leave out --tune')
    if chosen.sweep and not find_spec('matplotlib'):
        parser.error('--sweep draws pictures: pip install matplotlib')
    try:
        chosen.settings = from_arguments(chosen)
    except SettingError as error:
        parser.error(str(error))
    chosen.streams = chosen.streams or (QUICK_STREAMS if chosen.quick else STREAMS)
    chosen.command = ' '.join(['./dev quality', *map(shlex.quote, sys.argv[1:] if arguments is None else arguments)])
    return chosen


def main(arguments: list[str] | None = None) -> int:
    chosen = read_arguments(arguments)
    # imported this late, so that --help and a mistyped option are answered at once
    import torch
    from transformers.utils.logging import disable_progress_bar

    from stc_ros.io.video import VideoError
    from stc_ros.models import load_model
    from stc_ros.models.base import ModelError

    torch.set_num_threads(1)
    disable_progress_bar()
    try:
        model = load_model(chosen.settings)
    except (ImportError, ModelError) as error:
        print(f'quality: {error}', file=sys.stderr)
        return 1
    try:
        measure(model, chosen)
    except VideoError as error:
        print(f'quality: {error}', file=sys.stderr)
        return 1
    return 0


def choose_plan(chosen: argparse.Namespace):
    """How the streams are shown -> (`Plan`, how that is said behind the seed)."""
    from stc_ros.evaluation.episodes import Plan
    from stc_ros.models import REAL_EYE
    from stc_ros.synthetic.backdrop import find_clips

    plan = Plan(frames=chosen.frames, backdrop=tuple(chosen.backdrop or ()))
    if chosen.settings['model.name'] == REAL_EYE:
        from stc_ros.models.real_eye import SIDE

        plan = replace(plan, size=SIDE, backdrop=plan.backdrop or find_clips())
        if not plan.backdrop:
            print(
                'quality: no videos in ../shared/clips, and none named with --backdrop: the objects move over plain '
                'textures, which this model never saw',
                file=sys.stderr,
            )
    names = ', '.join(Path(file).name for file in plan.backdrop)
    return plan, f', over {names}' if names else ''


def measure(model, chosen: argparse.Namespace) -> None:
    """Measure, print, and write what was asked for."""
    from stc_ros.evaluation.conditions import Condition, conditions
    from stc_ros.evaluation.document import write_document
    from stc_ros.evaluation.episodes import draw_streams
    from stc_ros.evaluation.measure import measure_all, usable_cores
    from stc_ros.evaluation.report import machine, print_summary
    from stc_ros.evaluation.summary import summarise, to_json
    from stc_ros.evaluation.sweep import choose_others, read_sweep, sweep_conditions

    began, settings = time.monotonic(), chosen.settings
    plan, shown = choose_plan(chosen)
    jobs = chosen.jobs or (1 if model.device.type != 'cpu' else usable_cores())
    measured, others, swept = conditions(settings), {}, {}
    if chosen.sweep:
        streams = draw_streams(chosen.profile, max(1, chosen.streams // SWEEP_SHARE), chosen.seed, tune=True)
        swept = read_sweep(measure_all(model, streams, plan, sweep_conditions(settings), jobs, 'sweep'))
        others = choose_others(settings, swept)
        measured += [Condition(name, one, narrates=True) for name, one in others.items()]
    streams = draw_streams(chosen.profile, chosen.streams, chosen.seed, chosen.tune)
    outcome = measure_all(model, streams, plan, measured, jobs)
    summary = summarise(outcome)
    minutes = (time.monotonic() - began) / 60
    made = (
        f'{settings["model.name"] or "The embedded model"}, {len(streams)} streams (profiles: {chosen.profile}), '
        f'seed {chosen.seed}{shown}; '
        f'{machine()}, {jobs} processes, {minutes:.1f} minutes'
    )
    print_summary(summary, made)
    found = to_json(summary, chosen.profile, settings, chosen.seed)
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(found, indent=1) + '\n')
    if chosen.sweep:
        write_document(chosen.report, chosen.command, made, settings, outcome, swept, others, found)
        print(f'\nwritten: {chosen.report / "quality.md"}')


if __name__ == '__main__':
    sys.exit(main())
