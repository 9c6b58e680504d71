"""The process of the node: signals, the Fast DDS profile, two threads, and a clean end.

    ros2 run stc_ros stream --ros-args -r image:=/camera/image_raw -p prune_ratio:=0.5
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

REPLY_S = 0.5       # for replies to reach their clients
END_S = 1.0         # for each thread to end


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM; return the exit code."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):      # before the slow imports, which a signal should not tear apart
        signal.signal(number, lambda *_: stop.set())
    os.environ.setdefault('FASTDDS_DEFAULT_PROFILES_FILE', str(profile()))

    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    from stc_ros.ros.stream_node import StreamNode
    from stc_ros.settings import SettingError

    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = StreamNode()
    except SettingError as error:
        rclpy.logging.get_logger('stc_stream').fatal(str(error))
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    # Python handles signals in its main thread, and only while that does not sleep in C: so the main thread just waits.
    ended = threading.Event()
    thread = threading.Thread(target=spin, args=(executor, node, ended), name='executor', daemon=True)
    thread.start()
    stop.wait()
    node.close()
    patience = time.monotonic() + REPLY_S
    while node.open_questions and time.monotonic() < patience:
        time.sleep(0.01)
    ended.set()
    executor.wake()
    thread.join(END_S)
    if thread.is_alive() or not node.worker.join(END_S):
        sys.stdout.flush()
        os._exit(0)     # in the middle of loading a model, say: nothing is lost, and a join would take its time
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown()
    return 0


def spin(executor, node, ended: threading.Event) -> None:
    """Spin until `ended`; a callback that raises is reported and does not end the node."""
    while not ended.is_set():
        try:
            executor.spin_once()
        except Exception:
            node.get_logger().error(traceback.format_exc())


def profile() -> Path:
    """The Fast DDS profile with which images above 512 KiB arrive."""
    from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

    try:
        share = Path(get_package_share_directory('stc_ros'))
    except PackageNotFoundError:        # run from the repository
        share = Path(__file__).parents[2]
    return share / 'config' / 'fastdds.xml'


if __name__ == '__main__':
    sys.exit(main())
