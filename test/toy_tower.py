"""A tower of toy size whose tokens really attend to each other, plain and behind the incremental cacher."""

import torch
from torch import nn

from stc_ros.models.random import random_model
from stc_ros.settings import Settings
from stc_ros.vision.cachers.incremental import encode_incremental
from stc_ros.vision.cachers.layerwise import compute

INCREMENTAL = Settings(
    {
        'cacher.method': 'incremental',
        'pruner.method': 'none',
        'cache_similarity': 0.9,
        'cacher.incremental.static_frame_stride': 8,
    }
)


def attentive_model():
    """6 x 6 patches of 4 pixels."""
    model = random_model(seed=2)
    for block in model.tower.blocks:
        for linear in (block.q, block.k, block.v, block.out):
            nn.init.normal_(linear.weight, std=0.2)
    return model


def pictures(model, frames):
    return [model.pixels.resize(f) for f in frames]


def embed(model, image):
    return model.tower.embed(model.pixels.normalise(image, 'cpu', torch.float32))


@torch.inference_mode()
def plain(model, image):
    x = embed(model, image)
    for block in model.tower.blocks:
        x, _ = compute(block, x)
    return x


@torch.inference_mode()
def step(model, state, image, settings, refresh=False):
    """The incremental cacher on one picture -> its state and the patches recomputed, bool [P]."""
    similarity, stride = settings['cache_similarity'], settings['cacher.incremental.static_frame_stride']
    return encode_incremental(model.tower, state, image, lambda: embed(model, image), similarity, stride, refresh)


def run(model, images, settings):
    """[(features, patches recomputed)] for each picture."""
    state, out = None, []
    for image in images:
        state, recomputed = step(model, state, image, settings)
        out.append((state.features.clone(), recomputed))
    return out
