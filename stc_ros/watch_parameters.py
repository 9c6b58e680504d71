"""The parameters of watches, of the table in parameters.py."""

from __future__ import annotations

from dataclasses import dataclass

from stc_ros.parameter_spec import param


@dataclass(frozen=True, slots=True)
class WatchParameters:
    """What a watch does that does not say otherwise."""

    threshold: float = param(
        0.9,
        'Probability from which on a condition is true. Raise it when watches fire wrongly, lower it when they miss.',
        low=0.0,
        high=1.0,
    )
    rearm: float = param(0.05, 'Probability below which it counts as false again.', low=0.0, high=1.0)
    looks: int = param(2, 'Looks in a row that must agree before a watch rises or falls.', low=1, high=100)
    sure: float = param(
        0.98,
        'Probability from which a single look is enough to rise, as one minus it is to fall, of watches that do not '
        'say how many looks must agree. 1 is never.',
        low=0.5,
        high=1.0,
    )
    max_rate: float = param(
        3.0,
        'Looks per second of header.stamp at most; 0 looks at every frame that shows something new. A look that speaks '
        'for a change is followed by another at the next such frame.',
        unit='Hz',
        low=0.0,
        high=1000.0,
    )
    whole_frame: bool = param(
        False,
        'Look at all visual tokens of the newest frame, as questions do by query.full_latest_frame, instead of at the '
        'kept ones alone: a look costs twice as much.',
    )
    correct_bias: bool = param(
        True, 'Take off what the model gives a condition on an empty frame, if more than half but not enough to fire.'
    )
    max_watches: int = param(32, 'Watches that a node holds at most.', unit='watches', low=1, high=256)
    file: str = param('', 'YAML file of watches that are added when the node is configured; empty is none.', live=False)
