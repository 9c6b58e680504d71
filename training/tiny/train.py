"""Trains the embedded model from scratch: python -m training.tiny.train --run FOLDER.

Stage "tower" learns from single frames what is where; stage "language" learns, from the frozen tower's features,
to answer about streams. A killed run goes on from its newest checkpoint with the same data when started again.
"""

import argparse
import multiprocessing
from pathlib import Path

import torch
from transformers import LlavaOnevisionForConditionalGeneration

from training.tiny import forward, stage_language, stage_tower
from training.tiny.architecture import configure, create, deepen
from training.tiny.checkpoint import load_newest
from training.tiny.export import export_model
from training.tiny.shards import write_shards
from training.tiny.tokenizer import list_words

RATE, TOWER_RATE = 1e-3, 1.5e-3
QUICK = {'tower_steps': 8, 'language_steps': 8, 'tune_clips': 4}


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='python -m training.tiny.train', description=__doc__.split('\n')[0])
    parser.add_argument('--run', type=Path, required=True, help='folder for checkpoints, clips, log and the export')
    parser.add_argument('--stage', choices=('all', 'tower', 'language'), default='all', help='what to train')
    parser.add_argument('--start', type=Path, help='an exported model, of which that stage is to go on')
    parser.add_argument('--begin', type=int, default=0, help='shard of clips at step 0; 130 skips short ones')
    parser.add_argument('--tower-steps', type=int, default=850, help='steps of 64 frames')
    parser.add_argument('--language-steps', type=int, default=8000, help='steps of 8 clips with 16 questions each')
    parser.add_argument('--rate', type=float, help="of AdamW (0.001; a tower from scratch: 0.0015); Muon's follows")
    parser.add_argument('--hold', type=float, default=0.6, help='share of the language steps before the rate falls')
    parser.add_argument('--narrated', type=float, default=0.5, help='share of the language steps that also narrate')
    parser.add_argument('--seed', type=int, default=0, help='of the weights, and of the order of the clips')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu', help='where to train')
    parser.add_argument('--threads', type=int, default=1, help='CPU threads of each process')
    parser.add_argument('--processes', type=int, default=1, help='that share the language steps; one more makes clips')
    parser.add_argument('--tune-clips', type=int, default=48, help='clips of each length to measure on meanwhile')
    parser.add_argument('--fuse', action='store_true', help='compile small functions: faster, needs a C++ compiler')
    parser.add_argument('--quick', action='store_true', help='a few steps of each stage, to see that all works')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    args = parse_arguments(arguments)
    if args.quick:
        vars(args).update(QUICK)
    if args.stage == 'tower' or (args.stage == 'all' and not args.start):
        train_tower(args)
    if args.stage in ('all', 'language'):
        train_language(args)


def prepare(args: argparse.Namespace) -> None:
    """Settings of this process."""
    torch.set_num_threads(args.threads)
    if args.fuse:
        forward.fuse()


def load_start(args: argparse.Namespace) -> LlavaOnevisionForConditionalGeneration:
    """The model with which the language stage starts. Raises SystemExit when its tower is not trained yet."""
    if args.start:
        return deepen(LlavaOnevisionForConditionalGeneration.from_pretrained(args.start, dtype=torch.float32))
    model = create(configure({word: i for i, word in enumerate(list_words())}), args.seed)
    if not load_newest(args.run, 'tower', model):
        raise SystemExit(f'no tower in {args.run}: train it first, with --stage tower or --stage all')
    return model


def train_tower(args: argparse.Namespace) -> None:
    """The tower from scratch, or that of an exported model once more."""
    prepare(args)
    if args.start:
        model = load_start(args)
        stage_tower.run(model, args.run, args.tower_steps, 64, args.rate or RATE, args.device, again=True)
        export_model(model, args.run / 'export')
    else:
        model = create(configure({word: i for i, word in enumerate(list_words())}), args.seed)
        stage_tower.run(model, args.run, args.tower_steps, 64, args.rate or TOWER_RATE, args.device)


def train_language(args: argparse.Namespace) -> None:
    """Starts the process that makes clips and those that help, trains, and ends them all."""
    pool, model = args.run / 'pool', load_start(args)
    pool.mkdir(parents=True, exist_ok=True)
    (pool / 'used').write_text(str(args.begin))
    (pool / 'meeting').unlink(missing_ok=True)
    process = multiprocessing.get_context('spawn').Process
    others = [process(target=write_shards, args=(model, pool, args.device, args.begin), daemon=True)]
    others += [process(target=take_part, args=(args, rank), daemon=True) for rank in range(1, args.processes)]
    for other in others:
        other.start()
    try:
        take_part(args, 0)
    finally:
        for other in others:
            other.terminate()
            other.join()


def take_part(args: argparse.Namespace, rank: int) -> None:
    """The language stage in one of its processes."""
    prepare(args)
    pool = args.run / 'pool'
    if args.processes > 1:
        meeting = f'file://{(pool / "meeting").absolute()}'
        torch.distributed.init_process_group('gloo', init_method=meeting, rank=rank, world_size=args.processes)
    course = stage_language.Course(
        args.run,
        pool,
        args.run / 'export',
        args.language_steps,
        args.rate or RATE,
        args.seed,
        args.device,
        hold=args.hold,
        narrated=args.narrated,
        tune_clips=args.tune_clips,
        begin=args.begin,
        rank=rank,
        ranks=args.processes,
    )
    stage_language.run(load_start(args), course)


if __name__ == '__main__':
    main()
