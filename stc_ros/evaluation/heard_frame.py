"""A frame that a node processed, as it told of it."""

from __future__ import annotations

from dataclasses import dataclass

from stc_ros.engine.events import FrameProcessed


@dataclass(frozen=True, slots=True)
class HeardFrame(FrameProcessed):
    """Its report says how many patches and tokens, not which: `recomputed` and `kept` are empty."""

    age_ms: float  # of the stream's time, from header.stamp until it was heard
