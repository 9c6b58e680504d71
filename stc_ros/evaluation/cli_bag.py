"""`stc_ros bag`: makes bags from a video file or from a synthetic world, and says what is in one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stc_ros.evaluation.arguments import positive
from stc_ros.synthetic import PROFILES, World

TOPIC = '/camera/image_raw'
FORMATS, STORAGES = ('raw', 'jpeg', 'h264'), ('mcap', 'sqlite3')
QUESTIONS_A_MINUTE = 20


def add_parser(subparsers) -> None:
    """Adds `bag` to the program's commands."""
    commands = subparsers.add_parser(
        'bag',
        help='make bags from videos and from synthetic worlds; say what is in a bag',
        description='Make ROS 2 bags from videos and from synthetic worlds; say what is in a bag.',
    ).add_subparsers(dest='bag_command', required=True, metavar='COMMAND')

    video = commands.add_parser('from-video', help='a video file as a bag', description='Write a video as a bag.')
    video.add_argument('file', type=Path, metavar='FILE', help='a video that FFmpeg reads')
    video.add_argument('--fps', type=positive(float), default=0.0, metavar='N', help='at most N frames a second (all)')
    video.add_argument('--size', type=positive(int), default=0, metavar='N', help='longest side in px (as it is)')
    _add_output(video, "the file's name without its ending")

    synthetic = commands.add_parser(
        'from-synthetic',
        help='a synthetic world as a bag, with the right answers',
        description='Write a synthetic world as a bag: pictures, camera_info, poses, ground truth as JSON.',
    )
    synthetic.add_argument('--profile', choices=PROFILES, default='busy', help='kind of world (%(default)s)')
    synthetic.add_argument('--seed', type=int, default=2_000_000_000, metavar='N', help='which world (%(default)s)')
    synthetic.add_argument(
        '--seconds', type=positive(float), default=60.0, metavar='S', help='length of the bag (%(default)g)'
    )
    synthetic.add_argument(
        '--rate', type=positive(float), default=8.0, metavar='HZ', help='frames a second (%(default)g)'
    )
    synthetic.add_argument('--size', type=positive(int), default=112, metavar='N', help='side in px (%(default)s)')
    synthetic.add_argument(
        '--questions', type=Path, metavar='FILE', help='write questions about the world with their answers (YAML)'
    )
    synthetic.add_argument(
        '--count', type=positive(int), metavar='N', help=f'how many questions ({QUESTIONS_A_MINUTE} a minute)'
    )
    _add_output(synthetic, 'synthetic-PROFILE-SEED')

    info = commands.add_parser('info', help='what is in a bag', description='Say what is in a bag.')
    info.add_argument('bags', nargs='+', type=Path, metavar='BAG', help='file or folder; several count as one')


def run(options: argparse.Namespace) -> int:
    """The exit code: 0, or 2 when it cannot be done; the reason stands on stderr."""
    from stc_ros.io.bags import BagError
    from stc_ros.io.video import VideoError

    command = {'from-video': _from_video, 'from-synthetic': _from_synthetic, 'info': _info}[options.bag_command]
    try:
        command(options)
    except (BagError, VideoError, OSError) as error:
        print(f'stc_ros bag: {error}', file=sys.stderr)
        return 2
    return 0


def _from_video(options: argparse.Namespace) -> None:
    from stc_ros.evaluation.made_bags import from_video
    from stc_ros.io.bag_writer import BagWriter
    from stc_ros.io.video import Video, VideoError

    if not options.file.is_file():
        raise VideoError(f'{options.file} does not exist; give the path of a video file')
    video = Video(str(options.file), options.size)
    if options.format == 'h264':  # shares its colour between 2 x 2 pixels
        video.width, video.height = video.width // 2 * 2, video.height // 2 * 2
    try:
        with BagWriter(options.out or Path(options.file.stem), options.storage) as writer:
            count = from_video(video, writer, options.topic, options.fps, options.format)
    finally:
        video.close()
    print(f'{writer.path}: {count} frames, {video.width} x {video.height}, {_size([writer.path])}')


def _from_synthetic(options: argparse.Namespace) -> None:
    from stc_ros.evaluation.made_bags import from_synthetic, write_questions
    from stc_ros.io.bag_writer import BagWriter

    out = options.out or Path(f'synthetic-{options.profile}-{options.seed}')
    frames = max(round(options.seconds * options.rate), 1)
    wanted = (options.count or max(round(QUESTIONS_A_MINUTE * options.seconds / 60), 1)) if options.questions else 0
    if options.questions:
        options.questions.parent.mkdir(parents=True, exist_ok=True)
    with BagWriter(out, options.storage) as writer:
        world = World(options.profile, options.seed)
        asked = from_synthetic(world, writer, options.topic, frames, options.rate, options.size, options.format, wanted)
        if options.questions:
            write_questions(options.questions, asked, options.rate, options.profile)
    print(f'{out}: {frames} frames, {options.size} x {options.size}, {_size([out])}')
    if options.questions:
        few = f' of {wanted} wanted: the world has no more to ask; make it longer' if len(asked) < wanted else ''
        print(f'{options.questions}: {len(asked)} questions{few}')


def _info(options: argparse.Namespace) -> None:
    from stc_ros.io.bags import IMAGE_TYPES, Bag

    with Bag(options.bags) as bag:
        topics = bag.topics()
        seconds = (bag.end_ns - bag.start_ns) / 1e9
        print(f'{", ".join(map(str, bag.paths))}: {_size(bag.paths)}, {seconds:.3f} s from stamp {bag.start_ns}')
        wide = max((len(name) for name, _, _ in topics), default=0)
        for name, type, count in topics:
            print(f'  {name:{wide}}  {count:7}  {type}{_first_frame(bag, name) if type in IMAGE_TYPES else ""}')


def _first_frame(bag: Any, topic: str) -> str:
    frame = next(bag.frames([topic]), None)
    if frame is None:
        return ''
    if frame.picture is None:
        return f'  first frame: {frame.error}'
    height, width = frame.picture.array().shape[:2]
    return f'  {width} x {height}, {frame.frame_id or "no frame_id"}'


def _add_output(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument('--out', type=Path, metavar='BAG', help=f'folder to write, a new one ({name})')
    parser.add_argument('--storage', choices=STORAGES, default='mcap', help='kind of file (%(default)s)')
    parser.add_argument(
        '--format',
        choices=FORMATS,
        default='raw',
        help='Image, CompressedImage or CompressedVideo; raw loses nothing (%(default)s)',
    )
    parser.add_argument(
        '--topic', default=TOPIC, help='of the raw images; others add what image_transport does (%(default)s)'
    )


def _size(paths: Iterable[Path]) -> str:
    files = [f for path in paths for f in (path.rglob('*') if path.is_dir() else [path]) if f.is_file()]
    return f'{sum(f.stat().st_size for f in files) / 1e6:.1f} MB'
