"""Synthetic worlds that know the truth about themselves: what a tiny model learns from and is measured on."""

from stc_ros.synthetic.profiles import PROFILES
from stc_ros.synthetic.truth import Clip, Event, Seen, Truth
from stc_ros.synthetic.world import World, record

__all__ = ['PROFILES', 'Clip', 'Event', 'Seen', 'Truth', 'World', 'record']
