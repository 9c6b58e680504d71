"""What the benchmarks share: their options, their pictures, fair timing, and rows of figures as table and JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout, installed or not

FAULT = 0.95  # faster than this share of what the operations allow: something is not computed


@dataclass(slots=True)
class Row:
    """One mode's figures. Ratios compare the typical time of a frame (see `Times`); below 1 is faster than plain."""

    model: str
    input: str
    mode: str
    settings: str
    share: float  # of the tokens, recomputed or kept
    median_ms: float  # of a frame
    p99_ms: float
    ratio_to_plain: float
    ideal_ratio: float  # what the number of floating-point operations allows
    frames: int
    machine: str
    command: str = ''

    @property
    def fault(self) -> bool:
        return self.mode != 'plain' and self.ratio_to_plain < FAULT * self.ideal_ratio


def options(doc: str, models: tuple[str, ...], frames: int, quick: int) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes. The first of `models` is the default."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument('--video', metavar='FILE', help='pictures of a video file')
    source.add_argument(
        '--profile',
        choices=('static', 'patrol', 'busy', 'night'),
        default='busy',
        help='pictures of a synthetic world (busy)',
    )
    parser.add_argument('--frames', type=int, metavar='N', help=f'how many ({frames}; with --quick {quick})')
    parser.add_argument('--fps', type=float, default=5.0, help='frames a second taken of a video (5)')
    parser.add_argument('--start', type=float, default=0.0, help='seconds of the video to leave out (0)')
    parser.add_argument(
        '--model', choices=models, default=models[0], help=f'weights are random but for the embedded one ({models[0]})'
    )
    parser.add_argument('--dtype', choices=('float32', 'bfloat16'), default='float32', help='number format (float32)')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda, ... (auto)')
    parser.add_argument('--threads', type=int, default=0, help='CPU threads (all cores)')
    parser.add_argument(
        '--cpu-time', action='store_true', help='count CPU time, on one thread: for a machine that does other work, too'
    )
    parser.add_argument('--quick', action='store_true', help='fewer frames and modes: at most 10 minutes on 2 cores')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the rows there, too')
    parser.set_defaults(full_frames=frames, quick_frames=quick)
    return parser


def read(parser: argparse.ArgumentParser, arguments: list[str] | None = None) -> argparse.Namespace:
    """Parsed arguments, `frames` filled in and torch set to the number of threads."""
    chosen = parser.parse_args(arguments)
    chosen.frames = chosen.frames or (chosen.quick_frames if chosen.quick else chosen.full_frames)
    if chosen.frames < 1 or chosen.fps <= 0:
        parser.error('--frames and --fps must be positive')
    if chosen.video and not Path(chosen.video).is_file():
        parser.error(f'there is no video {chosen.video}')
    set_clock(chosen)
    return chosen


def set_clock(chosen: argparse.Namespace) -> None:
    """Let torch use `threads` (0: all cores), or one with `cpu_time`, which is then what is counted."""
    import torch

    from stc_ros import timing

    if chosen.cpu_time:
        chosen.threads, timing.now = 1, time.process_time
    chosen.threads = chosen.threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(chosen.threads)


def load(chosen: argparse.Namespace):
    """The model asked for, with its weights packed as a stream's are."""
    import torch

    from stc_ros.models import load_model, pick_device
    from stc_ros.models.random import random_model
    from stc_ros.settings import Settings

    if chosen.model == 'embedded':
        return load_model(Settings({'model.device': chosen.device, 'model.dtype': chosen.dtype}))
    device = pick_device(chosen.device)
    return random_model(chosen.model, device=device, dtype=getattr(torch, chosen.dtype), packed=True)


def pictures(chosen: argparse.Namespace, size: int = 384) -> Iterator[np.ndarray]:
    """The frames asked for, uint8 [H, W, 3]. Ends the program when the video cannot be read or is too short."""
    if not chosen.video:
        from stc_ros.synthetic import World

        world = World(chosen.profile, seed=7)
        for _ in range(chosen.frames):
            yield world.render(size)
            world.step()
        return
    from stc_ros.io.video import Video, VideoError

    try:
        video = Video(chosen.video)
        wanted, taken = chosen.start * video.rate, 0
        for number, frame in enumerate(video):
            if taken == chosen.frames:
                break
            if number >= wanted:
                wanted += max(1.0, video.rate / chosen.fps)
                taken += 1
                yield frame
    except VideoError as error:
        sys.exit(f'{Path(sys.argv[0]).name}: {error}')
    if taken < chosen.frames:
        print(f'{chosen.video}: only {taken} frames at {chosen.fps:g} a second', file=sys.stderr)


def in_turn(modes, number: int) -> tuple:
    """The modes in the order in which they take turn `number`: forwards and backwards by turns."""
    return (*modes,) if number % 2 else (*reversed(modes),)


