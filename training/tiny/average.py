"""Averages what one training exported at several times: python -m training.tiny.average FOLDER... --to FOLDER.

The ends of several falls of the learning rate lie around a point that answers better than any of them
("Averaging Weights Leads to Wider Optima and Better Generalization", arXiv 1803.05407).
"""

import argparse
from pathlib import Path

import torch
from transformers import LlavaOnevisionForConditionalGeneration

from training.tiny.export import export_model


def average_models(folders: list[Path]) -> LlavaOnevisionForConditionalGeneration:
    """The model whose weights, float32, are the means of those in `folders`. Raises ValueError where shapes differ."""
    models = [LlavaOnevisionForConditionalGeneration.from_pretrained(f, dtype=torch.float32) for f in folders]
    weights = [model.state_dict() for model in models]
    for folder, others in zip(folders, weights):
        if {k: v.shape for k, v in others.items()} != {k: v.shape for k, v in weights[0].items()}:
            raise ValueError(f'{folder} is not of the same architecture as {folders[0]}')
    means = {name: torch.stack([w[name] for w in weights]).mean(0) for name in weights[0]}
    models[0].load_state_dict(means)
    return models[0]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog='python -m training.tiny.average', description=__doc__.split('\n')[0])
    parser.add_argument('folders', type=Path, nargs='+', metavar='FOLDER', help='an exported model')
    parser.add_argument('--to', type=Path, required=True, help='folder to write, anew')
    args = parser.parse_args(arguments)
    export_model(average_models(args.folders), args.to)


if __name__ == '__main__':
    main()
