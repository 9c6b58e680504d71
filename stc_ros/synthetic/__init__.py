"""Synthetic worlds that know the truth about themselves: what a tiny model learns from and is measured on."""

from stc_ros.synthetic.profiles import PROFILES
from stc_ros.synthetic.world import Clip, Event, Seen, Truth, World, record

__all__ = ["PROFILES", "Clip", "Event", "Seen", "Truth", "World", "record"]
