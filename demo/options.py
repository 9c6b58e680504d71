"""The demo's command line, and what follows from it for the two processes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from stc_ros.models import EMBEDDED
from stc_ros.parameter_spec import SettingError
from stc_ros.settings import Settings
from stc_ros.settings_export import add_arguments, from_arguments
from stc_ros.synthetic import PROFILES

REAL_MODEL = 'llava-hf/llava-onevision-qwen2-0.5b-ov-hf'
WATCH = 'Is anything moving?'
EMBEDDED_WATCH = 'is there a circle ?'  # in the words of its world, where they come and go
QUESTIONS = ('What do you see?', 'Is anything moving, and where?', 'What has happened so far?')


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Exits with a message where the arguments make no sense."""
    parser = argparse.ArgumentParser(
        prog='./dev demo',
        description='A camera and the stc_stream node as two processes over ROS 2: narration, '
        'questions, and what the token compression saves. Ends with a summary on Ctrl-C or after --seconds.',
    )
    parser.add_argument(
        '--source',
        default='synthetic',
        metavar='synthetic|FILE|/dev/videoN',
        help='what the camera shows (default: synthetic)',
    )
    parser.add_argument('--profile', default='busy', choices=PROFILES, help='synthetic: which world (default: busy)')
    parser.add_argument('--seed', type=int, default=7, help='synthetic: which of the endless worlds (default: 7)')
    parser.add_argument('--rate', type=float, default=0.0, metavar='HZ', help="camera's rate (default: the source's)")
    parser.add_argument('--no-loop', action='store_true', help='video file: end with it, instead of starting again')
    parser.add_argument(
        '--seconds',
        type=float,
        default=0.0,
        metavar='N',
        help='end N seconds after the first frame was seen (default: on Ctrl-C)',
    )
    parser.add_argument(
        '--ask',
        action='append',
        metavar='QUESTION',
        help='ask this instead of the three questions; may be given several times',
    )
    parser.add_argument(
        '--watch',
        action='append',
        metavar='CONDITION',
        help=f'tell when this becomes true and false; may be given several times (default: "{EMBEDDED_WATCH}", and '
        f'of another model "{WATCH}")',
    )
    parser.add_argument(
        '--quiz', action='store_true', help='synthetic: ask what the world itself has to ask, a question a second'
    )
    parser.add_argument(
        '--truth', action='store_true', help='synthetic: show below each narration and answer what is right'
    )
    parser.add_argument('--headless', action='store_true', help='plain lines, also on a terminal')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures there')
    parser.add_argument(
        '--overlay',
        type=Path,
        default=Path('stc_overlay.jpg'),
        metavar='FILE',
        help='picture of the recomputed patches and kept tokens (default: %(default)s)',
    )
    add_arguments(parser.add_argument_group('settings of the node'))
    options = parser.parse_args(arguments)
    try:
        options.settings = from_arguments(options)
    except SettingError as error:
        parser.error(str(error))
    if options.source != 'synthetic' and not Path(options.source).exists():
        parser.error(
            f'--source {options.source}: there is no such file or device. Give synthetic, the path of a video '
            'file, or a camera (ls /dev/video*).'
        )
    if options.seconds < 0 or options.rate < 0:
        parser.error('--seconds and --rate must not be negative')
    if options.quiz and (options.source != 'synthetic' or options.ask):
        parser.error('--quiz asks about synthetic scenes, and asks its own questions: leave out --source and --ask')
    for option in ('json', 'overlay'):
        file = getattr(options, option)
        if file and not file.resolve().parent.is_dir():
            parser.error(f'--{option} {file}: there is no folder {file.resolve().parent}')
    return options


def camera_arguments(options: argparse.Namespace) -> list[str]:
    return ros_parameters(
        {
            'source': options.source,
            'profile': options.profile,
            'seed': options.seed,
            'rate': options.rate,
            'loop': not options.no_loop,
        }
    )


def node_arguments(options: argparse.Namespace) -> list[str]:
    settings: Settings = options.settings
    return ros_parameters({'autostart': True, **settings.changed()})


def ros_parameters(values: dict) -> list[str]:
    """JSON is YAML: strings are quoted, floats have their point."""
    return ['--ros-args', *(word for name, value in values.items() for word in ('-p', f'{name}:={json.dumps(value)}'))]


def questions(options: argparse.Namespace) -> list[str]:
    """Those given, those that come with the model, or three that fit any; none beside a quiz."""
    if options.ask or options.quiz:
        return options.ask or []
    about = (Path(model) if (model := options.settings['model.name']) else EMBEDDED) / 'stc.json'
    if about.is_file():
        return json.loads(about.read_text()).get('questions') or list(QUESTIONS)
    return list(QUESTIONS)


def watches(options: argparse.Namespace) -> list[str]:
    """Conditions: those given, or one that fits the model."""
    return options.watch or [WATCH if options.settings['model.name'] else EMBEDDED_WATCH]


def caution(options: argparse.Namespace) -> str:
    """What to know before judging the words; empty when there is nothing."""
    if options.source == 'synthetic' or options.settings['model.name']:
        return ''
    return (
        'Note: the embedded model knows only its synthetic world; what it says about this video means nothing.\n'
        'The whole path runs all the same: frames, compression, memory, answers. For words that fit, name a real\n'
        f'model: ./dev demo --source {options.source} --model {REAL_MODEL}\n'
        '(downloaded once from the hub; or a local folder of the LLaVA-OneVision family).'
    )
