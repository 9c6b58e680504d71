"""result.mcap: a replay to look at in Foxglove, Lichtblick, Rerun or PlotJuggler, on the topics of the live node.

The time of a message is the stream's, never the computer's; only milliseconds are measured by the clock.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from stc_ros.engine.events import FrameProcessed, NarrationSpan
from stc_ros.engine.frame_slot import Rate
from stc_ros.engine.questions import Error
from stc_ros.evaluation.heard_frame import HeardFrame
from stc_ros.evaluation.questions import OF_WATCHES
from stc_ros.evaluation.replay import Asked, ReplaySink
from stc_ros.evaluation.result_messages import ERROR, OK, WARN, Messages
from stc_ros.evaluation.result_topics import COMMON, NODE, TOPICS, camera_names, topic
from stc_ros.evaluation.results import PASS
from stc_ros.evaluation.spool import Spool
from stc_ros.io import overlay
from stc_ros.report import FrameReport

RESULT_BAG = 'result.mcap'
SPOOL = 'result.spool.part'
LONGEST, SHORTEST = 480, 240  # px of a picture's longest side, and the least of an overlay's shortest one
QUALITY = 75  # of the JPEG
DIAGNOSTICS_PERIOD_NS = 1_000_000_000  # as the node's


@dataclass
class _Camera:
    """What has been counted of a camera since its last reset, as the node does; what lasts, since the beginning."""

    name: str  # '' where it is the only one
    received: int = 0
    processed: int = 0
    invalid: int = 0
    scene_changes: int = 0
    narrations: int = 0
    answers: int = 0
    answers_failed: int = 0
    failures: int = field(default=0, metadata={'lasts': True})
    resets: int = field(default=0, metadata={'lasts': True})
    asked: int = field(default=0, metadata={'lasts': True})
    scores: float = field(default=0.0, metadata={'lasts': True})
    diagnosed: int = field(default=0, metadata={'lasts': True})  # ns: when the next diagnostics are due
    arrived: Rate = field(default_factory=Rate)
    done: Rate = field(default_factory=Rate)

    def reset(self) -> None:
        self.resets += 1
        fresh = _Camera(self.name)
        for each in fields(self):
            if 'lasts' not in each.metadata:
                setattr(self, each.name, getattr(fresh, each.name))

    def state(self) -> dict[str, Any]:
        return vars(self) | {'arrived': list(self.arrived.times), 'done': list(self.done.times)}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> _Camera:
        return cls(**state | {'arrived': Rate(state['arrived']), 'done': Rate(state['done'])})


class ResultBag(ReplaySink):
    """Spools every message; `finish` makes the file. cameras: the topics replayed; start_ns: where the bag begins."""

    def __init__(self, folder: Path, cameras: Sequence[str], start_ns: int):
        self.file, self._start, self._now = folder / RESULT_BAG, start_ns, start_ns
        self._cameras = {camera: _Camera(name) for camera, name in camera_names(cameras).items()}
        self._messages = Messages()
        channels = [*COMMON.values(), *(topic(c.name, what) for c in self._cameras.values() for what in TOPICS)]
        self._spool = Spool(folder / SPOOL, channels)

    def begin(self) -> None:
        self._spool.close()
        self._now = self._start
        self._cameras = {camera: _Camera(seen.name) for camera, seen in self._cameras.items()}

    def received(self, camera: str, stamp: int) -> None:
        seen = self._cameras[camera]
        seen.received += 1
        seen.arrived.note(stamp)

    def frame(self, camera: str, event: FrameProcessed) -> None:
        seen, stamp, report = self._cameras[camera], event.frame.stamp, event.report
        seen.processed += 1
        seen.scene_changes += bool(report.scene_change)
        frame_id, now = event.frame.header.frame_id, self._advance(stamp)
        seen.done.note(now)
        image = _smaller(event.frame.picture.array(SHORTEST))
        for what, picture in (('image', Image.fromarray(image)), ('overlay', overlay.compose(image, report, SHORTEST))):
            self._put(seen, what, self._messages.image(stamp, frame_id, picture, QUALITY))
        self._put(seen, 'stats', self._messages.stats(stamp, frame_id, **self._stats(seen, event, now)))
        for what, share in _shares(report).items():
            self._put(seen, what, self._messages.number(share))
        self._diagnose(camera, seen, event)

    def invalid(self, camera: str, stamp: int, kind: str, text: str) -> None:
        self._cameras[camera].invalid += 1
        self.event(camera, stamp, 'invalid frame', text)

    def asked(self, asked: Asked) -> None:
        seen, reply, question = self._cameras[asked.planned.camera], asked.reply, asked.planned.question
        self._advance(asked.planned.stamp)
        failed, passed = reply.error is not Error.NONE, asked.score >= PASS
        seen.answers += not failed
        seen.answers_failed += failed
        seen.asked += 1
        seen.scores += asked.score
        line = {
            'id': question.id,
            'question': question.text,
            'answer': reply.answer.strip(),
            'error': reply.error.name,
            'expected': question.expect.describe(),
            'score': round(asked.score, 6),
            'passed': passed,
            'tags': list(question.tags),
            'seconds': round(asked.seconds, 6),
        }
        self._put(seen, 'answer', self._messages.text(json.dumps(line, ensure_ascii=False)))
        self._put(seen, 'accuracy', self._messages.number(seen.scores / seen.asked))
        said = reply.message if failed else line['answer']
        expected = json.dumps(line['expected'], ensure_ascii=False)
        verdict = f'{"passed" if passed else "FAILED"}; expected: {expected}'
        self._log(seen, ERROR if failed else OK if passed else WARN, 'answer', f'{question.text} -> {said} ({verdict})')

    def narrated(self, camera: str, span: NarrationSpan, text: str) -> None:
        seen = self._cameras[camera]
        seen.narrations += 1
        self._advance(span.last_stamp)
        self._put(seen, 'narration', self._messages.text(text))
        self._log(seen, OK, 'narration', text)

    def event(self, camera: str, stamp: int, name: str, text: str) -> None:
        seen = self._cameras[camera]
        self._advance(stamp)
        if name == 'reset':
            seen.reset()
        seen.failures += name == 'failure'
        line = json.dumps({'event': name, 'text': text}, ensure_ascii=False)
        self._put(seen, 'event', self._messages.text(line))
        trouble = WARN if name == 'reset' else ERROR
        self._log(seen, OK if name.endswith(OF_WATCHES) else trouble, 'event', f'{name}: {text}')

    def checkpoint(self) -> dict[str, Any]:
        cameras = {camera: seen.state() for camera, seen in self._cameras.items()}
        return {'bytes': self._spool.checkpoint(), 'now': self._now, 'cameras': cameras}

    def restore(self, state: dict[str, Any]) -> None:
        """Raises `ValueError` when the spool is not there any more."""
        self._spool.restore(state['bytes'])
        self._now = state['now']
        self._cameras = {camera: _Camera.restored(seen) for camera, seen in state['cameras'].items()}

    def finish(self) -> None:
        """Make the file of what was spooled."""
        self._spool.assemble(self.file, self._messages.types)

    def close(self) -> None:
        """Let go of the spool; it stays, for `restore`."""
        self._spool.close()

    def _advance(self, stamp: int) -> int:
        """The stream's time, which does not go back: a frame without a stamp has the time of the one before."""
        self._now = max(self._now, stamp)
        return self._now

    def _put(self, seen: _Camera, what: str, message: bytes) -> None:
        self._spool.add(topic(seen.name, what)[0], self._now, message)

    def _log(self, seen: _Camera, level: int, what: str, text: str) -> None:
        name = '.'.join(filter(None, (NODE, seen.name, what)))
        self._spool.add(COMMON['log'][0], self._now, self._messages.log(self._now, level, name, text))

    def _stats(self, seen: _Camera, event: FrameProcessed, now: int) -> dict[str, Any]:
        """Fields of StreamStats, as stc_ros/ros/messages.py fills them."""
        report, settings = event.report, event.settings
        counts = ('scene_changes', 'narrations', 'answers', 'answers_failed')
        same = ('patches', 'visual_tokens', 'visual_tokens_kept', 'memory_tokens', 'tokens_waiting', 'memory_bytes')
        return {
            'input_rate': seen.arrived.hertz(now),
            'processing_rate': seen.done.hertz(now),
            'frames_received': seen.received,
            'frames_processed': seen.processed,
            'frames_dropped': max(seen.received - seen.processed - seen.invalid, 0),
            'frames_invalid': seen.invalid,
            **{name: getattr(seen, name) for name in counts},
            **{name: getattr(report, name) for name in same},
            'patches_recomputed': round(report.patches_recomputed),
            'reused_similarity': report.similarity,
            'scene_change': bool(report.scene_change),
            'queue_ms': event.queue_ms,
            **{f'{stage}_ms': ms for stage, ms in report.ms.items()},
            'total_ms': event.total_ms,
            # without a clock, of a robot whose computer has nothing else to do
            'frame_age': (event.age_ms if isinstance(event, HeardFrame) else event.total_ms) / 1e3,
            'memory_budget': settings['memory.max_mib'] << 20,
            'cacher': settings['cacher.method'],
            'pruner': settings['pruner.method'],
            'cache_similarity': settings['cache_similarity'],
            'prune_ratio': settings['prune_ratio'],
            'queue_depth': 0,
        }

    def _diagnose(self, camera: str, seen: _Camera, event: FrameProcessed) -> None:
        """The node's two statuses, once a second of the stream's time."""
        if self._now < seen.diagnosed:
            return
        seen.diagnosed = self._now + DIAGNOSTICS_PERIOD_NS
        stats, hardware = self._stats(seen, event, self._now), event.settings['model.device']
        rates = f'{stats["input_rate"]:.1f} frames/s, {stats["processing_rate"]:.1f} processed'
        of_camera = {'topic': camera} | {name: stats[name] for name in stats if name.startswith(('frames_', 'input_'))}
        shares = {f'{what} share': f'{share:.3f}' for what, share in _shares(event.report).items()}
        of_model = {'model': event.settings['model.name'] or 'embedded', 'failures': seen.failures}
        of_model |= {'resets': seen.resets} | shares
        of_model |= {name: stats[name] for name in stats if name.endswith('_ms') or name.startswith('memory_')}
        troubled = f'{seen.failures} failures, {seen.resets} resets: see the log'
        level, message = (WARN, troubled) if seen.failures else (OK, 'watching')
        name = '/' + '/'.join(filter(None, (NODE, seen.name)))
        statuses = {f'{name}: camera': (WARN if seen.invalid else OK, rates, hardware, of_camera)}
        statuses[f'{name}: model'] = (level, message, hardware, of_model)
        self._spool.add(COMMON['diagnostics'][0], self._now, self._messages.diagnostics(self._now, statuses))


def _shares(report: FrameReport) -> dict[str, float]:
    return {
        'recomputed': report.patches_recomputed / max(report.patches, 1),
        'kept': report.visual_tokens_kept / max(report.visual_tokens, 1),
    }


def _smaller(image: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3], no side longer than LONGEST. By OpenCV, in a fifth of Pillow's time."""
    scale = LONGEST / max(image.shape[:2])
    if scale >= 1:
        return image
    size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale <= 0.5 else cv2.INTER_LINEAR)
