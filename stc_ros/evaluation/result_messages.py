"""The messages of a result bag, serialized: those of ROS itself, and the node's own StreamStats."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

STATS, IMAGE, TEXT = 'stc_ros/msg/StreamStats', 'sensor_msgs/msg/CompressedImage', 'std_msgs/msg/String'
NUMBER, LOG, DIAGNOSTICS = 'std_msgs/msg/Float64', 'rcl_interfaces/msg/Log', 'diagnostic_msgs/msg/DiagnosticArray'
OK, WARN, ERROR = 0, 1, 2  # levels of a DiagnosticStatus
LOG_LEVELS = {OK: 20, WARN: 30, ERROR: 40}  # of a Log

# As msg/StreamStats.msg, which no wheel brings: a bag carries the definitions of its types.
STATS_DEFINITION = """\
std_msgs/Header header
float32 input_rate
float32 processing_rate
uint64 frames_received
uint64 frames_processed
uint64 frames_dropped
uint64 frames_invalid
uint64 scene_changes
uint64 narrations
uint64 answers
uint64 answers_failed
uint32 patches
uint32 patches_recomputed
float32 reused_similarity
uint32 visual_tokens
uint32 visual_tokens_kept
bool scene_change
float32 queue_ms
float32 preprocess_ms
float32 vision_ms
float32 prune_ms
float32 prefill_ms
float32 total_ms
float32 frame_age
uint32 memory_tokens
uint32 tokens_waiting
uint64 memory_bytes
uint64 memory_budget
string cacher
string pruner
float32 cache_similarity
float32 prune_ratio
uint32 queue_depth
"""


class Messages:
    """Makes them, as CDR bytes. Stamps are in ns."""

    def __init__(self) -> None:
        self.types = get_typestore(Stores.ROS2_JAZZY)
        self.types.register(get_types_from_msg(STATS_DEFINITION, STATS))

    def image(self, stamp: int, frame_id: str, picture: Image.Image, quality: int) -> bytes:
        """As JPEG."""
        file = io.BytesIO()
        picture.save(file, 'JPEG', quality=quality)
        data = np.frombuffer(file.getvalue(), np.uint8)
        return self._cdr(IMAGE, header=self._header(stamp, frame_id), format='jpeg', data=data)

    def stats(self, stamp: int, frame_id: str, **values: Any) -> bytes:
        """values: every field but the header."""
        return self._cdr(STATS, header=self._header(stamp, frame_id), **values)

    def text(self, text: str) -> bytes:
        return self._cdr(TEXT, data=text)

    def number(self, value: float) -> bytes:
        return self._cdr(NUMBER, data=value)

    def log(self, stamp: int, level: int, name: str, text: str) -> bytes:
        """level: OK, WARN or ERROR."""
        where = {'file': '', 'function': '', 'line': 0}
        return self._cdr(LOG, stamp=self._time(stamp), level=LOG_LEVELS[level], name=name, msg=text, **where)

    def diagnostics(self, stamp: int, statuses: Mapping[str, tuple[int, str, str, Mapping[str, Any]]]) -> bytes:
        """statuses: by name (level, message, hardware id, values)."""
        made = [
            self._make(
                'diagnostic_msgs/msg/DiagnosticStatus',
                level=level,
                name=name,
                message=message,
                hardware_id=hardware,
                values=[self._make('diagnostic_msgs/msg/KeyValue', key=k, value=str(v)) for k, v in values.items()],
            )
            for name, (level, message, hardware, values) in statuses.items()
        ]
        return self._cdr(DIAGNOSTICS, header=self._header(stamp, ''), status=made)

    def _header(self, stamp: int, frame_id: str) -> Any:
        return self._make('std_msgs/msg/Header', stamp=self._time(stamp), frame_id=frame_id)

    def _time(self, stamp: int) -> Any:
        sec, nanosec = divmod(stamp, 1_000_000_000)
        return self._make('builtin_interfaces/msg/Time', sec=sec, nanosec=nanosec)

    def _make(self, type: str, **fields: Any) -> Any:
        return self.types.types[type](**fields)

    def _cdr(self, type: str, **fields: Any) -> bytes:
        return bytes(self.types.serialize_cdr(self._make(type, **fields), type))
