"""The process of the node: signals, the Fast DDS profile, two threads, and a clean end.

ros2 run stc_ros stream --ros-args -r image:=/camera/image_raw -p prune_ratio:=0.5
"""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import threading
import time
import traceback

from stc_ros.ros import fastdds

SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
REPLY_S = 0.5  # for replies to reach their clients
END_S = 0.5  # for each thread to end


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGINT, SIGTERM or SIGHUP, then end the process with code 0, or with `Supervisor.exit_code`.

    Returns another code if it cannot start.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup
        SIGNALS.discard(signal.SIGHUP)
    for number in SIGNALS:  # nothing is open yet: end at once, and not with a traceback from the slow imports
        signal.signal(number, lambda *_: os._exit(0))
    fastdds.set_default()

    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions
    from rclpy.utilities import remove_ros_args

    from stc_ros.parameter_spec import SettingError
    from stc_ros.ros import systemd
    from stc_ros.ros.node import StreamNode

    try:
        parser().parse_args(remove_ros_args(sys.argv if arguments is None else arguments)[1:])
        signaled = catch_signals()
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
        node = StreamNode()
        node.supervisor.on_end = lambda: os.kill(os.getpid(), signal.SIGTERM)
    except (RuntimeError, SettingError) as error:  # wrong --ros-args are RuntimeErrors of several kinds
        print(f'stc_stream: {error}', file=sys.stderr)
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    ended = threading.Event()
    thread = threading.Thread(target=spin, args=(executor, node, ended), name='executor', daemon=True)
    thread.start()
    systemd.tell('READY=1')
    os.read(signaled, 1)
    node.close()
    patience = time.monotonic() + REPLY_S
    while node.open_questions and time.monotonic() < patience:
        time.sleep(0.01)
    stop_spinning(executor, ended)
    thread.join(END_S)
    node.worker.join(END_S)  # unless it loads a model, say: that is left to its fate
    if not thread.is_alive():  # else Fast DDS leaves its shared memory behind
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # the interpreter would take seconds to take torch apart, and fall over a thread in its midst
    os._exit(node.supervisor.exit_code)


def catch_signals() -> int:
    """Return a pipe from which a byte can be read once a signal has come.

    A handler that sets an Event would now and then interrupt the wait for that very Event, inside its lock, and the
    node would never end.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    return reader


def stop_spinning(executor, ended: threading.Event) -> None:
    """Make `spin` return."""
    ended.set()
    executor.create_task(lambda: None)  # `wake` alone does not end a wait for work


def spin(executor, node, ended: threading.Event) -> None:
    """Spin until `ended`; a callback that raises is reported and does not end the node."""
    while not ended.is_set():
        try:
            executor.spin_once()
        except Exception:
            node.get_logger().error(traceback.format_exc())


def parser():
    """An `argparse` parser for --help: everything else is said with --ros-args."""
    import argparse

    from stc_ros.parameters import parameters
    from stc_ros.ros.parameters import AUTOSTART

    listed = [*parameters().values(), AUTOSTART]
    text = '\n'.join(
        f'  {spec.name}\n' + textwrap.indent(textwrap.fill(spec.describe(), 100), ' ' * 6) for spec in listed
    )
    return argparse.ArgumentParser(
        prog='stream',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Watch a camera topic, narrate, and answer questions.',
        epilog=f"""example:
  stream --ros-args -r image:=/camera/image_raw -p prune_ratio:=0.5 --params-file stream.yaml

parameters (-p NAME:=VALUE):
{text}""",
    )


if __name__ == '__main__':
    sys.exit(main())
