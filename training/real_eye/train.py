"""Trains the eye's projector and its language model: python -m training.real_eye.train --run FOLDER.

Makers of clips write shards to FOLDER/pool while a third process trains: once the projector on the first shards, then
projector and language model together. What was done is not done again when it is started again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlavaOnevisionForConditionalGeneration

from stc_ros.models import EMBEDDED
from stc_ros.models.real_eye import WEIGHTS
from stc_ros.models.real_eye.projector import Projector
from stc_ros.synthetic.backdrop import find_clips
from training.real_eye import stage_language, stage_projector
from training.real_eye.shards import find_shards, tune_shards, write_shards
from training.tiny import forward


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='python -m training.real_eye.train', description=__doc__.split('\n')[0])
    parser.add_argument('--run', type=Path, required=True, help='folder for clips, checkpoints, log and the export')
    parser.add_argument(
        '--backdrop',
        nargs='+',
        default=find_clips(),
        metavar='FILE',
        help='videos to show behind the objects (those of ../shared/clips)',
    )
    parser.add_argument('--makers', type=int, default=1, help='processes that make clips (1; 0 for those there are)')
    parser.add_argument('--shards', type=int, default=40, help='shards of 8 clips to begin with')
    parser.add_argument('--projector-steps', type=int, default=600, help='steps of 1536 tokens')
    parser.add_argument('--projector-rate', type=float, default=2e-3)
    parser.add_argument('--language-steps', type=int, default=240, help='steps of 4 clips')
    parser.add_argument('--rate', type=float, default=3e-4, help="of AdamW; Muon's follows")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    args = parse_arguments(arguments)
    torch.set_num_threads(1)
    pool = args.run / 'pool'
    process = multiprocessing.get_context('spawn').Process
    makers = [
        process(target=write_shards, args=(pool, args.backdrop, first, args.makers), daemon=True)
        for first in range(args.makers)
    ]
    for maker in makers:
        maker.start()
    try:
        train(args, pool)
    finally:
        for maker in makers:
            maker.terminate()
            maker.join()


def train(args: argparse.Namespace, pool: Path) -> None:
    """Both stages, from what there is."""
    while len(find_shards(pool)) < args.shards:
        time.sleep(5)
    tuning = tune_shards(pool, args.backdrop)
    projector, path = Projector(), args.run / 'projector.pt'
    if path.exists():
        projector.load_state_dict(torch.load(path, weights_only=True))
    else:
        there = find_shards(pool) + find_shards(pool, 'stills')
        shards = [torch.load(p, weights_only=True, mmap=True) for p in there]
        torch.manual_seed(0)
        readings = stage_projector.run(projector, shards, args.run, args.projector_steps, args.projector_rate)
        print(json.dumps(stage_projector.measure(projector, readings, tuning)), flush=True)
        torch.save(projector.state_dict(), path)
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(EMBEDDED, dtype=torch.float32)
    course = stage_language.Course(args.run, pool, args.language_steps, args.rate)
    stage_language.run(model, projector, tuning, course, lambda *both: export(*both, args.run / 'export'))


def export(model, projector: Projector, folder: Path) -> None:
    """Write language model, newline and projector to FOLDER, in bfloat16."""
    stored = {n: p for n, p in model.named_parameters() if n.startswith(forward.TEXT) or n == forward.NEWLINE}
    stored |= {f'projector.{n}': p for n, p in projector.named_parameters()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file({n: p.detach().bfloat16().contiguous() for n, p in stored.items()}, folder / WEIGHTS)


if __name__ == '__main__':
    main()
