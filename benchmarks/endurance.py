"""A node under all that can go wrong at once: whether it stays, answers every question once, and counts right.

Frames go in at random, some of them malformed, late, of another size or of before; questions, cancellations, watches,
parameter changes, resets and transitions come over DDS; the model raises, computes NaN, runs out of memory, dies and
hangs. What is injected goes by one seed. At the end, and at every thousandth frame, the counters must add up.

./dev bench endurance            # 100,000 frames, about an hour
./dev bench endurance --quick    # 200, what the tests run
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import time
from collections.abc import Iterator

import numpy as np
import torch
from endurance_clients import BACK_S, Clients, Tally
from toy_node import resident_mib, toy_node

STUCK_S = 120.0  # without a thousandth frame: every thread's stack is shown, and the process ends
TURN_LIMIT_S = 6.0  # a collection may take seconds on a busy machine
# Share of frames at which each happens.
MODEL = {'raises': 4e-3, 'is NaN': 2e-3, 'out of memory': 5e-4, 'dies': 3e-4, 'hangs': 1e-4}
INPUT = {'malformed': 5e-3, 'encoding': 3e-3, 'size': 5e-3, 'late': 3e-3, 'before': 1e-3, 'no stamp': 2e-3}
CLIENT = {'ask': 3e-2, 'stream': 1e-2, 'cancel': 5e-3, 'parameter': 5e-3, 'watch': 5e-3, 'reset': 1e-3, 'pause': 3e-4}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--frames', type=int, default=100_000, metavar='N', help='how many (100000)')
    parser.add_argument('--seed', type=int, default=1, help='of all that is random (1)')
    parser.add_argument('--quick', action='store_true', help='200 frames; faults twenty times as often')
    chosen = parser.parse_args(arguments)
    frames, often = (200, 20.0) if chosen.quick else (chosen.frames, 1.0)
    if frames < 100:
        parser.error('--frames must be at least 100')
    tally = run(frames, chosen.seed, often)
    print(tally.text())
    return int(bool(tally.wrong))


class Faulty:
    """A real stream whose model fails as often as `MODEL` says."""

    def __init__(self, stream, rng, often: float, tally: Tally):
        self._stream, self._rng, self._often, self._tally = stream, rng, often, tally

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def see(self, frame, stamp):
        fault = pick(self._rng, MODEL, self._often)
        if fault:
            self._tally.done[f'model {fault}'] += 1
        if fault == 'raises':
            raise RuntimeError('injected')
        if fault == 'out of memory':
            raise MemoryError('injected')
        if fault == 'dies':
            raise SystemExit('injected')
        while fault == 'hangs':
            time.sleep(0.01)
        report = self._stream.see(frame, stamp)
        if fault == 'is NaN' and self._stream.memory.waiting:
            with torch.inference_mode():
                self._stream.memory.waiting[-1].embeddings.fill_(torch.nan)
        return report


def pick(rng, shares: dict[str, float], often: float) -> str | None:
    """One of the names by its share, or None."""
    at = rng.random()
    for name, share in shares.items():
        at -= share * often
        if at < 0:
            return name
    return None


def run(frames: int, seed: int, often: float = 1.0) -> Tally:
    """Run it; what was wrong stands in the result. often: how many times the shares."""
    from tqdm import tqdm

    from stc_ros.ros import supervisor
    from stc_ros.stream import open_stream

    supervisor.STEADY_S, supervisor.PAUSES_S = 0.0, (0.0,) * 20  # deaths come more often than in life
    rng, tally, began = np.random.default_rng(seed), Tally(), time.monotonic()
    model_rng = np.random.default_rng(seed + 1)

    def faulty(model, settings):
        return Faulty(open_stream(model, settings), model_rng, often, tally)

    options = {'expert.turn_limit': TURN_LIMIT_S, 'narration.period': 0.5, 'query.timeout': 10.0}
    with toy_node(faulty, **options) as (node, context):
        clients = Clients(node, context, tally)
        (camera,) = node.cameras.values()
        try:
            for message in tqdm(messages(rng, frames, often, tally), total=frames, disable=None):
                if not clients.until(lambda: node.active, BACK_S):
                    tally.wrong.append(
                        f'frame {tally.frames}: not active after {BACK_S:.0f} s: {node.fault or node.state}'
                    )
                    break
                camera._on_image(message)
                clients.act(pick(rng, CLIENT, often), rng)
                clients.until(lambda: not (session := camera.session) or not session.slot.waits, 0.02)
                tally.frames += 1
                if tally.frames % 1000 == 0 or tally.frames == frames:
                    faulthandler.dump_traceback_later(STUCK_S, exit=True)
                    tally.resident.append(resident_mib())
                    clients.check_counters(camera)
            clients.finish()
        finally:
            faulthandler.cancel_dump_traceback_later()
            clients.close()
    tally.seconds = time.monotonic() - began
    return tally


def messages(rng, frames: int, often: float, tally: Tally) -> Iterator[bytes]:
    """Serialized images."""
    from rclpy.serialization import serialize_message
    from sensor_msgs.msg import Image

    image, last = rng.integers(0, 256, (24, 32, 3), np.uint8), time.time_ns()
    for _ in range(frames):
        fault = pick(rng, INPUT, often)
        if fault:
            tally.done[f'frame {fault}'] += 1
        if rng.random() < 0.3:
            image = rng.integers(0, 256, (24, 32, 3), np.uint8)
        last = max(time.time_ns(), last + 1)
        stamp = last - {'late': 100_000_000, 'before': 5_000_000_000}.get(fault, 0)
        picture = np.repeat(image, 2, 0) if fault == 'size' else image
        message = Image(height=picture.shape[0], width=32, step=96, encoding='rgb8', data=picture.tobytes())
        message.header.frame_id = 'camera'
        if fault != 'no stamp':
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 1_000_000_000)
        if fault == 'encoding':
            message.encoding = '32FC1'
        data = serialize_message(message)
        yield data[: int(rng.integers(len(data)))] if fault == 'malformed' else data


if __name__ == '__main__':
    sys.exit(main())
