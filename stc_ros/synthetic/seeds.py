"""Disjoint seed ranges: what trains a model, what chooses between models, and what measures it never mix."""

TRAIN = range(0, 1_000_000_000)
TUNE = range(1_000_000_000, 1_001_000_000)
TEST = range(2_000_000_000, 2_001_000_000)
