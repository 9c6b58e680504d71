"""What the topics of a result bag are called: as the live node's, so that one layout shows both.

With one camera a topic is called as the node calls it by default; with several, as with the node's parameter `cameras`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from stc_ros.evaluation.result_messages import DIAGNOSTICS, IMAGE, LOG, NUMBER, STATS, TEXT

NODE = 'stc_stream'
IMAGE_WORDS = re.compile(
    r'image(_raw|_rect|_rect_color|_color)?|compressed|foxglove|ffmpeg'
)  # what ends an image topic
COMMON = {'log': ('/rosout', LOG), 'diagnostics': ('/diagnostics', DIAGNOSTICS)}
TOPICS = {  # of each camera: under the node's name, but the image
    'image': ('image/compressed', IMAGE),
    'overlay': ('overlay/compressed', IMAGE),
    'stats': ('stats', STATS),
    'recomputed': ('recomputed_share', NUMBER),
    'kept': ('kept_share', NUMBER),
    'narration': ('narration_text', TEXT),
    'answer': ('answers', TEXT),
    'accuracy': ('accuracy', NUMBER),
    'event': ('event_text', TEXT),
}


def topic(camera: str, what: str) -> tuple[str, str]:
    """(name, type) of one of TOPICS. camera: its name, '' for the only one."""
    name, type = TOPICS[what]
    place = (camera, name) if what == 'image' else (NODE, camera, name)
    return '/' + '/'.join(filter(None, place)), type


def camera_names(topics: Sequence[str]) -> dict[str, str]:
    """A name for each camera, by topic, as the parameter `cameras` would have it; '' for the only one."""
    if len(topics) == 1:
        return {topics[0]: ''}
    names: dict[str, str] = {}
    for each in topics:
        words = each.strip('/').split('/')
        while len(words) > 1 and IMAGE_WORDS.fullmatch(words[-1]):
            words.pop()
        short, whole = ('_'.join(part) for part in (words, each.strip('/').split('/')))
        names[each] = whole if short in names.values() else short
    return names
