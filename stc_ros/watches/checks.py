"""What a watch may be: names, words and numbers within bounds, looked at before anything is made of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from stc_ros.settings import Settings
from stc_ros.watches.rule import Watch

NAME = re.compile(r'[A-Za-z0-9_.-]{1,64}')
MAX_CHARACTERS = 1000  # of a condition; its tokens are counted when the model reads it
MAX_LOOKS = 100
MAX_S = 1_000_000  # of hold, cool_down and time_limit: 11 days
TIMES = ('hold', 'cool_down', 'time_limit')


class WatchError(ValueError):
    """A watch cannot be added. The message says why; `field` is the field that is wrong, or ''.

    number: of several watches that are added at once, which it is.
    """

    def __init__(self, message: str, field: str = '', number: int = 0):
        super().__init__(message)
        self.field, self.number = field, number


def in_force(watch: Watch, settings: Settings, camera: str = '') -> Watch:
    """A watch with the parameters' values where it has 0, for one of its cameras."""
    threshold = watch.threshold or settings['watch.threshold']
    return replace(
        watch,
        camera=camera or watch.camera,
        threshold=threshold,
        rearm=min(watch.rearm or settings['watch.rearm'], threshold),
        looks=watch.looks or settings['watch.looks'],
        sure=1.0 if watch.looks else max(settings['watch.sure'], threshold),  # who names looks wants so many
    )


def check(watch: Watch, cameras: Iterable[str]) -> None:
    """Raises `WatchError`. A name, a threshold, a rearm or looks that are empty or 0 are the node's to choose."""
    if watch.name and not NAME.fullmatch(watch.name):
        raise WatchError('name must be 1 to 64 letters, digits, _, . or -', 'name')
    if len(watch.condition) > MAX_CHARACTERS:
        text = f'condition has {len(watch.condition)} characters; at most {MAX_CHARACTERS} are read'
        raise WatchError(text, 'condition')
    if not watch.condition.strip():
        raise WatchError('condition is empty: say what to watch for, "is the door open ?" say', 'condition')
    if watch.camera and watch.camera not in (known := tuple(cameras)):
        raise WatchError(f'there is no camera {watch.camera[:64]!r}; there are: {", ".join(known) or "none"}', 'camera')
    if not 0 <= watch.threshold < 1:  # NaN, too
        raise WatchError(f'threshold must lie in (0, 1), or be 0 for the default, not {watch.threshold:g}', 'threshold')
    if not 0 <= watch.rearm < 1 or watch.threshold and watch.rearm > watch.threshold:
        most = f'{watch.threshold:g}]' if watch.threshold else '1)'
        raise WatchError(f'rearm must lie in (0, {most}, or be 0 for the default, not {watch.rearm:g}', 'rearm')
    if not 0 <= watch.looks <= MAX_LOOKS:
        raise WatchError(f'looks must lie in [1, {MAX_LOOKS}], or be 0 for the default, not {watch.looks}', 'looks')
    for name in TIMES:
        if not 0 <= (value := getattr(watch, name) / 1e9) <= MAX_S:
            raise WatchError(f'{name} must lie in [0, {MAX_S}] s, not {value:g}', name)
