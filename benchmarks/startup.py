"""Seconds from starting the node's process to its first answer, with a camera that publishes already.

Each time a node is started anew, in a ROS domain of its own, and asked as soon as it can be; then it is ended.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time

DOMAIN = '77'
PATIENCE_S = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--times', type=int, default=5, help='how often (5)')
    chosen = parser.parse_args()
    os.environ |= {'ROS_DOMAIN_ID': DOMAIN, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    from stc_ros.ros.fastdds import VARIABLE, profile

    os.environ.setdefault(VARIABLE, str(profile()))
    import rclpy

    from stc_ros.srv import Ask

    camera = subprocess.Popen([sys.executable, '-m', 'stc_ros.ros.camera'])
    rclpy.init()
    node = rclpy.create_node('startup')
    seconds, spent = [], []
    try:
        time.sleep(3.0)
        for _ in range(chosen.times):
            answer, wall, cpu = start_and_ask(rclpy, node, Ask)
            seconds.append(wall), spent.append(cpu)
            print(f'{wall:.2f} s, {cpu:.2f} s of CPU: {answer}', flush=True)
    finally:
        camera.send_signal(signal.SIGINT)
        camera.wait(10)
        node.destroy_node()
        rclpy.shutdown()
    print(
        f'first answer after {statistics.median(seconds):.2f} s (median of {len(seconds)}), at most '
        f'{max(seconds):.2f} s; {statistics.median(spent):.2f} s of CPU until then'
    )
    return 0


def start_and_ask(rclpy, node, kind) -> tuple[str, float, float]:
    """The answer, seconds until it came, and the CPU seconds that the node's process took until then."""
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, '-m', 'stc_ros.ros.main'], stderr=subprocess.DEVNULL)
    client = node.create_client(kind, '/ask')
    try:
        while time.monotonic() - began < PATIENCE_S:
            if not client.wait_for_service(timeout_sec=0.02):
                continue
            reply = client.call_async(kind.Request(question='what is moving ?'))
            rclpy.spin_until_future_complete(node, reply, timeout_sec=5.0)
            if reply.done() and reply.result().error_code == 0:
                return reply.result().answer, time.monotonic() - began, cpu_of(process.pid)
            time.sleep(0.02)
        raise SystemExit(f'startup.py: no answer within {PATIENCE_S:g} s')
    finally:
        node.destroy_client(client)
        process.send_signal(signal.SIGINT)
        process.wait(20)


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


if __name__ == '__main__':
    sys.exit(main())
