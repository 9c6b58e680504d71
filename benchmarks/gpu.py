"""Every bar for a GPU in one run of at most 8 minutes: a 7B and an 8B model in bfloat16 with random weights.

    ./dev bench gpu [--video FILE] [--minutes 8]
    ./dev bench gpu --device cpu --size toy      the whole script in seconds, on tiny models: its figures say nothing

LLaVA-OneVision 7B (384 x 384) and Qwen3-VL 8B (384 x 512), one after the other. A frame is vision, pruner and prefill,
behind a full window: its mean is held against the bar, since a pass of several frames falls on one of them. Default
settings and plain ones (no cacher, no pruner; prefill frame by frame, as by default, in passes of 1024 tokens) take
turns on the same frames; the fastest plain one is the baseline. Then the time to the first token, and four cameras on
one model, frames in turn. Peak memory is PyTorch's on the GPU and the context's, so nothing else should run there.

Rows go to benchmarks/results/gpu-DEVICE.json as they come. Ends with 1 where a bar is missed or was not measured, with
2 without a GPU.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import threading
import time
from pathlib import Path

BEGAN = time.monotonic()  # imports count, too

from gpu_bars import PARTS, bars  # noqa: E402
from measure import pictures, set_clock, write_rows  # noqa: E402

RESULTS = Path(__file__).parent / 'results'
SOFT, HARD = 0.94, 0.98  # of the time, when the last part ends by itself, and when it is ended
PICTURES = {'full': 120, 'toy': 12}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument('--video', metavar='FILE', help='pictures of a video file')
    worlds = ('static', 'patrol', 'busy', 'night')
    source.add_argument('--profile', choices=worlds, default='busy', help='pictures of a synthetic world (busy)')
    parser.add_argument('--model', choices=('both', 'llava', 'qwen3_vl'), default='both', help='which (both)')
    parser.add_argument('--size', choices=('full', 'toy'), default='full', help='toy: tiny models, to try the script')
    parser.add_argument('--device', default='cuda', help='cuda, cuda:1, ...; cpu with --size toy only (cuda)')
    parser.add_argument('--minutes', type=float, default=8.0, help='after which it ends, whatever is done (8)')
    parser.add_argument('--fps', type=float, default=10.0, help='frames a second of a camera (10)')
    parser.add_argument('--start', type=float, default=0.0, help='seconds of the video to leave out (0)')
    parser.add_argument(
        '--json', type=Path, metavar='FILE', help='where rows go (full size: benchmarks/results/gpu-DEVICE.json)'
    )
    chosen = parser.parse_args(arguments)
    if chosen.video and not Path(chosen.video).is_file():
        parser.error(f'there is no video {chosen.video}')
    if chosen.fps <= 0 or chosen.minutes <= 0:
        parser.error('--fps and --minutes must be positive')
    if chosen.device == 'cpu' and chosen.size != 'toy':
        parser.error('--device cpu takes --size toy: the large models would run for hours')
    if missing := why_no_gpu(chosen.device):
        print(f'gpu: {missing}', file=sys.stderr)
        return 2
    return run(chosen)


def why_no_gpu(device: str) -> str:
    """What is missing, and the remedy; '' where nothing is."""
    import torch

    from stc_ros.models import pick_device
    from stc_ros.models.base import ModelError

    remedy = '`./dev doctor` names the remedy; `--device cpu --size toy` tries the script without a GPU'
    if device == 'cpu':
        return ''
    if torch.version.cuda is None:
        return f'no NVIDIA GPU can be used, as PyTorch {torch.__version__} was built without CUDA: {remedy}'
    if not torch.cuda.is_available():
        return f'PyTorch {torch.__version__} finds no NVIDIA GPU: {remedy}'
    try:
        pick_device(device)
    except ModelError as error:
        return str(error)
    return ''


def run(chosen: argparse.Namespace) -> int:
    import torch

    chosen.cpu_time, chosen.threads = False, 1 if chosen.device == 'cpu' else 0
    set_clock(chosen)
    chosen.frames = PICTURES[chosen.size]
    device = torch.device(chosen.device)
    if chosen.json is None and chosen.size == 'full':
        chosen.json = results_file(torch.cuda.get_device_name(device))
    models = ['llava', 'qwen3_vl'] if chosen.model == 'both' else [chosen.model]
    record = Record(chosen, models, device.type == 'cuda')
    soft, hard = (BEGAN + 60 * chosen.minutes * share for share in (SOFT, HARD))
    timer = threading.Timer(max(0.0, hard - time.monotonic()), record.cut_off)
    timer.daemon = True
    timer.start()
    from gpu_one_model import OneModel, why

    shown = list(pictures(chosen))
    for number, name in enumerate(models):
        if (left := soft - time.monotonic()) <= 0:
            break
        try:
            one = OneModel(name, record, shown, device, time.monotonic() + left / (len(models) - number))
        except RuntimeError as error:
            record.to_come |= {(name, part): f'the model cannot be made: {why(error)}' for part in PARTS}
            continue
        one.measure()
        del one  # or two models would be on the GPU
    timer.cancel()
    return record.end()


def results_file(gpu: str) -> Path:
    """Where the rows of a GPU of that name lie."""
    return RESULTS / f'gpu-{re.sub("[^a-z0-9]+", "-", gpu.lower()).strip("-")}.json'


class Record:
    """Rows so far, and parts that are to come with why they have not. Whichever thread comes first tells of them."""

    def __init__(self, chosen: argparse.Namespace, models: list[str], gpu: bool):
        self.chosen, self.models, self.gpu = chosen, models, gpu
        self.rows: list[dict] = []
        self.to_come = {(model, part): 'no time was left' for model in models for part in PARTS}
        self._lock = threading.Lock()

    def add(self, rows: list[dict]) -> None:
        with self._lock:
            self.rows += rows
            self.write()

    def write(self) -> None:
        if self.chosen.json:
            write_rows(self.chosen.json, self.rows)

    def cut_off(self) -> None:
        """The time is over, and a part did not end by itself, as where a GPU hangs."""
        code = 1
        try:
            code = self.end()
            sys.stdout.flush()
        finally:
            os._exit(code)

    def end(self) -> int:
        """Print everything, once and for all -> the exit code."""
        self._lock.acquire()
        self.write()
        print_table([row for row in self.rows if row['what'] == 'frames'])
        for (model, part), reason in list(self.to_come.items()):
            print(f'left out: {model}, {part}: {reason}')
        missed = 0
        for what, text, held in bars(self.rows, self.models, self.gpu):
            print(f'{ {True: "held", False: "MISSED", None: "not measured"}[held]:<13}{what}: {text}')
            missed += held is not True
        told = f'{missed} bars are missed or not measured' if missed else 'every bar is held'
        print(f'{time.monotonic() - BEGAN:.0f} s; {told}')
        return int(missed > 0)


def print_table(rows: list[dict]) -> None:
    if rows:
        print(f'\n{rows[0]["machine"]}; {rows[0]["input"]}; milliseconds of vision + pruner + prefill')
        print(
            f'{"model":<34}{"cam.":>5}  {"mode":<26}{"shares":>12}{"mean":>8}{"median":>8}{"p99":>8}{"of plain":>9}'
            f'{"ideal":>7}{"1st token":>10}{"frames":>7}'
        )
    for row in rows:
        token = '' if row['first_token_ms'] is None else f'{row["first_token_ms"]:.1f}'
        print(
            f'{row["model"]:<34}{row["cameras"]:>5}  {row["mode"]:<26}{row["share"]:>6.2f}{row["kept"]:>6.2f}'
            f'{row["mean_ms"]:>8.2f}{row["median_ms"]:>8.2f}{row["p99_ms"]:>8.2f}{row["ratio_to_plain"]:>9.3f}'
            f'{row["ideal_ratio"]:>7.3f}{token:>10}{row["frames"]:>7}'
        )


if __name__ == '__main__':
    sys.exit(main())