def input_name(chosen: argparse.Namespace) -> str:
    return f'{Path(chosen.video).stem} at {chosen.fps:g}/s' if chosen.video else chosen.profile


def machine(chosen: argparse.Namespace, device) -> str:
    """Processor, threads and versions."""
    import torch

    if device.type == 'cuda':
        return f'{torch.cuda.get_device_name(device)}, torch {torch.__version__}'
    name = platform.processor() or platform.machine()
    try:
        name = next(line.split(':')[1].strip() for line in open('/proc/cpuinfo') if line.startswith('model name'))
    except (OSError, StopIteration):
        pass
    clock = ' (CPU time)' if chosen.cpu_time else ''
    return f'{name}, {chosen.threads} threads{clock}, torch {torch.__version__}'


def median_ms(call: Callable[[], object], repeats: int) -> float:
    """Median milliseconds of a call, warm."""
    from stc_ros import timing

    call()
    spent = []
    for _ in range(repeats):
        start = timing.now()
        call()
        spent.append((timing.now() - start) * 1e3)
    return float(np.median(spent))


class Times:
    """Milliseconds of each mode's calls. On a GPU a call ends when its work is done.

    bursts: a call may do the work of earlier ones, too, as prefill in batches does.
    """

    def __init__(self, device, bursts: bool = False):
        self.device, self.bursts, self.all = device, bursts, {}

    def run(self, mode: str, call: Callable[[], float], keep: bool = True) -> None:
        """Time one call, which returns the share of the tokens that it worked on; `keep=False` while things warm up."""
        from stc_ros import timing

        self._wait()
        start = timing.now()
        share = call()
        self._wait()
        if keep:
            self.add(mode, float(share), (timing.now() - start) * 1e3)

    def add(self, mode: str, share: float, ms: float) -> None:
        """Note one call's share and time."""
        self.all.setdefault(mode, []).append((share, ms))

    def _wait(self) -> None:
        if self.device.type == 'cuda':
            import torch

            torch.cuda.synchronize(self.device)

    def shares(self, mode: str) -> list[float]:
        return [share for share, _ in self.all[mode]]

    def typical(self, mode: str) -> float:
        """Mean milliseconds of a frame, each frame counted as the median of those with the same work.

        So dear and cheap frames count as often as they came, and a moment in which the machine did something else
        does not. The plain mean where work comes in bursts.
        """
        if self.bursts:
            return float(np.mean([ms for _, ms in self.all[mode]]))
        return sum(float(np.median(ms)) * len(ms) for ms in self.by_work(mode)) / len(self.all[mode])

    def by_work(self, mode: str) -> list[list[float]]:
        """Milliseconds, together those of frames with the same work."""
        groups: dict[float, list[float]] = {}
        for share, ms in self.all[mode]:
            groups.setdefault(round(share, 2), []).append(ms)
        return list(groups.values())

    def figures(self, mode: str, plain: str = 'plain') -> dict:
        """A `Row`'s measured fields."""
        ms = [ms for _, ms in self.all[mode]]
        return {
            'share': round(float(np.mean(self.shares(mode))), 4),
            'median_ms': round(float(np.median(ms)), 3),
            'p99_ms': round(float(np.percentile(ms, 99)), 3),
            'frames': len(ms),
            'ratio_to_plain': round(self.typical(mode) / self.typical(plain), 4),
        }


def report(rows: list[Row], chosen: argparse.Namespace) -> int:
    """Print the table and write the JSON. Returns 1 when a row is faster than its operations allow."""
    print(f'\n{rows[0].machine}; {rows[0].model}; {rows[0].input}; {rows[0].frames} frames')
    print(f'{"mode":<22}{"settings":<36}{"share":>7}{"median":>10}{"p99":>10}{"of plain":>10}{"ideal":>8}{"times":>8}')
    for row in rows:
        faster = 1 / row.ratio_to_plain if row.ratio_to_plain else float('inf')
        print(
            f'{row.mode:<22}{row.settings:<36}{row.share:>7.3f}{row.median_ms:>8.1f}ms{row.p99_ms:>8.1f}ms'
            f'{row.ratio_to_plain:>10.3f}{row.ideal_ratio:>8.3f}{faster:>7.2f}x' + ('  FAULT' if row.fault else '')
        )
    faults = [row.mode for row in rows if row.fault]
    if faults:
        print(f'faster than the floating-point operations allow, so not to be believed: {", ".join(faults)}')
    for row in rows:
        row.command = command()
    if chosen.json:
        write_rows(chosen.json, [asdict(row) for row in rows])
    return bool(faults)


def command() -> str:
    """What was typed, for the rows."""
    return ' '.join(['python', f'benchmarks/{Path(sys.argv[0]).name}', *sys.argv[1:]])


def write_rows(file: Path, rows: list[dict]) -> None:
    """All or nothing: a reader never finds half a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f'{file.name}.{os.getpid()}.part')
    part.write_text(json.dumps(rows, indent=1) + '\n')
    part.replace(file)
