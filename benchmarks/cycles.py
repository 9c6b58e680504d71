"""Whether a node that is configured, activated, deactivated and cleaned up again and again keeps its memory.

./dev bench cycles               # 1,000 cycles: resident memory may grow by 2 % over the last 900
./dev bench cycles --cycles 50   # what the tests run
"""

from __future__ import annotations

import argparse
import gc
import sys
import threading
import time

from toy_node import resident_mib, toy_node

STEPS = ('configure', 'activate', 'deactivate', 'cleanup')
SETTLED = 0.1  # of the cycles, after which memory must not grow
STEP_S = 30.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--cycles', type=int, default=1000, metavar='N', help='how many (1000)')
    parser.add_argument('--growth', type=float, default=0.02, metavar='SHARE', help='that memory may grow by (0.02)')
    chosen = parser.parse_args(arguments)
    if chosen.cycles < 10:
        parser.error('--cycles must be at least 10')
    from tqdm import tqdm

    began, settled, samples = time.monotonic(), round(SETTLED * chosen.cycles), []
    with toy_node(autostart=False) as (node, _):
        transition(node, 'configure'), transition(node, 'cleanup')
        gc.collect()
        gc.freeze()  # each cleanup collects: only what it leaves is looked through, not all of torch
        for cycle in tqdm(range(1, chosen.cycles + 1), desc='cycles', disable=None):
            for step in STEPS:
                if not transition(node, step):
                    print(f'{step} failed in cycle {cycle}: {node.fault}')
                    return 1
            if cycle in (settled, chosen.cycles):
                gc.collect()
                samples.append((resident_mib(), threading.active_count()))
    (first, threads), (last, threads_at_last) = samples
    growth = last / first - 1
    print(
        f'{chosen.cycles} cycles in {time.monotonic() - began:.0f} s, no failure; resident memory {first:.1f} MiB '
        f'after {settled}, {last:.1f} MiB at the end: {growth:+.2%}; threads {threads}, then {threads_at_last}'
    )
    return int(growth > chosen.growth or threads_at_last > threads)


def transition(node, step: str) -> bool:
    """Done on the executor's thread, as a lifecycle manager's request is."""
    from rclpy.lifecycle import TransitionCallbackReturn

    done, results = threading.Event(), []

    def act() -> None:
        results.append(getattr(node, f'trigger_{step}')())
        done.set()

    while node.executor is None:
        time.sleep(0.01)
    node.executor.create_task(act)
    return done.wait(STEP_S) and results == [TransitionCallbackReturn.SUCCESS]


if __name__ == '__main__':
    sys.exit(main())
