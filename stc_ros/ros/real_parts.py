"""What a node runs on: the real model, and a real stream of it. Both are called on the worker's thread."""

from __future__ import annotations

from stc_ros.io.image_messages import check_converter
from stc_ros.settings import Settings


def load(settings: Settings):
    """The model that the settings name. Raises `ModelError`, also for one that computes nonsense."""
    check_converter()
    from stc_ros.models import load_model, share_cores_fairly
    from stc_ros.self_test import self_test

    model = load_model(settings)
    share_cores_fairly(model)
    if settings['model.self_test']:
        self_test(model)
    return model


def open_warm(model, settings: Settings):
    """A stream whose first frame will not be slow."""
    from stc_ros.stream import open_stream

    stream = open_stream(model, settings)
    stream.warm_up()
    return stream
