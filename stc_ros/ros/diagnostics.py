"""The node's health as diagnostics: one status for the camera, one for the model."""

from __future__ import annotations

import sys
import time

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from stc_ros.engine.frame_slot import FrameSlot
from stc_ros.engine.recovery import FRAME

SILENT_AFTER_S = 5.0  # without a frame
INVALID_IN_ROW = 10  # frames, after which it is the camera, not a frame
FAILED_FRAMES = 3  # in a row, after which it is the model, not a frame
STUCK_AFTER_S = 30.0  # in one turn of the worker, once the model is loaded


def camera_status(node, camera, now: int) -> DiagnosticStatus:
    """What comes in from a `CameraInput`. now: the node's clock, in ns."""
    session = camera.session
    slot, newest = (session.slot, session.newest) if session else (FrameSlot(), None)
    counts, (input_rate, processing_rate) = slot.counts(), slot.rates(now)
    health = camera.health
    level, message = DiagnosticStatus.OK, f'{input_rate:.1f} frames/s, {processing_rate:.1f} processed'
    if not node.active:
        message = 'not active'
    elif camera.silent_s > SILENT_AFTER_S:
        level, message = DiagnosticStatus.WARN, f'no frame for {camera.silent_s:.0f} s'
    elif health.waits_for_keyframe:
        level, message = DiagnosticStatus.WARN, f'waits for a keyframe: {health.newest_refusal}'
    elif counts.invalid and not counts.processed + counts.failed:
        level, message = DiagnosticStatus.ERROR, f'every frame was invalid, the newest because {health.newest_refusal}'
    elif counts.invalid_in_row >= INVALID_IN_ROW:
        level, message = (
            DiagnosticStatus.ERROR,
            f'the last {counts.invalid_in_row} frames were invalid, the newest because {health.newest_refusal}',
        )
    elif trouble := camera.trouble():
        level, message = DiagnosticStatus.WARN, '; '.join(trouble.values())
    width, height = health.size
    return make_status(
        node,
        'camera' + (f' {camera.name}' if camera.prefix else ''),
        level,
        message,
        {
            'topic': camera.topic,
            'frame_id': ', '.join(health.frame_ids()) or 'none',
            'size': f'{width} x {height}' if width else 'none',
            'size changes': health.size_changes,
            'input rate [Hz]': f'{input_rate:.2f}',
            'processing rate [Hz]': f'{processing_rate:.2f}',
            'received': counts.received,
            'processed': counts.processed,
            'dropped': counts.dropped,
            'invalid': counts.invalid,
            'failed': counts.failed,
            'age of the newest frame [s]': f'{(now - newest.frame.stamp) / 1e9:.3f}' if newest else 'none',
            'queue wait [ms]': f'{newest.queue_ms:.1f}' if newest else 'none',
            **{f'refused since activation: {kind}': count for kind, count in sorted(health.refused.items())},
        },
    )


def model_status(node) -> DiagnosticStatus:
    """What is made of it."""
    worker = node.worker
    sessions = [camera.session for camera in node.cameras.values() if camera.session]
    busy = worker.busy_since
    busy_s = time.monotonic() - busy if busy else 0.0
    level, message = DiagnosticStatus.OK, 'watching' if node.active else node.state
    if node.fault:
        level, message = DiagnosticStatus.ERROR, node.fault
    elif node.active and busy_s > STUCK_AFTER_S:
        level, message = DiagnosticStatus.WARN, f'the model has worked on one thing for {busy_s:.0f} s'
    elif failing := [s for s in sessions if s.failures.in_row[FRAME]]:
        failures = failing[0].failures
        level = DiagnosticStatus.ERROR if failures.in_row[FRAME] >= FAILED_FRAMES else DiagnosticStatus.WARN
        message = f'the model failed at the last {failures.in_row[FRAME]} frames: {failures.last}'
    elif failures := sum(session.failures.total for session in sessions) + node.watches.failures:
        resets = sum(session.resets for session in sessions)
        level, message = DiagnosticStatus.WARN, f'{failures} failures, {resets} resets: see the log'
    if not node.fault and (others := namesakes(node)):
        level, message = DiagnosticStatus.WARN, others
        node.get_logger().warning(others, once=True)
    values = {
        'state': node.state,
        'model': node.settings['model.name'] or 'embedded',
        'questions waiting': worker.engine.waiting,
        **_watches(node.watches),
    }
    for session in sessions:
        of = f'{session.camera}: ' if len(sessions) > 1 else ''
        values |= {of + key: value for key, value in _of_session(session).items()}
        values[f'{of}watches [ms]'] = f'{node.watches.ms.get(session.camera, 0.0):.2f}'
    return make_status(node, 'model', level, message, values | _gpu_memory())


def namesakes(node) -> str:
    """What is wrong where others bear the node's name; '' where none does."""
    name, there = node.get_fully_qualified_name(), node.get_node_names_and_namespaces()
    count = there.count((node.get_name(), node.get_namespace()))
    if count < 2:
        return ''
    return (
        f'{count} nodes are called {name}: both answer on its services; end one, or give it a namespace '
        '(-r __ns:=/rear) or another name (-r __node:=...)'
    )


def _of_session(session) -> dict:
    """What one camera's stream has done."""
    values = {
        'failures': session.failures.total,
        'resets': session.resets,
        'answers': session.tally.answers,
        'answers failed': session.tally.answers_failed,
        'narrations': session.tally.narrations,
    }
    if seen := session.newest:
        report = seen.report
        values |= {
            'recomputed share': f'{report.patches_recomputed / max(report.patches, 1):.3f}',
            'kept share': f'{report.visual_tokens_kept / max(report.visual_tokens, 1):.3f}',
            **{f'{stage} [ms]': f'{ms:.2f}' for stage, ms in report.ms.items()},
            'total [ms]': f'{seen.total_ms:.2f}',
            'memory [tokens]': report.memory_tokens,
            'memory [MiB]': f'{report.memory_bytes / 2**20:.1f}',
            'memory budget [MiB]': seen.settings['memory.max_mib'],
        }
    return values


def _watches(watches) -> dict:
    """How many there are, and of which the condition is true now."""
    listed = watches.listed()
    active = [watch.name for watch, standings in listed if any(each.active for each in standings.values())]
    return {'watches': len(listed), 'watches active': ', '.join(active), 'watch failures': watches.failures}


def make_status(node, part: str, level: bytes, message: str, values: dict) -> DiagnosticStatus:
    """The status of a part of a node."""
    return DiagnosticStatus(
        level=level,
        name=f'{node.get_fully_qualified_name()}: {part}',
        message=message,
        hardware_id=node.settings['model.device'],
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )


def _gpu_memory() -> dict[str, str]:
    torch = sys.modules.get('torch')  # not imported here: that takes seconds
    if torch is None or not hasattr(torch, 'cuda') or not torch.cuda.is_initialized():
        return {}
    allocated = sum(map(torch.cuda.memory_allocated, range(torch.cuda.device_count())))
    return {'GPU memory [MiB]': f'{allocated / 2**20:.0f}'}
